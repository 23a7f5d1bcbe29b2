// SPDX-License-Identifier: BSD-3-Clause
// SigningKey: a public RSA key that TAs are signed with, and the checks made with it.
//
// A value that shares its OpenSSL key; immutable; any thread. Only what OP-TEE's TA loader accepts
// (optee_os core/crypto/signed_hdr.c): RSA of at least 2048 bits, PKCS#1 v1.5 or PSS with a salt
// of the digest's length, SHA-256, SHA-384 or SHA-512.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

struct evp_pkey_st;
struct evp_md_st;

namespace vtee::ta {

// What a signature algorithm id (TEE_ALG_RSASSA_*) stands for.
struct SignatureScheme {
  const evp_md_st* digest = nullptr;
  std::size_t digest_size = 0;
  bool pss = false;

  // Nothing: not one of those above.
  static std::optional<SignatureScheme> From(std::uint32_t algorithm);
};

inline constexpr int kLeastSigningKeyBits = 2048;

class SigningKey {
 public:
  // A PEM text: a public key ("BEGIN PUBLIC KEY"), or the public half of a private one.
  static Result<SigningKey> FromPem(std::string_view pem);
  // Big-endian numbers. Nothing: no RSA key of at least 2048 bits.
  static std::optional<SigningKey> FromNumbers(std::span<const std::byte> modulus,
                                               std::span<const std::byte> exponent);

  std::size_t signature_size() const { return signature_size_; }
  // SHA-256 of the key's SubjectPublicKeyInfo, as hexadecimal digits: its name everywhere.
  const std::string& fingerprint() const { return fingerprint_; }

  bool Verifies(const SignatureScheme& scheme, std::span<const std::byte> digest,
                std::span<const std::byte> signature) const;

 private:
  explicit SigningKey(std::shared_ptr<evp_pkey_st> key);
  bool Usable() const;

  std::shared_ptr<evp_pkey_st> key_;
  std::size_t signature_size_ = 0;
  std::string fingerprint_;
};

}  // namespace vtee::ta
