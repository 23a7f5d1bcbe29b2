// SPDX-License-Identifier: BSD-3-Clause
// Keys that are plain byte strings: X25519, X448 (RFC 7748), Ed25519 (RFC 8032). TEE codes.
#pragma once

#include <cstdint>

#include "ta/crypto/object.h"

namespace vtee::ta {

// Both halves of a pair of the object's type.
std::uint32_t GenerateRawKey(CryptoObject& object);

// The shared secret of X25519 or X448. BAD_PARAMETERS: not a key, or one of small order.
std::uint32_t DeriveRaw(const CryptoObject& key, ConstBytes peer, SecretBytes& secret);

// What RFC 8032 section 5.1 distinguishes: Ed25519, Ed25519ctx, Ed25519ph.
struct EdVariant {
  bool prehash = false;
  bool has_context = false;
  ConstBytes context;  // at most 255 bytes
};
std::uint32_t Ed25519Sign(const CryptoObject& key, const EdVariant& variant, ConstBytes message,
                          SecretBytes& signature);
bool Ed25519Verify(const CryptoObject& key, const EdVariant& variant, ConstBytes message,
                   ConstBytes signature);

}  // namespace vtee::ta
