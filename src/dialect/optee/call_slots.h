// SPDX-License-Identifier: BSD-3-Clause
// CallSlots: the yielding calls that a guest may have in flight, and which driver's they are.
//
// A driver's life ends when the machine restarts or the guest's next driver starts. What is then
// still inside the TEE keeps its slot until the TEE lets go of it, but no longer counts: the next
// driver finds as many slots as it was promised. As many again as its own may be held so; a guest
// that leaves even more behind has to wait for them.
// Threading: any thread. Ownership: owns the slots, which never move.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "dialect/optee/call_slot.h"
#include "mediator/secure_call.h"

namespace vtee::optee {

class CallSlots {
 public:
  // `limit`: calls in flight of one driver.
  CallSlots(mediator::GuestTongue& tongue, std::uint32_t limit);
  // How many slots there are for a limit.
  static std::uint32_t Count(std::uint32_t limit);

  // A slot for a new call; null: the driver has its calls in flight.
  CallSlot* Acquire();
  void Release(std::uint32_t index);
  // Does the call belong to the driver of now?
  bool IsCurrent(const CallSlot& slot) const;
  // The slot of a resume token; null: there is none.
  CallSlot* Find(std::uint32_t token) const {
    return token < slots_.size() ? slots_[token].get() : nullptr;
  }
  CallSlot& operator[](std::uint32_t index) const { return *slots_[index]; }

  // The driver of now is gone: its calls are aborted, those that hold a vCPU answered with
  // `farewell`. Returns how many there were. A call that another vCPU makes meanwhile may be
  // taken for one of them; no driver calls while it starts.
  std::size_t BeginLife(const mediator::RegisterReply& farewell);
  // Waits until no call of an earlier life is left. False: not by then.
  bool WaitForOld(std::chrono::steady_clock::time_point deadline);
  std::size_t in_use() const;  // by the driver of now
  std::size_t old() const;     // by those before

 private:
  std::size_t OldLocked() const { return slots_.size() - free_.size() - in_use_; }

  const std::uint32_t limit_;
  std::vector<std::unique_ptr<CallSlot>> slots_;  // fixed after construction
  mutable std::mutex mutex_;
  std::condition_variable freed_;
  std::vector<std::uint32_t> free_;
  std::uint32_t in_use_ = 0;
  std::uint32_t life_ = 0;  // counts BeginLife()
  std::uint32_t last_operation_ = 0;
};

}  // namespace vtee::optee
