// SPDX-License-Identifier: BSD-3-Clause
// CBC with ciphertext stealing in the variant CBC-CS3 (the last two blocks always change places),
// over data that comes in several pieces; OpenSSL takes all of it at once.
// Threading and ownership: see cipher.h. Not supported: CBC-CS1 and CBC-CS2.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "ta/crypto/cipher.h"
#include "ta/crypto/evp_cipher.h"

namespace vtee::ta {

// Null when the key's length does not fit a block cipher of 128-bit blocks.
std::unique_ptr<CipherState> CreateCts(BlockAlgorithm algorithm, bool encrypt,
                                       std::span<const std::byte> key);

}  // namespace vtee::ta
