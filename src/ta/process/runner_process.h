// SPDX-License-Identifier: BSD-3-Clause
// RunnerProcess: the process that executes one TA instance, and the turns taken with it.
//
// Ends with the object. The process is the boundary around the TA: what it does ends in its own
// death at worst, which Exchange() reports.
// Threading: one thread at a time, but Kill() from any.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

#include "base/adaptive_spin.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "ta/process/arena.h"
#include "ta/process/debug_port.h"

namespace vtee::ta {

// How runners are started.
struct RunnerProgram {
  std::string path;      // vtee-ta
  std::string emulator;  // qemu-aarch64-static; empty: this machine executes AArch64 itself
  // Each process waits for a debugger, at this TCP port or the next free one; 0: none does. Such a
  // process runs in an emulator and without a filter of system calls.
  std::uint16_t debug_port = 0;

  // The installed ones; VTEE_TA names another vtee-ta. An error says what to install.
  static Result<RunnerProgram> Find(std::uint16_t debug_port = 0);
};

class RunnerProcess {
 public:
  // Starts the process and waits until it is ready (kUnavailable when it is not within `ready_ms`).
  static Result<std::unique_ptr<RunnerProcess>> Start(const RunnerProgram& program, Arena arena,
                                                      std::uint32_t ready_ms = 20'000);
  // An arena to load into that nothing runs in, for tests: as a process that has died.
  static std::unique_ptr<RunnerProcess> NotStarted(Arena arena);
  RunnerProcess(const RunnerProcess&) = delete;
  RunnerProcess& operator=(const RunnerProcess&) = delete;
  ~RunnerProcess();

  const Arena& arena() const { return arena_; }
  // Where a debugger is waited for; 0: nowhere.
  std::uint16_t debug_port() const { return debug_ != nullptr ? debug_->port() : 0; }
  pid_t pid() const { return pid_; }

  // Gives the turn to the runner (args are in the Channel) and waits for it to come back. False:
  // the process is dead, for whatever reason.
  [[nodiscard]] bool Exchange(runner::Request request);
  // From now on the process may have the turn for so long in all, 0 for ever; then it is killed.
  void GiveTime(std::uint64_t nanos);
  // It was killed for that.
  bool overran() const { return overran_; }
  // Ends the process; a running Exchange() returns false soon. It can not be used any more.
  void Kill();
  bool dead() const { return dead_.load(std::memory_order_acquire); }
  // For people: "signal 11 (Segmentation fault)", "status 1", "not ended".
  std::string DescribeEnd() const;
  // Looks whether the process is still there; any thread, while nobody has the turn.
  bool HasEnded();

 private:
  explicit RunnerProcess(Arena arena) : arena_(std::move(arena)) {}
  bool AwaitTurn(std::uint64_t limit_ns);
  bool AwaitReady(std::uint64_t limit_ns);

  Arena arena_;
  UniqueFd pidfd_;
  pid_t pid_ = -1;
  std::unique_ptr<DebugPort> debug_;
  bool ready_ = false;
  std::atomic<bool> dead_{false};
  std::uint64_t time_left_ns_ = 0;  // of what it was given; 0: no end
  bool overran_ = false;
  AdaptiveSpin spin_{0};
};

}  // namespace vtee::ta
