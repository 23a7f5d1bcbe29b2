// SPDX-License-Identifier: BSD-3-Clause
// What the fake TEE's trusted applications answer most.
#pragma once

#include "tee/types.h"

namespace vtee::backend {

inline constexpr tee::Outcome kSuccess{tee::code::kSuccess, tee::Origin::kTrustedApp};
inline constexpr tee::Outcome kBadParameters{tee::code::kBadParameters, tee::Origin::kTrustedApp};

}  // namespace vtee::backend
