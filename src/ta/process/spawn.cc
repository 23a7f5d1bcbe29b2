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

// Everything here is async-signal-safe: the child of a process with threads must not take a lock.
[[noreturn]] void BecomeRunner(const char* path, char* const* words, int arena_fd) {
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
  if (arena_fd == runner::kArenaFd) {
    if (fcntl(arena_fd, F_SETFD, 0) != 0) _exit(127);
  } else if (dup2(arena_fd, runner::kArenaFd) < 0) {
    _exit(127);
  }
  if (syscall(SYS_close_range, runner::kArenaFd + 1, ~0u, 0) != 0) _exit(127);
  Limit(RLIMIT_CORE, 0);
  Limit(RLIMIT_AS, kAddressSpace);
  Limit(RLIMIT_FSIZE, 0);
  Limit(RLIMIT_MEMLOCK, 0);
  Limit(RLIMIT_NOFILE, 16);
  Limit(RLIMIT_MSGQUEUE, 0);
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
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
  return static_cast<pid_t>(syscall(SYS_clone3, &args, sizeof(args)));
}

}  // namespace

Result<Spawned> SpawnConfined(const std::vector<std::string>& words, int arena_fd) {
  std::vector<char*> pointers;
  for (const std::string& word : words) pointers.push_back(const_cast<char*>(word.c_str()));
  pointers.push_back(nullptr);
  for (const std::uint64_t flags : {kNamespaces, std::uint64_t{0}}) {
    int pidfd = -1;
    const pid_t pid = Fork(flags, pidfd);
    if (pid == 0) BecomeRunner(words.front().c_str(), pointers.data(), arena_fd);
    if (pid > 0) return Spawned{pid, UniqueFd(pidfd), flags != 0};
    // Namespaces may be forbidden (EPERM) or used up (ENOSPC, EUSERS): the rest holds without.
    if (errno == EAGAIN || errno == ENOMEM) break;
  }
  return ErrnoError(errno, "starting a process for a TA");
}

}  // namespace vtee::ta
