// SPDX-License-Identifier: BSD-3-Clause
// Random octets for keys, nonces and TEE_GenerateRandom. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace vtee::ta {

// GENERIC: the machine gave no randomness; `out` then holds nothing to be used.
[[nodiscard]] std::uint32_t RandomBytes(std::span<std::byte> out);

}  // namespace vtee::ta
