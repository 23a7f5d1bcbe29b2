// SPDX-License-Identifier: BSD-3-Clause
// Authenticated encryption, MACs and key derivation for what is kept on a disk: AES-256-GCM with
// random nonces, HMAC-SHA256, HKDF-SHA256.
//
// Threading: pure functions; any thread. Where OpenSSL can only fail for want of memory,
// std::bad_alloc is thrown.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "ta/crypto/secret.h"

namespace vtee::ta {

inline constexpr std::size_t kSealKeyBytes = 32;
inline constexpr std::size_t kNonceBytes = 12;
inline constexpr std::size_t kTagBytes = 16;
// Nonce and tag come first. They stand for the whole: under a given key no other text has both.
inline constexpr std::size_t kSealBytes = kNonceBytes + kTagBytes;

using Digest = std::array<std::byte, 32>;
using Sealed = std::vector<std::byte>;

// Integers in little-endian order, one after the other: what MACs are made over.
class Encoder {
 public:
  explicit Encoder(char domain) { bytes_.push_back(static_cast<std::byte>(domain)); }
  Encoder() = default;
  Encoder& U32(std::uint32_t value) { return Integer(value, sizeof value); }
  Encoder& U64(std::uint64_t value) { return Integer(value, sizeof value); }
  // Only parts of a fixed size, or the last one, are unambiguous.
  Encoder& Bytes(ConstBytes bytes) {
    bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
    return *this;
  }
  const SecretBytes& bytes() const { return bytes_; }

 private:
  Encoder& Integer(std::uint64_t value, std::size_t size) {
    for (std::size_t i = 0; i < size; ++i) bytes_.push_back(static_cast<std::byte>(value >> 8 * i));
    return *this;
  }
  SecretBytes bytes_;
};

// Reads what an Encoder wrote; ok() is false once there was too little.
class Decoder {
 public:
  explicit Decoder(ConstBytes bytes) : rest_(bytes) {}
  std::uint32_t U32() { return static_cast<std::uint32_t>(Integer(sizeof(std::uint32_t))); }
  std::uint64_t U64() { return Integer(sizeof(std::uint64_t)); }
  ConstBytes Bytes(std::size_t size) {
    ok_ = ok_ && size <= rest_.size();
    const ConstBytes bytes = rest_.first(ok_ ? size : 0);
    rest_ = rest_.subspan(bytes.size());
    return bytes;
  }
  ConstBytes rest() const { return rest_; }
  bool ok() const { return ok_; }

 private:
  std::uint64_t Integer(std::size_t size) {
    const ConstBytes bytes = Bytes(size);
    std::uint64_t value = 0;
    for (std::size_t i = bytes.size(); i-- > 0;) {
      value = value << 8 | std::to_integer<std::uint64_t>(bytes[i]);
    }
    return value;
  }
  ConstBytes rest_;
  bool ok_ = true;
};

bool FillRandom(MutableBytes out);
bool SameSecret(ConstBytes a, ConstBytes b);  // takes the same time wherever they differ
Digest Hmac(ConstBytes key, ConstBytes text);
SecretBytes Hkdf(ConstBytes key, ConstBytes salt, std::string_view label, std::size_t size);

// False: there is no randomness.
bool Seal(ConstBytes key, ConstBytes context, ConstBytes plain, Sealed& sealed);
// False: not sealed with this key and context, or altered. `plain` is empty then.
bool Unseal(ConstBytes key, ConstBytes context, ConstBytes sealed, SecretBytes& plain);

}  // namespace vtee::ta
