// SPDX-License-Identifier: BSD-3-Clause
// CallSlot: what the dialect keeps for one yielding call in flight; OP-TEE calls it a thread.
// The slot's index is the resume token the guest carries in a3.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>

#include "dialect/optee/arg_memory.h"
#include "mediator/yielding_call.h"
#include "tee/session_tee.h"

namespace vtee::optee {

struct CallSlot {
  std::shared_ptr<mediator::YieldingCall> call;
  // Guarded by the call's lock while the call runs (GuestTongue callbacks run under it):
  // Where RPC messages to the guest go; invalid until the guest has lent memory for them.
  ArgMemory rpc_arg;
  bool rpc_arg_allocated = false;  // by an ALLOC RPC, to be given back with FREE
  std::uint64_t rpc_arg_cookie = 0;
  bool waited = false;        // rpc_arg holds the guest's answer to a wait for a notification
  bool wait_refused = false;  // and would not: use foreign-interrupt returns

  std::optional<std::uint64_t> arg_cookie;  // of the buffer its message lies in, if registered

  tee::OperationId operation{};

  // Other memory, or none, for RPC messages. What the old one held about a wait goes with it.
  void UseRpcArg(ArgMemory memory, bool allocated = false, std::uint64_t cookie = 0) {
    rpc_arg = std::move(memory);
    rpc_arg_allocated = allocated;
    rpc_arg_cookie = cookie;
    waited = false;
  }
};

// The notification value that wakes the guest thread of slot `index`; 0 is OP-TEE's own.
constexpr std::uint32_t NotificationValue(std::uint32_t index) { return index + 1; }

}  // namespace vtee::optee
