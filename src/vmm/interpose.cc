// SPDX-License-Identifier: BSD-3-Clause
// libvtee-kvm.so: the functions of libc that the shim stands in front of, for LD_PRELOAD.
//
// Each passes straight through unless it concerns a KVM descriptor that the shim tracks. The real
// functions are looked up on first use, which may be before any constructor has run.
// Async-signal-safety: as the real function for untracked descriptors; for a VM's or vCPU's own
// descriptors close() and dup() take a lock, so do not close those in a signal handler.
#include <dlfcn.h>
#include <linux/fcntl.h>  // the constants only: <fcntl.h> would declare fcntl() differently
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdlib>

#include "vmm/kvm_shim.h"

#define VTEE_EXPORT extern "C" __attribute__((visibility("default")))

namespace {

using vtee::vmm::KvmShim;
using vtee::vmm::ShimConfig;

constinit KvmShim g_shim;
constinit std::atomic<bool> g_active{false};

// dlsym() may allocate, and a replaced allocator may come back here before it returns.
thread_local bool t_resolving __attribute__((tls_model("initial-exec"))) = false;

struct RealFunction {
  const char* name;
  std::atomic<void*> address{nullptr};

  void* Get() {
    void* known = address.load(std::memory_order_acquire);
    if (known != nullptr || t_resolving) return known;
    t_resolving = true;
    known = dlsym(RTLD_NEXT, name);
    t_resolving = false;
    address.store(known, std::memory_order_release);
    return known;
  }
};

constinit RealFunction g_ioctl{"ioctl"};
constinit RealFunction g_close{"close"};
constinit RealFunction g_dup{"dup"};
constinit RealFunction g_dup2{"dup2"};
constinit RealFunction g_dup3{"dup3"};
constinit RealFunction g_fcntl{"fcntl"};
constinit RealFunction g_fcntl64{"fcntl64"};

int RealIoctl(int fd, unsigned long request, void* argument) {
  using Function = int (*)(int, unsigned long, ...);
  if (void* real = g_ioctl.Get()) {
    return reinterpret_cast<Function>(real)(fd, request, argument);
  }
  return static_cast<int>(syscall(SYS_ioctl, fd, request, argument));
}

int RealClose(int fd) {
  if (void* real = g_close.Get()) return reinterpret_cast<int (*)(int)>(real)(fd);
  return static_cast<int>(syscall(SYS_close, fd));
}

int RealFcntl(RealFunction& function, int fd, int command, void* argument) {
  using Function = int (*)(int, int, ...);
  if (void* real = function.Get()) {
    return reinterpret_cast<Function>(real)(fd, command, argument);
  }
  return static_cast<int>(syscall(SYS_fcntl, fd, command, argument));
}

bool Tracked(int fd) { return g_active.load(std::memory_order_relaxed) && g_shim.Tracks(fd); }

void Duplicated(int from, int to) {
  const int saved_errno = errno;
  g_shim.OnDuplicated(from, to);
  errno = saved_errno;
}

// dup2() and dup3() close `to` when they succeed; its number is live again right away, so it has
// to be forgotten before. A call that will fail must change nothing.
void ForgetTarget(int from, int to) {
  if (from != to && Tracked(to) && syscall(SYS_fcntl, from, F_GETFD) >= 0) g_shim.OnClosing(to);
}

void EndVmm(void*) { kill(getpid(), SIGTERM); }

void AfterForkInChild() { g_shim.AfterForkInChild(); }

// A number in decimal and nothing else; -1 for anything that is not one.
int ParseFd(const char* text) {
  char* end = nullptr;
  const long value = std::strtol(text, &end, 10);
  return end != text && *end == '\0' && value >= 0 && value <= 0x7fffffff ? static_cast<int>(value)
                                                                          : -1;
}

__attribute__((constructor)) void Start() {
  ShimConfig config;
  config.ioctl = RealIoctl;
  config.end_vmm = EndVmm;
  const char* broker = getenv("VTEE_FD");
  const char* path = getenv("VTEE_SOCKET");
  if (broker != nullptr && *broker != '\0') {
    config.broker_fd = ParseFd(broker);
  } else if (path != nullptr && *path != '\0') {
    config.socket_path = path;
  }
  g_shim.Configure(config);
  if (!config.active()) return;
  pthread_atfork(nullptr, nullptr, AfterForkInChild);
  g_active.store(true, std::memory_order_release);
}

}  // namespace

VTEE_EXPORT int ioctl(int fd, unsigned long request, ...) noexcept {
  va_list args;
  va_start(args, request);
  void* argument = va_arg(args, void*);  // KVM's and everybody's: one machine word, if any
  va_end(args);
  if (!g_active.load(std::memory_order_relaxed)) return RealIoctl(fd, request, argument);
  return g_shim.Ioctl(fd, request, argument);
}

VTEE_EXPORT int close(int fd) {
  if (Tracked(fd)) g_shim.OnClosing(fd);
  return RealClose(fd);
}

VTEE_EXPORT int dup(int from) noexcept {
  void* real = g_dup.Get();
  const int to = real != nullptr ? reinterpret_cast<int (*)(int)>(real)(from)
                                 : static_cast<int>(syscall(SYS_dup, from));
  if (to >= 0 && Tracked(from)) Duplicated(from, to);
  return to;
}

VTEE_EXPORT int dup2(int from, int to) noexcept {
  ForgetTarget(from, to);
  int result = -1;
  if (void* real = g_dup2.Get()) {
    result = reinterpret_cast<int (*)(int, int)>(real)(from, to);
  } else if (from == to) {
    result = syscall(SYS_fcntl, from, F_GETFD) >= 0 ? to : -1;  // arm64 has no dup2 system call
  } else {
    result = static_cast<int>(syscall(SYS_dup3, from, to, 0));
  }
  if (result >= 0 && from != to && Tracked(from)) Duplicated(from, to);
  return result;
}

VTEE_EXPORT int dup3(int from, int to, int flags) noexcept {
  ForgetTarget(from, to);
  void* real = g_dup3.Get();
  const int result = real != nullptr
                         ? reinterpret_cast<int (*)(int, int, int)>(real)(from, to, flags)
                         : static_cast<int>(syscall(SYS_dup3, from, to, flags));
  if (result >= 0 && Tracked(from)) Duplicated(from, to);
  return result;
}

static int FcntlCommon(RealFunction& real, int fd, int command, void* argument) {
  const int result = RealFcntl(real, fd, command, argument);
  if (result >= 0 && (command == F_DUPFD || command == F_DUPFD_CLOEXEC) && Tracked(fd)) {
    Duplicated(fd, result);
  }
  return result;
}

VTEE_EXPORT int fcntl(int fd, int command, ...) {
  va_list args;
  va_start(args, command);
  void* argument = va_arg(args, void*);
  va_end(args);
  return FcntlCommon(g_fcntl, fd, command, argument);
}

VTEE_EXPORT int fcntl64(int fd, int command, ...) {
  va_list args;
  va_start(args, command);
  void* argument = va_arg(args, void*);
  va_end(args);
  return FcntlCommon(g_fcntl64, fd, command, argument);
}
