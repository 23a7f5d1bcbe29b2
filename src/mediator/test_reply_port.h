// SPDX-License-Identifier: BSD-3-Clause
// TestReplyPort: a vCPU without a VMM, for tests. Collects replies and counts hand-overs.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <vector>

#include "mediator/secure_call.h"

namespace vtee::mediator {

class TestReplyPort final : public ReplyPort {
 public:
  // A responder for the next request of this vCPU.
  Responder NewRequest() {
    const std::lock_guard lock(mutex_);
    reply_.reset();
    return Responder(this, ++sequence_);
  }
  std::uint32_t sequence() const {
    const std::lock_guard lock(mutex_);
    return sequence_;
  }

  void Reply(std::uint32_t sequence, const RegisterReply& reply) override {
    const std::lock_guard lock(mutex_);
    if (sequence != sequence_ || reply_) ++protocol_errors_;
    reply_ = reply;
    changed_.notify_all();
  }
  void Detach() override {
    const std::lock_guard lock(mutex_);
    ++detached_;
  }
  void SetParkTarget(std::uint32_t, std::weak_ptr<ParkTarget> target) override {
    const std::lock_guard lock(mutex_);
    target_ = std::move(target);
  }

  // The VMM side's timer has expired.
  void AskToPark() {
    std::shared_ptr<ParkTarget> target;
    std::uint32_t sequence = 0;
    {
      const std::lock_guard lock(mutex_);
      target = target_.lock();
      sequence = sequence_;
    }
    if (target) target->Park(*this, sequence);
  }
  bool replied() const {
    const std::lock_guard lock(mutex_);
    return reply_.has_value();
  }
  // The reply to the outstanding request; nothing after `patience`.
  std::optional<RegisterReply> WaitReply(
      std::chrono::milliseconds patience = std::chrono::milliseconds(5000)) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, patience, [this] { return reply_.has_value(); });
    return reply_;
  }
  int detached() const {
    const std::lock_guard lock(mutex_);
    return detached_;
  }
  int protocol_errors() const {
    const std::lock_guard lock(mutex_);
    return protocol_errors_;
  }

 private:
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::uint32_t sequence_ = 0;
  std::optional<RegisterReply> reply_;
  std::weak_ptr<ParkTarget> target_;
  int detached_ = 0;
  int protocol_errors_ = 0;
};

}  // namespace vtee::mediator
