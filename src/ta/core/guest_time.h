// SPDX-License-Identifier: BSD-3-Clause
// The time of the normal world: the guest's clock (OPTEE_RPC_CMD_GET_TIME), or the host's where
// nobody can be asked. The thread of the call.
#pragma once

#include <cstdint>

#include "tee/session_tee.h"

namespace vtee::ta {

// TEE_Time
struct TeeTime {
  std::uint32_t seconds = 0;
  std::uint32_t millis = 0;
};
static_assert(sizeof(TeeTime) == 8);

TeeTime AskGuestForTime(tee::CallContext& context);

}  // namespace vtee::ta
