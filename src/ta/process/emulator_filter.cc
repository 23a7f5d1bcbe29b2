// SPDX-License-Identifier: BSD-3-Clause
#include "ta/process/emulator_filter.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/clock.h"

namespace vtee::ta {
namespace {

#ifdef __x86_64__
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_X86_64;
#elif defined(__aarch64__)
constexpr std::uint32_t kArchitecture = AUDIT_ARCH_AARCH64;
#else
#error "the filter for emulators knows x86-64 and arm64 hosts"
#endif

// Loads that the program is made of.
constexpr sock_filter Load(std::size_t offset) {
  return BPF_STMT(BPF_LD | BPF_W | BPF_ABS, static_cast<std::uint32_t>(offset));
}
constexpr sock_filter Answer(std::uint32_t action) { return BPF_STMT(BPF_RET | BPF_K, action); }
constexpr sock_filter IfEqual(long number, std::uint8_t then, std::uint8_t otherwise) {
  return BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, static_cast<std::uint32_t>(number), then, otherwise);
}

constexpr std::size_t kProtection = offsetof(seccomp_data, args) + 2 * sizeof(std::uint64_t);

constexpr sock_filter kProgram[] = {
    Load(offsetof(seccomp_data, arch)),
    IfEqual(kArchitecture, 1, 0),
    Answer(SECCOMP_RET_KILL_PROCESS),
    Load(offsetof(seccomp_data, nr)),
    IfEqual(SYS_mmap, 12, 0),
    IfEqual(SYS_mprotect, 11, 0),
    IfEqual(SYS_futex, 9, 0),
    IfEqual(SYS_rt_sigprocmask, 8, 0),
    IfEqual(SYS_rt_sigreturn, 7, 0),
    IfEqual(SYS_brk, 6, 0),
    IfEqual(SYS_munmap, 5, 0),
    IfEqual(SYS_madvise, 4, 0),
    IfEqual(SYS_exit_group, 3, 0),
    IfEqual(SYS_sched_yield, 2, 0),
    // The emulator has a thread of its own that may begin later than the program does, on a busy
    // machine: a C library that cannot register it ends the process.
    IfEqual(SYS_rseq, 1, 0),
    Answer(SECCOMP_RET_USER_NOTIF),
    Answer(SECCOMP_RET_ALLOW),
    // mmap and mprotect: not for code.
    Load(kProtection),
    BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 0, 1),
    Answer(SECCOMP_RET_USER_NOTIF),
    Answer(SECCOMP_RET_ALLOW),
};

}  // namespace

int InstallEmulatorFilter() {
  const sock_fprog program{static_cast<unsigned short>(std::size(kProgram)),
                           const_cast<sock_filter*>(kProgram)};
  return static_cast<int>(
      syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program));
}

Status SuperviseStart(UniqueFd listener, int pidfd, const std::function<bool()>& ready,
                      int limit_ms) {
  seccomp_notif_sizes sizes{};
  if (syscall(SYS_seccomp, SECCOMP_GET_NOTIF_SIZES, 0, &sizes) != 0) {
    return ErrnoError(errno, "asking for the sizes of seccomp's notifications");
  }
  std::vector<std::byte> request(sizes.seccomp_notif);
  std::vector<std::byte> response(sizes.seccomp_notif_resp);
  const std::uint64_t end = MonotonicNanos() + static_cast<std::uint64_t>(limit_ms) * 1'000'000;
  while (!ready()) {
    if (MonotonicNanos() > end) {
      return Error{ErrorCode::kUnavailable, "the emulator of a TA does not become ready"};
    }
    // Becoming ready is no event here: look for it after each call, and now and then.
    pollfd waits[] = {{listener.get(), POLLIN, 0}, {pidfd, POLLIN, 0}};
    if (poll(waits, 2, 1) < 0 && errno != EINTR) return ErrnoError(errno, "poll");
    if (waits[1].revents != 0) {
      return Error{ErrorCode::kUnavailable, "the emulator of a TA has ended while it started"};
    }
    if ((waits[0].revents & POLLIN) == 0) continue;
    std::fill(request.begin(), request.end(), std::byte{0});
    auto* asked = reinterpret_cast<seccomp_notif*>(request.data());
    if (ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_RECV, asked) != 0) continue;
    std::fill(response.begin(), response.end(), std::byte{0});
    auto* answer = reinterpret_cast<seccomp_notif_resp*>(response.data());
    answer->id = asked->id;
    answer->flags = SECCOMP_USER_NOTIF_FLAG_CONTINUE;
    static_cast<void>(ioctl(listener.get(), SECCOMP_IOCTL_NOTIF_SEND, answer));
  }
  return {};
}

}  // namespace vtee::ta
