// SPDX-License-Identifier: BSD-3-Clause
// TEE_OperationMode.
#pragma once

#include <cstdint>

namespace vtee::ta::opmode {

inline constexpr std::uint32_t kEncrypt = 0;
inline constexpr std::uint32_t kDecrypt = 1;
inline constexpr std::uint32_t kSign = 2;
inline constexpr std::uint32_t kVerify = 3;
inline constexpr std::uint32_t kDerive = 6;

}  // namespace vtee::ta::opmode
