// SPDX-License-Identifier: BSD-3-Clause
// XTS (IEEE 1619) over data that comes in several pieces; OpenSSL begins the sector anew with
// each. With SM4 it is the same construction (OP-TEE's, not the bit order of GB/T 17964).
// Threading and ownership: see cipher.h. Not supported: a length in bits.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "ta/crypto/cipher.h"
#include "ta/crypto/evp_cipher.h"

namespace vtee::ta {

// Null when the keys' lengths do not fit a block cipher of 128-bit blocks.
std::unique_ptr<CipherState> CreateXts(BlockAlgorithm algorithm, bool encrypt,
                                       std::span<const std::byte> key,
                                       std::span<const std::byte> tweak_key);

}  // namespace vtee::ta
