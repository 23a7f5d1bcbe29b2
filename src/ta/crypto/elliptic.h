// SPDX-License-Identifier: BSD-3-Clause
// DSA, ECDSA, ECDH and SM2. TEE codes; as AsymmetricOperate().
#pragma once

#include <cstdint>

#include "ta/crypto/object.h"

namespace vtee::ta {

std::uint32_t DsaSign(const CryptoObject& key, ConstBytes digest, SecretBytes& signature);
std::uint32_t DsaVerify(std::uint32_t algorithm, const CryptoObject& key, ConstBytes digest,
                        ConstBytes signature);
// ECDSA and, with an SM2 key, SM2 signatures of a digest. A key that is no point verifies none.
std::uint32_t EccSign(const CryptoObject& key, ConstBytes digest, SecretBytes& signature);
std::uint32_t EccVerify(const CryptoObject& key, ConstBytes digest, ConstBytes signature);
// The x coordinate of the shared point. BAD_PARAMETERS: the peer's is no point of the curve.
std::uint32_t EcdhDerive(const CryptoObject& key, ConstBytes x, ConstBytes y, SecretBytes& secret);
// 04, x, y, encrypted text, SM3 digest (GB/T 32918.4, as OP-TEE orders it).
std::uint32_t Sm2Encrypt(const CryptoObject& key, ConstBytes in, SecretBytes& out);
std::uint32_t Sm2Decrypt(const CryptoObject& key, ConstBytes in, SecretBytes& out);

}  // namespace vtee::ta
