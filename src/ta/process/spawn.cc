// SPDX-License-Identifier: BSD-3-Clause
#include "ta/process/spawn.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "runner/channel.h"
#include "ta/process/emulator_filter.h"

namespace vtee::ta {
namespace {

constexpr std::uint64_t kNamespaces =
    CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;

// An emulator reserves some 240 MiB of addresses; the arena is another GiB at most.
constexpr rlim_t kAddressSpace = 3ul << 30;

void Limit(__rlimit_resource resource, rlim_t value) {
  const rlimit limit{value, value};
  setrlimit(resource, &limit);
}

// The child's descriptors beside the arena: where its filter's listener comes to be, and how it
// says that its descriptors are in order.
constexpr int kListenerFd = runner::kArenaFd + 1;
constexpr int kReportFd = kListenerFd + 1;

// Everything here is async-signal-safe: the child of a process with threads must not take a lock.
[[noreturn]] void BecomeRunner(const char* path, char* const* words, int arena_fd, int report_fd,
                               bool filter) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  setsid();
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  const int null = open("/dev/null", O_RDWR);
  if (null < 0) _exit(127);
  for (int fd = 0; fd < 3; ++fd) {
    if (null != fd && dup2(null, fd) < 0) _exit(127);
  }
  // Out of each other's way first.
  const int arena = fcntl(arena_fd, F_DUPFD_CLOEXEC, kReportFd + 1);
  const int report = fcntl(report_fd, F_DUPFD_CLOEXEC, kReportFd + 1);
  if (arena < 0 || report < 0 || dup2(arena, runner::kArenaFd) < 0 ||
      dup3(report, kReportFd, O_CLOEXEC) < 0) {
    _exit(127);
  }
  close(kListenerFd);
  if (syscall(SYS_close_range, kReportFd + 1, ~0u, 0) != 0) _exit(127);
  // Of a huge page an emulator would use a few small ones, for each TA.
  prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0);
  Limit(RLIMIT_CORE, 0);
  Limit(RLIMIT_AS, kAddressSpace);
  Limit(RLIMIT_FSIZE, 0);
  Limit(RLIMIT_MEMLOCK, 0);
  Limit(RLIMIT_NOFILE, 16);
  Limit(RLIMIT_MSGQUEUE, 0);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  if (filter) {
    // vteed may take the listener from a process only that is open to it. What there is of vteed's
    // in this one goes with execve(); keys were not copied at all.
    prctl(PR_SET_DUMPABLE, 1);
    const char done = 1;
    if (write(kReportFd, &done, 1) != 1 || InstallEmulatorFilter() != kListenerFd) _exit(127);
  }
  char* const environment[] = {nullptr};
  execve(path, words, environment);
  _exit(127);
}

// fork() with flags; what glibc runs around a fork is not wanted in this child.
pid_t Fork(std::uint64_t flags, int& pidfd) {
  clone_args args{};
  args.flags = flags | CLONE_PIDFD;
  args.pidfd = reinterpret_cast<std::uint64_t>(&pidfd);
  args.exit_signal = SIGCHLD;
  const auto pid = static_cast<pid_t>(syscall(SYS_clone3, &args, sizeof(args)));
  if (pid >= 0 || errno != ENOSYS || flags != 0) return pid;
  // Containers often hide clone3().
  const pid_t child = fork();
  if (child > 0) {
    pidfd = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
    if (pidfd >= 0) return child;
    const int failed = errno;
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    errno = failed;
    return -1;
  }
  return child;
}

// The child's listener, once it has said that its descriptors are in order.
Result<UniqueFd> FetchListener(int pidfd, int report_fd) {
  char done = 0;
  if (read(report_fd, &done, 1) != 1) {
    return Error{ErrorCode::kUnavailable, "the process for a TA ends before it begins"};
  }
  constexpr int kTries = 2000;
  for (int i = 0; i < kTries; ++i) {
    const int listener = static_cast<int>(syscall(SYS_pidfd_getfd, pidfd, kListenerFd, 0));
    if (listener >= 0) return UniqueFd(listener);
    if (errno != EBADF) break;
    usleep(100);
  }
  return ErrnoError(errno, "taking the filter of a TA's emulator (pidfd_getfd)");
}

void EndChild(pid_t pid, int pidfd) {
  syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, nullptr, 0);
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

Result<Spawned> SpawnConfined(const std::vector<std::string>& words, int arena_fd, bool filter) {
  int report[2];
  if (pipe2(report, O_CLOEXEC) != 0) return ErrnoError(errno, "pipe");
  const UniqueFd report_in(report[0]);
  UniqueFd report_out(report[1]);
  std::vector<char*> pointers;
  pointers.reserve(words.size() + 1);
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  for (const std::uint64_t flags : {kNamespaces, std::uint64_t{0}}) {
    int pidfd = -1;
    const pid_t pid = Fork(flags, pidfd);
    if (pid == 0) {
      BecomeRunner(words.front().c_str(), pointers.data(), arena_fd, report_out.get(), filter);
    }
    if (pid > 0) {
      Spawned spawned{pid, UniqueFd(pidfd), UniqueFd(), flags != 0};
      if (!filter) return spawned;
      report_out.Reset();
      auto listener = FetchListener(pidfd, report_in.get());
      if (!listener.ok()) {
        EndChild(pid, pidfd);
        return listener.error();
      }
      spawned.listener = std::move(listener).value();
      return spawned;
    }
    // Namespaces may be forbidden (EPERM) or used up (ENOSPC, EUSERS): the rest holds without.
    if (errno == EAGAIN || errno == ENOMEM) break;
  }
  return ErrnoError(errno, "starting a process for a TA");
}

}  // namespace vtee::ta
