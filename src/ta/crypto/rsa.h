// SPDX-License-Identifier: BSD-3-Clause
// RSA: PKCS#1 v1.5, OAEP, PSS and without padding. TEE codes; as AsymmetricOperate().
#pragma once

#include <cstdint>
#include <optional>

#include "ta/crypto/object.h"

struct evp_md_st;

namespace vtee::ta {

struct RsaScheme {
  enum class Padding : std::uint8_t { kNone, kPkcs1, kOaep, kPss };
  Padding padding = Padding::kNone;
  bool signs = false;
  const evp_md_st* digest = nullptr;  // null: PKCS#1 encryption, raw signatures, no padding
};
// Nothing: no such algorithm.
std::optional<RsaScheme> RsaSchemeOf(std::uint32_t algorithm);

std::uint32_t RsaEncrypt(std::uint32_t algorithm, const CryptoObject& key, Attributes params,
                         ConstBytes in, SecretBytes& out);
std::uint32_t RsaDecrypt(std::uint32_t algorithm, const CryptoObject& key, Attributes params,
                         ConstBytes in, SecretBytes& out);
// `in`: the digest; with the algorithm without one, what is to be padded.
std::uint32_t RsaSign(std::uint32_t algorithm, const CryptoObject& key, Attributes params,
                      ConstBytes in, SecretBytes& out);
std::uint32_t RsaVerify(std::uint32_t algorithm, const CryptoObject& key, Attributes params,
                        ConstBytes data, ConstBytes signature);

}  // namespace vtee::ta
