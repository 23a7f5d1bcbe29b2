// SPDX-License-Identifier: BSD-3-Clause
// Asks the guest's supplicant for the file of a TA (OPTEE_RPC_CMD_LOAD_TA): its size first, then
// its bytes. The thread of the call.
#pragma once

#include <cstdint>
#include <variant>
#include <vector>

#include "ta/loader/modules.h"
#include "tee/session_tee.h"

namespace vtee::ta {

inline constexpr std::uint64_t kMostTaFile = 64u << 20;

std::variant<std::vector<std::byte>, LoadFailure> AskGuestForTa(tee::CallContext& context,
                                                                const tee::Uuid& uuid);

}  // namespace vtee::ta
