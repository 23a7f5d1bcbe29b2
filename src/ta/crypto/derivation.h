// SPDX-License-Identifier: BSD-3-Clause
// Key derivation as an operation of a TA (system call 32). Results are TEE codes. Any thread.
// Not supported: SM2 key exchange (TEE_ALG_SM2_KEP).
#pragma once

#include <cstdint>

#include "ta/crypto/object.h"

namespace vtee::ta {

bool IsDerivationSupported(std::uint32_t algorithm);

// `into`: a symmetric key or generic secret, which is filled.
std::uint32_t DeriveKey(std::uint32_t algorithm, const CryptoObject& key, Attributes params,
                        CryptoObject& into);

}  // namespace vtee::ta
