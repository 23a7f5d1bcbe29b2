// SPDX-License-Identifier: BSD-3-Clause
// Notifier: asynchronous notifications to the guest (OPTEE_SMC_GET_ASYNC_NOTIF_VALUE).
//
// vtee raises a value and the interrupt; the guest's threaded handler asks for values until none
// is pending. Value 0 is OP-TEE's "do bottom half" and is never raised. Threading: any thread.
#pragma once

#include <poll.h>
#include <unistd.h>

#include <bitset>
#include <cstdint>
#include <mutex>

#include "base/unique_fd.h"

namespace vtee::optee {

class Notifier {
 public:
  static constexpr std::uint32_t kMaxValue = 255;  // told to the guest; Linux wants value < max

  void SetInterrupt(UniqueFd eventfd) {
    const std::lock_guard lock(mutex_);
    interrupt_ = std::move(eventfd);
  }
  bool available() const {
    const std::lock_guard lock(mutex_);
    return interrupt_.valid();
  }
  // The guest has its handler in place (ENABLE_ASYNC_NOTIF) / takes it down or restarts.
  void Enable(bool enabled) {
    const std::lock_guard lock(mutex_);
    enabled_ = enabled && interrupt_.valid();
    if (!enabled) pending_.reset();
  }
  bool enabled() const {
    const std::lock_guard lock(mutex_);
    return enabled_;
  }
  void Raise(std::uint32_t value) {
    const std::lock_guard lock(mutex_);
    if (!enabled_ || value == 0 || value >= kMaxValue) return;
    pending_.set(value);
    // A full eventfd counter means the interrupt is pending anyway; the descriptor is the VMM's,
    // and may be one on which a write would wait.
    pollfd room{interrupt_.get(), POLLOUT, 0};
    if (poll(&room, 1, 0) != 1 || (room.revents & POLLOUT) == 0) return;
    const std::uint64_t one = 1;
    if (write(interrupt_.get(), &one, sizeof one) < 0) return;
  }
  // The next pending value; `more` tells whether others follow. False: none.
  bool Take(std::uint32_t& value, bool& more) {
    const std::lock_guard lock(mutex_);
    if (pending_.none()) return false;
    value = static_cast<std::uint32_t>(pending_._Find_first());
    pending_.reset(value);
    more = pending_.any();
    return true;
  }

 private:
  mutable std::mutex mutex_;
  UniqueFd interrupt_;
  bool enabled_ = false;
  std::bitset<kMaxValue + 1> pending_;
};

}  // namespace vtee::optee
