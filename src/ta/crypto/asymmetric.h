// SPDX-License-Identifier: BSD-3-Clause
// Asymmetric encryption and signatures as operations of a TA (system calls 39 and 40).
//
// Signatures of DSA, ECDSA and SM2 are r and s one after the other. Results are TEE codes. Any
// thread, a key in one at a time. Not supported: Ed448.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ta/crypto/object.h"

namespace vtee::ta {

inline constexpr std::uint32_t kSignatureInvalid = 0xFFFF3072;

// Encryption, decryption or signing can be done with such an algorithm.
bool IsAsymmetricSupported(std::uint32_t algorithm);

// `mode`: TEE_MODE_ENCRYPT, _DECRYPT or _SIGN.
std::uint32_t AsymmetricOperate(std::uint32_t algorithm, std::uint32_t mode,
                                const CryptoObject& key, Attributes params, ConstBytes in,
                                SecretBytes& out);
// The size of what comes out, where OP-TEE wants room for it before it looks at what goes in, so
// that asking for the size never fails: encryption with RSA and padding. Otherwise 0.
std::size_t AsymmetricRoom(std::uint32_t algorithm, std::uint32_t mode, const CryptoObject& key);

std::uint32_t AsymmetricVerify(std::uint32_t algorithm, const CryptoObject& key, Attributes params,
                               ConstBytes data, ConstBytes signature);

}  // namespace vtee::ta
