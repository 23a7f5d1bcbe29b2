// SPDX-License-Identifier: BSD-3-Clause
#include "dialect/optee/call_slots.h"

#include <algorithm>

#include "dialect/optee/notifier.h"

namespace vtee::optee {
namespace {

// Every slot has a notification value, and values stop short of the bound the guest is told.
constexpr std::uint32_t kMostSlots = Notifier::kMaxValue - NotificationValue(0);

}  // namespace

CallSlots::CallSlots(mediator::GuestTongue& tongue, std::uint32_t limit) : limit_(limit) {
  const std::uint32_t count = Count(limit);
  for (std::uint32_t i = 0; i < count; ++i) {
    auto slot = std::make_unique<CallSlot>();
    slot->call = std::make_shared<mediator::YieldingCall>(tongue, i);
    slots_.push_back(std::move(slot));
    free_.push_back(count - 1 - i);
  }
}

std::uint32_t CallSlots::Count(std::uint32_t limit) {
  return std::max(limit, std::min(2 * limit, kMostSlots));
}

CallSlot* CallSlots::Acquire() {
  const std::lock_guard lock(mutex_);
  if (in_use_ == limit_ || free_.empty()) return nullptr;
  CallSlot* slot = slots_[free_.back()].get();
  free_.pop_back();
  ++in_use_;
  slot->life = life_;
  slot->operation = tee::OperationId(++last_operation_);
  return slot;
}

void CallSlots::Release(std::uint32_t index) {
  const std::lock_guard lock(mutex_);
  if (slots_[index]->life == life_) --in_use_;
  free_.push_back(index);
  freed_.notify_all();
}

bool CallSlots::IsCurrent(const CallSlot& slot) const {
  const std::lock_guard lock(mutex_);
  return slot.life == life_;
}

std::size_t CallSlots::BeginLife(const mediator::RegisterReply& farewell) {
  std::size_t left = 0;
  {
    const std::lock_guard lock(mutex_);
    left = in_use_;
    in_use_ = 0;
    ++life_;
  }
  // Without the lock: aborting a call that has ended frees its slot.
  for (const auto& slot : slots_) slot->call->Abort(farewell);
  return left;
}

bool CallSlots::WaitForOld(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  return freed_.wait_until(lock, deadline, [this] { return OldLocked() == 0; });
}

std::size_t CallSlots::in_use() const {
  const std::lock_guard lock(mutex_);
  return in_use_;
}

std::size_t CallSlots::old() const {
  const std::lock_guard lock(mutex_);
  return OldLocked();
}

}  // namespace vtee::optee
