// SPDX-License-Identifier: BSD-3-Clause
// A block of AES, SM4 and other ciphers of 128 bits, as the modes that are vtee's own work on it.
#pragma once

#include <array>
#include <cstddef>

namespace vtee::ta {

inline constexpr std::size_t kBlock = 16;
using Block = std::array<std::byte, kBlock>;

}  // namespace vtee::ta
