// SPDX-License-Identifier: BSD-3-Clause
// Which keys an operation takes, and what it needs of them. Pure.
#pragma once

#include <cstdint>

#include "ta/core/ta_handles.h"

namespace vtee::ta {

// A key of this type serves this algorithm in this mode.
bool KeyFits(std::uint32_t type, std::uint32_t algorithm, std::uint32_t mode);

// BAD_PARAMETERS: the wrong number of keys; NOT_SUPPORTED: no such algorithm.
std::uint32_t CheckKeyCount(std::uint32_t algorithm, bool key1, bool key2);

}  // namespace vtee::ta
