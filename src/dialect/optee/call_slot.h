// SPDX-License-Identifier: BSD-3-Clause
// CallSlot: what the dialect keeps for one yielding call in flight; OP-TEE calls it a thread.
// The slot's index is the resume token the guest carries in a3.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <optional>

#include "dialect/optee/arg_memory.h"
#include "mediator/yielding_call.h"
#include "tee/session_tee.h"

namespace vtee::optee {

struct CallSlot {
  std::shared_ptr<mediator::YieldingCall> call;
  // Where RPC messages to the guest go; invalid until the guest has lent memory for them.
  ArgMemory rpc_arg;
  bool rpc_arg_allocated = false;  // by an ALLOC RPC, to be given back with FREE
  std::uint64_t rpc_arg_cookie = 0;
  // Guarded by the call's lock (GuestTongue callbacks run under it):
  bool waited = false;        // the guest was last told to wait for a notification
  bool wait_refused = false;  // and would not: use foreign-interrupt returns

  std::optional<std::uint64_t> arg_cookie;  // of the buffer its message lies in, if registered

  tee::OperationId operation{};
};

// The notification value that wakes the guest thread of slot `index`; 0 is OP-TEE's own.
constexpr std::uint32_t NotificationValue(std::uint32_t index) { return index + 1; }

}  // namespace vtee::optee
