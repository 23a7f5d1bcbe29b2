// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/object_types.h"

#include <algorithm>
#include <iterator>

#include "tee/types.h"

namespace vtee::ta {
namespace {

constexpr std::uint32_t kBoth = kRequired | kGenerateRequired;

constexpr AttributeRule kSecretValue[] = {{attr::kSecret, kRequired | kSizes}};
constexpr AttributeRule kHkdfIkm[] = {{0xC00001C0, kRequired | kSizes}};
constexpr AttributeRule kConcatKdfZ[] = {{0xC00001C1, kRequired | kSizes}};
constexpr AttributeRule kPbkdf2Password[] = {{0xC00001C2, kRequired | kSizes}};
constexpr AttributeRule kRsaPublic[] = {
    {attr::kRsaModulus, kRequired | kSizes | kNumber},
    {attr::kRsaPublicExponent, kRequired | kNumber},
};
constexpr AttributeRule kRsaKeypair[] = {
    {attr::kRsaModulus, kRequired | kSizes | kNumber},
    {attr::kRsaPublicExponent, kRequired | kGenerateOptional | kNumber},
    {attr::kRsaPrivateExponent, kRequired | kNumber},
    {attr::kRsaPrime1, kOptionalGroup | kNumber},
    {attr::kRsaPrime2, kOptionalGroup | kNumber},
    {attr::kRsaExponent1, kOptionalGroup | kNumber},
    {attr::kRsaExponent2, kOptionalGroup | kNumber},
    {attr::kRsaCoefficient, kOptionalGroup | kNumber},
};
constexpr AttributeRule kDsaPublic[] = {
    {attr::kDsaPrime, kRequired | kSizes | kWithinSize | kNumber},
    {attr::kDsaSubprime, kRequired | kNumber},
    {attr::kDsaBase, kRequired | kWithinSize | kNumber},
    {attr::kDsaPublic, kRequired | kWithinSize | kNumber},
};
constexpr AttributeRule kDsaKeypair[] = {
    {attr::kDsaPrime, kBoth | kSizes | kWithinSize | kNumber},
    {attr::kDsaSubprime, kBoth | kNumber},
    {attr::kDsaBase, kBoth | kWithinSize | kNumber},
    {attr::kDsaPrivate, kRequired | kWithinSize | kNumber},
    {attr::kDsaPublic, kRequired | kWithinSize | kNumber},
};
constexpr AttributeRule kDhKeypair[] = {
    {attr::kDhPrime, kBoth | kSizes | kNumber},
    {attr::kDhBase, kBoth | kNumber},
    {attr::kDhPublic, kRequired | kNumber},
    {attr::kDhPrivate, kRequired | kNumber},
    {attr::kDhSubprime, kOptionalGroup | kGenerateOptional | kNumber},
    {attr::kDhXBits, kGenerateOptional},
};
constexpr AttributeRule kEccPublic[] = {
    {attr::kEccX, kRequired | kNumber},
    {attr::kEccY, kRequired | kNumber},
    {attr::kEccCurve, kRequired | kSizes},
};
constexpr AttributeRule kEccKeypair[] = {
    {attr::kEccPrivate, kRequired | kNumber},
    {attr::kEccX, kRequired | kNumber},
    {attr::kEccY, kRequired | kNumber},
    {attr::kEccCurve, kBoth | kSizes},
};
constexpr AttributeRule kSm2Public[] = {
    {attr::kEccX, kRequired | kNumber},
    {attr::kEccY, kRequired | kNumber},
};
constexpr AttributeRule kSm2Keypair[] = {
    {attr::kEccPrivate, kRequired | kNumber},
    {attr::kEccX, kRequired | kNumber},
    {attr::kEccY, kRequired | kNumber},
};
constexpr AttributeRule kEd25519Public[] = {{attr::kEd25519Public, kRequired}};
constexpr AttributeRule kEd25519Keypair[] = {
    {attr::kEd25519Private, kRequired},
    {attr::kEd25519Public, kRequired},
};
constexpr AttributeRule kX25519Keypair[] = {
    {attr::kX25519Private, kRequired},
    {attr::kX25519Public, kRequired},
};
constexpr AttributeRule kX448Keypair[] = {
    {attr::kX448Private, kRequired},
    {attr::kX448Public, kRequired},
};

constexpr ObjectType kTypes[] = {
    {objtype::kAes, 64, 128, 256, kSecretValue},
    {objtype::kDes, 64, 64, 64, kSecretValue},
    {objtype::kDes3, 64, 128, 192, kSecretValue},
    {0xA0000014, 128, 128, 128, kSecretValue},  // SM4
    {0xA0000001, 8, 64, 512, kSecretValue},     // HMAC of MD5, SHA-1, ...
    {0xA0000002, 8, 80, 512, kSecretValue},
    {0xA0000003, 8, 112, 512, kSecretValue},
    {0xA0000004, 8, 192, 1024, kSecretValue},
    {0xA0000005, 8, 256, 1024, kSecretValue},
    {0xA0000006, 8, 256, 1024, kSecretValue},
    {0xA0000007, 8, 80, 1024, kSecretValue},   // SM3
    {0xA0000008, 8, 192, 1024, kSecretValue},  // SHA-3
    {0xA0000009, 8, 256, 1024, kSecretValue},
    {0xA000000A, 8, 256, 1024, kSecretValue},
    {0xA000000B, 8, 256, 1024, kSecretValue},
    {objtype::kGenericSecret, 8, 0, 4096, kSecretValue},
    {objtype::kHkdfIkm, 8, 0, 4096, kHkdfIkm},
    {objtype::kConcatKdfZ, 8, 0, 4096, kConcatKdfZ},
    {objtype::kPbkdf2Password, 8, 0, 4096, kPbkdf2Password},
    {objtype::kRsaPublic, 1, 256, 4096, kRsaPublic},
    {objtype::kRsaKeypair, 1, 256, 4096, kRsaKeypair},
    {objtype::kDsaPublic, 64, 512, 3072, kDsaPublic},
    {objtype::kDsaKeypair, 64, 512, 3072, kDsaKeypair},
    {objtype::kDhKeypair, 1, 256, 2048, kDhKeypair},
    {objtype::kEcdsaPublic, 1, 192, 521, kEccPublic},
    {objtype::kEcdsaKeypair, 1, 192, 521, kEccKeypair},
    {objtype::kEcdhPublic, 1, 192, 521, kEccPublic},
    {objtype::kEcdhKeypair, 1, 192, 521, kEccKeypair},
    {objtype::kSm2DsaPublic, 1, 256, 256, kSm2Public},
    {objtype::kSm2DsaKeypair, 1, 256, 256, kSm2Keypair},
    {objtype::kSm2KepPublic, 1, 256, 256, kSm2Public},
    {objtype::kSm2KepKeypair, 1, 256, 256, kSm2Keypair},
    {objtype::kSm2PkePublic, 1, 256, 256, kSm2Public},
    {objtype::kSm2PkeKeypair, 1, 256, 256, kSm2Keypair},
    {objtype::kEd25519Public, 1, 256, 256, kEd25519Public},
    {objtype::kEd25519Keypair, 1, 256, 256, kEd25519Keypair},
    {objtype::kX25519Keypair, 1, 256, 256, kX25519Keypair},
    {objtype::kX448Keypair, 1, 448, 448, kX448Keypair},
};

}  // namespace

const AttributeRule* ObjectType::Find(std::uint32_t attribute) const {
  const auto found = std::ranges::find(attributes, attribute, &AttributeRule::id);
  return found == attributes.end() ? nullptr : &*found;
}

bool ObjectType::is_secret() const {
  return attributes.size() == 1 && (attributes[0].flags & (kSizes | kNumber)) == kSizes;
}

const ObjectType* FindObjectType(std::uint32_t type) {
  const auto* found = std::ranges::find(kTypes, type, &ObjectType::type);
  return found == std::end(kTypes) ? nullptr : found;
}

bool IsLegacyDesSize(std::uint32_t type, std::uint64_t bits) {
  return (type == objtype::kDes && bits == 56) ||
         (type == objtype::kDes3 && (bits == 112 || bits == 168));
}

std::uint32_t CheckKeySize(const ObjectType& type, std::uint64_t bits) {
  if (IsLegacyDesSize(type.type, bits)) bits += bits / 7;
  const bool fits = bits % type.quantum == 0 && bits >= type.least && bits <= type.most;
  return fits ? tee::code::kSuccess : tee::code::kNotSupported;
}

}  // namespace vtee::ta
