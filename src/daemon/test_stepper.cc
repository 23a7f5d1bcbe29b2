// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/test_stepper.h"

#include <elf.h>
#include <fcntl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstddef>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include "base/clock.h"
#include "base/unique_fd.h"

namespace vtee::daemon {
namespace {

constexpr int kSyscallStop = SIGTRAP | 0x80;
constexpr long kOptions =
    PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;

long Trace(int request, pid_t tid, std::uintptr_t address = 0, std::uintptr_t data = 0) {
  return ptrace(static_cast<__ptrace_request>(request), tid, address, data);
}

// At the entry of a system call: it will not be made.
void SkipCall(pid_t tid) {
#if defined(__x86_64__)
  Trace(PTRACE_POKEUSER, tid, offsetof(user, regs.orig_rax), ~std::uintptr_t{0});
#elif defined(__aarch64__)
  int none = -1;
  iovec number{&none, sizeof none};
  Trace(PTRACE_SETREGSET, tid, 0x404 /* NT_ARM_SYSTEM_CALL */,
        reinterpret_cast<std::uintptr_t>(&number));
#else
#error "the registers of this architecture are not known here"
#endif
}

// At its exit: what it returns.
void SetResult(pid_t tid, long result) {
#if defined(__x86_64__)
  Trace(PTRACE_POKEUSER, tid, offsetof(user, regs.rax), static_cast<std::uintptr_t>(result));
#else
  user_regs_struct registers{};
  iovec all{&registers, sizeof registers};
  Trace(PTRACE_GETREGSET, tid, NT_PRSTATUS, reinterpret_cast<std::uintptr_t>(&all));
  registers.regs[0] = static_cast<std::uint64_t>(result);
  Trace(PTRACE_SETREGSET, tid, NT_PRSTATUS, reinterpret_cast<std::uintptr_t>(&all));
#endif
}

// Where the dynamic loader of a process that has just begun lies.
void FindLoader(pid_t pid, std::uint64_t& begin, std::uint64_t& end) {
  std::ifstream maps("/proc/" + std::to_string(pid) + "/maps");
  begin = end = 0;
  for (std::string line; std::getline(maps, line);) {
    if (line.find("/ld-linux") == std::string::npos) continue;
    std::istringstream words(line);
    std::uint64_t from = 0;
    std::uint64_t to = 0;
    char dash = 0;
    words >> std::hex >> from >> dash >> to;
    if (begin == 0) begin = from;
    end = to;
  }
}

[[noreturn]] void Become(const TestProgram& program, int go) {
  // First out of each other's way.
  constexpr int kFirstHigh = 100;
  go = fcntl(go, F_DUPFD_CLOEXEC, kFirstHigh);
  std::vector<std::pair<int, int>> kept = program.kept;
  for (auto& [here, there] : kept) here = fcntl(here, F_DUPFD_CLOEXEC, kFirstHigh);
  for (const auto& [here, there] : kept) {
    if (here < 0 || dup2(here, there) < 0) _exit(126);
  }
  for (const std::string& variable : program.environment) {
    putenv(const_cast<char*>(variable.c_str()));
  }
  std::vector<char*> argv;
  for (const std::string& argument : program.arguments) {
    argv.push_back(const_cast<char*>(argument.c_str()));
  }
  argv.push_back(nullptr);
  char letter = 0;
  if (read(go, &letter, 1) != 1) _exit(126);  // until it is followed
  execv(argv[0], argv.data());
  _exit(127);
}

}  // namespace

TestStepper::~TestStepper() {
  for (const pid_t pid : children_) {
    if (ended_.contains(pid)) continue;
    kill(pid, SIGKILL);
    while (waitpid(pid, nullptr, __WALL) < 0 && errno == EINTR) {
    }
  }
}

pid_t TestStepper::Start(const TestProgram& program, bool followed) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) std::abort();
  const UniqueFd reader(ends[0]);
  const UniqueFd writer(ends[1]);
  const pid_t pid = fork();
  if (pid < 0) std::abort();
  if (pid == 0) Become(program, reader.get());
  children_.push_back(pid);
  if (followed) {
    if (Trace(PTRACE_SEIZE, pid, 0, kOptions) != 0 || Trace(PTRACE_INTERRUPT, pid) != 0 ||
        waitpid(pid, nullptr, __WALL) != pid) {
      std::abort();
    }
    followed_ = pid;
    threads_[pid] = Thread::kRunning;
    GoOn(pid);
  }
  if (write(writer.get(), "g", 1) != 1) std::abort();
  return pid;
}

bool TestStepper::RunAll(int seconds) {
  struct sigaction interrupt {};
  struct sigaction before {};
  interrupt.sa_handler = [](int) {};  // no SA_RESTART: waitpid() ends with EINTR
  sigaction(SIGALRM, &interrupt, &before);
  const itimerval every{{0, 200'000}, {0, 200'000}};
  setitimer(ITIMER_REAL, &every, nullptr);
  const std::uint64_t deadline =
      MonotonicNanos() + static_cast<std::uint64_t>(seconds) * 1'000'000'000;
  while (ended_.size() < children_.size() && MonotonicNanos() < deadline) {
    int status = 0;
    const pid_t tid = waitpid(-1, &status, __WALL);
    if (tid > 0) Handle(tid, status);
  }
  const itimerval never{};
  setitimer(ITIMER_REAL, &never, nullptr);
  sigaction(SIGALRM, &before, nullptr);
  return ended_.size() == children_.size();
}

void TestStepper::GoOn(pid_t tid, int signal) {
  threads_[tid] = threads_[tid] == Thread::kFailing ? Thread::kFailing : Thread::kRunning;
  // After what was planned nothing more is counted: at full speed.
  const bool count = !reached_ || threads_[tid] == Thread::kFailing;
  Trace(count ? PTRACE_SYSCALL : PTRACE_CONT, tid, 0, static_cast<std::uintptr_t>(signal));
}

void TestStepper::Handle(pid_t tid, int status) {
  if (WIFEXITED(status) || WIFSIGNALED(status)) {
    threads_.erase(tid);
    if (std::find(children_.begin(), children_.end(), tid) != children_.end()) {
      ended_[tid] = {status, MonotonicNanos()};
    }
    return StandStill();  // it may have been the last that still ran
  }
  const int signal = WSTOPSIG(status);
  const int event = status >> 16;
  if (signal == kSyscallStop) return HandleSyscall(tid);
  if (event == PTRACE_EVENT_EXEC) FindLoader(tid, loader_begin_, loader_end_);
  if (event == PTRACE_EVENT_STOP && signal == SIGSTOP) {
    threads_[tid] = Thread::kStopped;
    Trace(PTRACE_LISTEN, tid);
    return StandStill();
  }
  // Other events, and the first stop of a new thread, are no signals.
  GoOn(tid, event != 0 ? 0 : signal);
}

// Once all threads of the process have stopped.
void TestStepper::StandStill() {
  const bool all = std::all_of(threads_.begin(), threads_.end(), [](const auto& thread) {
    return thread.second == Thread::kStopped;
  });
  if (!stopping_ || !all || threads_.empty()) return;
  stopping_ = false;
  plan_.while_stopped();
  kill(followed_, SIGCONT);
}

void TestStepper::HandleSyscall(pid_t tid) {
  __ptrace_syscall_info info{};
  Trace(PTRACE_GET_SYSCALL_INFO, tid, sizeof info, reinterpret_cast<std::uintptr_t>(&info));
  if (info.op == PTRACE_SYSCALL_INFO_EXIT && threads_[tid] == Thread::kFailing) {
    SetResult(tid, -error_);
    threads_[tid] = Thread::kRunning;
  }
  const bool loader =
      info.instruction_pointer >= loader_begin_ && info.instruction_pointer < loader_end_;
  const bool counted =
      !reached_ && !leaving_ && info.op == PTRACE_SYSCALL_INFO_ENTRY && loader_end_ != 0 && !loader;
  if (!counted) return GoOn(tid);
  steps_.push_back(static_cast<long>(info.entry.nr));
  leaving_ = info.entry.nr == SYS_exit_group;
  if (steps_.size() != plan_.at) return GoOn(tid);
  Act(tid, {steps_.back(), info.entry.args[1]});
}

void TestStepper::Act(pid_t tid, const SystemCall& call) {
  switch (plan_.action) {
    case StepPlan::Action::kNothing:
      break;
    case StepPlan::Action::kKill:
      reached_ = true;
      kill(followed_, SIGKILL);
      return;
    case StepPlan::Action::kStop:
      reached_ = true;
      stopping_ = call.number != SYS_exit_group;
      if (stopping_) kill(followed_, SIGSTOP);
      break;
    case StepPlan::Action::kFail:
      error_ = plan_.error(call);
      if (error_ == 0) break;
      reached_ = true;
      SkipCall(tid);
      threads_[tid] = Thread::kFailing;
      break;
  }
  GoOn(tid);
}

}  // namespace vtee::daemon
