// SPDX-License-Identifier: BSD-3-Clause
// Kills a process at its n-th system call. Threading: one thread.
#pragma once

#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

namespace vtee::ta {

enum class Killed { kYes, kEnded, kCannot };  // kCannot: no tracing here (qemu-user, a sandbox)

// Runs `work` in a child, which is killed as it enters its `calls`-th system call.
template <typename Work>
Killed KillAtCall(int calls, const Work& work) {
  const pid_t child = ::fork();
  if (child == 0) {
    if (::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) ::_exit(1);
    ::raise(SIGSTOP);
    work();
    ::_exit(0);
  }
  int status = 0;
  bool traced =
      ::waitpid(child, &status, 0) == child && WIFSTOPPED(status) &&
      ::ptrace(PTRACE_SETOPTIONS, child, nullptr, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL) == 0;
  // Each call stops it twice.
  for (int stop = 0; traced && stop < 2 * calls - 1; ++stop) {
    traced = ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr) == 0 &&
             ::waitpid(child, &status, 0) == child;
    if (traced && !WIFSTOPPED(status)) return Killed::kEnded;
  }
  ::kill(child, SIGKILL);
  ::waitpid(child, &status, 0);
  return traced ? Killed::kYes : Killed::kCannot;
}

}  // namespace vtee::ta
