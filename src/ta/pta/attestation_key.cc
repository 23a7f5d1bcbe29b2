// SPDX-License-Identifier: BSD-3-Clause
#include "ta/pta/attestation_key.h"

#include <string_view>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/key_generation.h"
#include "ta/crypto/rsa.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

ObjectId Id(std::string_view name) {
  const auto bytes = std::as_bytes(std::span(name));
  return {bytes.begin(), bytes.end()};
}

}  // namespace

AttestationKey::AttestationKey(ObjectStore& store, const tee::Uuid& owner)
    : store_(store), name_{.ta = owner, .id = Id("key")} {}

std::uint32_t AttestationKey::Load() {
  if (key_.initialized()) return code::kSuccess;
  ObjectRecord record;
  const std::uint32_t found = store_.Load(name_, record);
  CryptoObject key(objtype::kRsaKeypair, kBits);
  if (found == code::kSuccess) {
    if (!key.Deserialize(record.object) || key.type() != objtype::kRsaKeypair ||
        key.bits() != kBits || !key.initialized()) {
      return code::kGeneric;
    }
  } else if (found == code::kItemNotFound) {
    const std::uint32_t made = GenerateKey(key, kBits, {});
    if (made != code::kSuccess) return made;
    // Kept before anybody sees it.
    record.object = key.Serialize();
    const std::uint32_t kept = store_.Create(name_, record, {}, false);
    if (kept != code::kSuccess) return kept;
  } else {
    return found;
  }
  key_ = std::move(key);
  return code::kSuccess;
}

std::uint32_t AttestationKey::Public(SecretBytes& exponent, SecretBytes& modulus) {
  const std::lock_guard lock(mutex_);
  const std::uint32_t loaded = Load();
  if (loaded != code::kSuccess) return loaded;
  exponent = Secret(key_.Bytes(attr::kRsaPublicExponent));
  modulus = Secret(key_.Bytes(attr::kRsaModulus));
  return code::kSuccess;
}

std::uint32_t AttestationKey::Sign(ConstBytes digest, SecretBytes& signature) {
  constexpr std::uint32_t kSalt = 32;
  const std::lock_guard lock(mutex_);
  const std::uint32_t loaded = Load();
  if (loaded != code::kSuccess) return loaded;
  const Attribute salt{.id = attr::kRsaPssSaltLength, .bytes = {}, .a = kSalt};
  return RsaSign(alg::kRsassaPssSha256, key_, std::span(&salt, 1), digest, signature);
}

}  // namespace vtee::ta
