// SPDX-License-Identifier: BSD-3-Clause
// Child processes: how vtee starts them, and the signals it takes instead of dying of them.
//
// Threading: the process must have one thread (children run code between fork and exec).
// Ownership: the caller waits for the pids it gets.
#pragma once

#include <sys/signalfd.h>
#include <sys/types.h>

#include <chrono>
#include <csignal>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace vtee::cli {

// Blocks the signals that vtee handles, from construction to the end of the object, and offers
// them as a descriptor. Children get the mask of before.
class SignalQueue {
 public:
  static Result<SignalQueue> Create();
  SignalQueue(SignalQueue&&) = default;
  SignalQueue& operator=(SignalQueue&&) = delete;
  ~SignalQueue();

  int fd() const { return fd_.get(); }
  const sigset_t& original_mask() const { return original_; }
  // The next pending signal, if any; never waits.
  std::optional<signalfd_siginfo> Next();

 private:
  SignalQueue(UniqueFd fd, const sigset_t& original) : fd_(std::move(fd)), original_(original) {}
  UniqueFd fd_;
  sigset_t original_;
};

struct SpawnSpec {
  std::string program;                   // a path; no PATH lookup
  std::vector<std::string> arguments;    // without argv[0], which is the program
  std::vector<std::string> environment;  // "NAME=value"
  std::vector<int> inherited;            // descriptors that stay open, under their numbers
  int death_signal = 0;                  // sent to the child when this process dies; 0: none
  bool own_group = false;                // out of reach of the terminal's signals
  int stdin_fd = -1, stdout_fd = -1, stderr_fd = -1;  // -1: ours
};
// Reports a failed exec as an error, with the child already waited for.
Result<pid_t> Spawn(const SpawnSpec& spec, const SignalQueue& signals);

struct Captured {
  int wait_status = 0;
  std::string output;  // stdout and stderr, at most kMaxCaptured bytes
  // A signal to this process that ended the run early; the caller should end too.
  int interrupted_by = 0;
};
inline constexpr std::size_t kMaxCaptured = 16384;
// Runs to the end, killing at the time limit (an error) or when a signal asks this process to end.
Result<Captured> RunCaptured(SpawnSpec spec, SignalQueue& signals, std::chrono::seconds limit);

// "ended with status 3", "was ended by signal 9 (Killed)".
std::string DescribeEnd(int wait_status);

// This process's environment with the given variables replaced ("NAME=value") or removed ("NAME").
std::vector<std::string> ChangedEnvironment(const std::vector<std::string>& changes);

}  // namespace vtee::cli
