// SPDX-License-Identifier: BSD-3-Clause
// TestStepper: follows a process system call by system call, over all its threads, and does
// something to it at the nth: kill it, stop it for a while, or let that system call fail.
//
// Steps are counted from the start of the program itself: those of the dynamic loader are left
// out. Threading: one thread, which must be the one that started the children (ptrace).
// Linux on x86-64 and arm64.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace vtee::daemon {

struct SystemCall {
  long number = 0;           // SYS_*
  std::uint64_t second = 0;  // argument: what futex() is to do
};

struct StepPlan {
  enum class Action { kNothing, kKill, kStop, kFail };
  Action action = Action::kNothing;
  std::uint64_t at = 0;  // from 1
  // kFail: the system call is not made and answers this errno; 0: it is made.
  std::function<int(const SystemCall&)> error = [](const SystemCall&) { return 0; };
  // kStop: called while every thread of the process stands still.
  std::function<void()> while_stopped = [] {};
};

// One child: with `plan`, it is followed.
struct TestProgram {
  std::vector<std::string> arguments;         // [0]: the program
  std::vector<std::pair<int, int>> kept;      // descriptors: here, there
  std::vector<std::string> environment = {};  // added
};

class TestStepper {
 public:
  explicit TestStepper(StepPlan plan) : plan_(std::move(plan)) {}
  ~TestStepper();  // kills what is left
  TestStepper(const TestStepper&) = delete;
  TestStepper& operator=(const TestStepper&) = delete;

  // Starts a child; of those that are `followed` there may be one.
  pid_t Start(const TestProgram& program, bool followed);
  // Until all children have ended; false: not all of them did within the deadline.
  bool RunAll(int seconds);

  struct End {
    int status = 0;          // as of waitpid()
    std::uint64_t when = 0;  // MonotonicNanos()
  };
  const End& end(pid_t pid) const { return ended_.at(pid); }
  // The number (SYS_*) of each step seen.
  const std::vector<long>& steps() const { return steps_; }
  bool reached() const { return reached_; }
  int error() const { return error_; }  // of kFail

 private:
  enum class Thread : std::uint8_t { kRunning, kFailing, kStopped };

  void Handle(pid_t tid, int status);
  void HandleSyscall(pid_t tid);
  void Act(pid_t tid, const SystemCall& call);
  void GoOn(pid_t tid, int signal = 0);
  void StandStill();

  const StepPlan plan_;
  pid_t followed_ = -1;
  std::uint64_t loader_begin_ = 0;
  std::uint64_t loader_end_ = 0;
  std::map<pid_t, Thread> threads_;  // of the followed process
  std::map<pid_t, End> ended_;
  std::vector<pid_t> children_;
  std::vector<long> steps_;
  int error_ = 0;
  bool reached_ = false;
  bool stopping_ = false;
  // exit_group() has begun: a signal to what other threads still do changes nothing.
  bool leaving_ = false;
};

}  // namespace vtee::daemon
