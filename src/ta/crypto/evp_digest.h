// SPDX-License-Identifier: BSD-3-Clause
// Digests of algorithm numbers, as OpenSSL's constants. Pure; any thread.
#pragma once

#include <openssl/evp.h>

#include <cstdint>

namespace vtee::ta {

// By the four bits that GlobalPlatform numbers digests with inside other algorithms: 1 MD5 to
// 0xB SHA3-512. Null: none of these.
const EVP_MD* EvpDigestByNumber(std::uint32_t number);

// Of a TEE_ALG_MD5 to TEE_ALG_SHA3_512. Null: none of these.
inline const EVP_MD* EvpDigestOf(std::uint32_t algorithm) {
  constexpr std::uint32_t kDigestClass = 0x50000000;
  return (algorithm & ~0xFu) == kDigestClass ? EvpDigestByNumber(algorithm & 0xF) : nullptr;
}

// The low byte of an algorithm that works with keys: which kind of key.
inline std::uint32_t MainAlgorithm(std::uint32_t algorithm) { return algorithm & 0xFF; }

}  // namespace vtee::ta
