// SPDX-License-Identifier: BSD-3-Clause
#include "ta/core/call.h"

#include <algorithm>

namespace vtee::ta {

void Cancellation::Request() {
  {
    const std::lock_guard lock(mutex_);
    requested_ = true;
  }
  changed_.notify_all();
}

bool Cancellation::RequestedLocked() const {
  return requested_ || (deadline_ && Clock::now() >= *deadline_);
}

bool Cancellation::requested() {
  const std::lock_guard lock(mutex_);
  return !masked_ && RequestedLocked();
}

bool Cancellation::SetMask(bool masked) {
  const std::lock_guard lock(mutex_);
  const bool before = masked_;
  masked_ = masked;
  return before;
}

void Cancellation::set_deadline(Clock::time_point deadline) {
  const std::lock_guard lock(mutex_);
  deadline_ = deadline;
}

bool Cancellation::WaitFor(std::chrono::milliseconds time) {
  std::unique_lock lock(mutex_);
  const auto end = Clock::now() + time;
  for (;;) {
    if (!masked_ && RequestedLocked()) return false;
    const auto now = Clock::now();
    if (now >= end) return true;
    auto until = end;
    if (!masked_ && deadline_) until = std::min(until, std::max(*deadline_, now));
    changed_.wait_until(lock, until);
  }
}

}  // namespace vtee::ta
