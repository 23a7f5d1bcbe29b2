// SPDX-License-Identifier: BSD-3-Clause
// Call: one call from the guest (or from a program) while it runs through TAs, and Entry: one entry
// of it into a TA, with what cancels it.
//
// Threading: a Call belongs to its thread; Cancellation is shared with those who cancel.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>

#include "tee/session_tee.h"

namespace vtee::ta {

class TaInstance;

class Cancellation {
 public:
  using Clock = std::chrono::steady_clock;

  void Request();
  // As GetCancellationFlag: not while masked.
  bool requested();
  // Returns the mask as it was.
  bool SetMask(bool masked);
  // Waits; false: cancelled before.
  bool WaitFor(std::chrono::milliseconds time);
  // As if Request() were called then.
  void set_deadline(Clock::time_point deadline);

 private:
  bool RequestedLocked() const;
  std::mutex mutex_;
  std::condition_variable changed_;
  bool requested_ = false;
  bool masked_ = true;
  std::optional<Clock::time_point> deadline_;
};

struct Call {
  tee::CallContext& context;
  Cancellation cancellation;        // of the entry the caller asked for
  int depth = 0;                    // how many TAs it is in
  TaInstance* waits_for = nullptr;  // under the core's lock
};

// OP-TEE's CFG_CORE_MAX_SYSCALL_RECURSION.
inline constexpr int kMaxCallDepth = 4;

}  // namespace vtee::ta
