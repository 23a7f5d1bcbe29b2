// SPDX-License-Identifier: BSD-3-Clause
// CallSlot: what the dialect keeps for one yielding call in flight; OP-TEE calls it a thread.
// The slot's index is the resume token the guest carries in a3.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "dialect/optee/arg_memory.h"
#include "mediator/yielding_call.h"
#include "tee/session_tee.h"

namespace vtee::optee {

// What a parked guest was asked to do until its call is done (optee_dialect.cc has the questions).
struct GuestWait {
  enum class Asked : std::uint8_t { kNothing, kWait, kNap, kNobody };
  Asked asked = Asked::kNothing;  // the RPC memory holds, or will hold, the guest's answer
  std::chrono::steady_clock::time_point since{};
  std::chrono::milliseconds nap{};  // the length of the latest
  bool refused = false;             // it would not wait: use foreign-interrupt returns
};

struct CallSlot {
  std::shared_ptr<mediator::YieldingCall> call;
  // Guarded by the call's lock while the call runs (GuestTongue callbacks run under it):
  // Where RPC messages to the guest go; invalid until the guest has lent memory for them.
  ArgMemory rpc_arg;
  bool rpc_arg_allocated = false;  // by an ALLOC RPC, to be given back with FREE
  std::uint64_t rpc_arg_cookie = 0;
  GuestWait wait;

  std::optional<std::uint64_t> arg_cookie;  // of the buffer its message lies in, if registered

  tee::OperationId operation{};
  std::uint32_t life = 0;  // of the driver that made the call (call_slots.h)

  // Other memory, or none, for RPC messages. What the old one held about a wait goes with it.
  void UseRpcArg(ArgMemory memory, bool allocated = false, std::uint64_t cookie = 0) {
    rpc_arg = std::move(memory);
    rpc_arg_allocated = allocated;
    rpc_arg_cookie = cookie;
    wait.asked = GuestWait::Asked::kNothing;
  }
};

// The notification value that wakes the guest thread of slot `index`; 0 is OP-TEE's own.
constexpr std::uint32_t NotificationValue(std::uint32_t index) { return index + 1; }

}  // namespace vtee::optee
