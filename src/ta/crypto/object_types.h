// SPDX-License-Identifier: BSD-3-Clause
// The types of cryptographic objects: sizes, and which attributes populate and generate them take
// (optee_os 4.10 core/tee/tee_svc_cryp.c; GlobalPlatform TEE Internal Core API 1.3.1, 5.9). Pure.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace vtee::ta {

namespace attr {
inline constexpr std::uint32_t kPublicFlag = 1u << 28;  // may be read without EXTRACTABLE
inline constexpr std::uint32_t kValueFlag = 1u << 29;   // two numbers rather than bytes
inline constexpr std::uint32_t kSecret = 0xC0000000;
inline constexpr std::uint32_t kRsaModulus = 0xD0000130;
inline constexpr std::uint32_t kRsaPublicExponent = 0xD0000230;
inline constexpr std::uint32_t kRsaPrivateExponent = 0xC0000330;
inline constexpr std::uint32_t kRsaPrime1 = 0xC0000430;
inline constexpr std::uint32_t kRsaPrime2 = 0xC0000530;
inline constexpr std::uint32_t kRsaExponent1 = 0xC0000630;
inline constexpr std::uint32_t kRsaExponent2 = 0xC0000730;
inline constexpr std::uint32_t kRsaCoefficient = 0xC0000830;
inline constexpr std::uint32_t kRsaOaepLabel = 0xD0000930;
inline constexpr std::uint32_t kRsaOaepMgfHash = 0xD0000931;
inline constexpr std::uint32_t kRsaPssSaltLength = 0xF0000A30;
inline constexpr std::uint32_t kDsaPrime = 0xD0001031;
inline constexpr std::uint32_t kDsaSubprime = 0xD0001131;
inline constexpr std::uint32_t kDsaBase = 0xD0001231;
inline constexpr std::uint32_t kDsaPublic = 0xD0000131;
inline constexpr std::uint32_t kDsaPrivate = 0xC0000231;
inline constexpr std::uint32_t kDhPrime = 0xD0001032;
inline constexpr std::uint32_t kDhSubprime = 0xD0001132;
inline constexpr std::uint32_t kDhBase = 0xD0001232;
inline constexpr std::uint32_t kDhXBits = 0xF0001332;
inline constexpr std::uint32_t kDhPublic = 0xD0000132;
inline constexpr std::uint32_t kDhPrivate = 0xC0000232;
inline constexpr std::uint32_t kEccX = 0xD0000141;
inline constexpr std::uint32_t kEccY = 0xD0000241;
inline constexpr std::uint32_t kEccPrivate = 0xC0000341;
inline constexpr std::uint32_t kEccCurve = 0xF0000441;
inline constexpr std::uint32_t kEddsaContext = 0xD0000643;
inline constexpr std::uint32_t kEddsaPrehash = 0xF0000004;
inline constexpr std::uint32_t kEd25519Public = 0xD0000743;
inline constexpr std::uint32_t kEd25519Private = 0xC0000843;
inline constexpr std::uint32_t kX25519Public = 0xD0000944;
inline constexpr std::uint32_t kX25519Private = 0xC0000A44;
inline constexpr std::uint32_t kX448Public = 0xD0000A45;
inline constexpr std::uint32_t kX448Private = 0xC0000A46;
}  // namespace attr

namespace objtype {
inline constexpr std::uint32_t kData = 0xA00000BF;
inline constexpr std::uint32_t kKeypairFlag = 0x01000000;
inline constexpr std::uint32_t kGenericSecret = 0xA0000000;
inline constexpr std::uint32_t kAes = 0xA0000010;
inline constexpr std::uint32_t kDes = 0xA0000011;
inline constexpr std::uint32_t kDes3 = 0xA0000013;
inline constexpr std::uint32_t kRsaPublic = 0xA0000030;
inline constexpr std::uint32_t kRsaKeypair = 0xA1000030;
inline constexpr std::uint32_t kDsaPublic = 0xA0000031;
inline constexpr std::uint32_t kDsaKeypair = 0xA1000031;
inline constexpr std::uint32_t kDhKeypair = 0xA1000032;
inline constexpr std::uint32_t kEcdsaPublic = 0xA0000041;
inline constexpr std::uint32_t kEcdsaKeypair = 0xA1000041;
inline constexpr std::uint32_t kEcdhPublic = 0xA0000042;
inline constexpr std::uint32_t kEcdhKeypair = 0xA1000042;
inline constexpr std::uint32_t kEd25519Public = 0xA0000043;
inline constexpr std::uint32_t kEd25519Keypair = 0xA1000043;
inline constexpr std::uint32_t kX25519Public = 0xA0000044;
inline constexpr std::uint32_t kX25519Keypair = 0xA1000044;
inline constexpr std::uint32_t kSm2DsaPublic = 0xA0000045;
inline constexpr std::uint32_t kSm2DsaKeypair = 0xA1000045;
inline constexpr std::uint32_t kSm2KepPublic = 0xA0000046;
inline constexpr std::uint32_t kSm2KepKeypair = 0xA1000046;
inline constexpr std::uint32_t kSm2PkePublic = 0xA0000047;
inline constexpr std::uint32_t kSm2PkeKeypair = 0xA1000047;
inline constexpr std::uint32_t kX448Public = 0xA0000049;
inline constexpr std::uint32_t kX448Keypair = 0xA1000049;
inline constexpr std::uint32_t kHkdfIkm = 0xA10000C0;
inline constexpr std::uint32_t kConcatKdfZ = 0xA10000C1;
inline constexpr std::uint32_t kPbkdf2Password = 0xA10000C2;
}  // namespace objtype

struct AttributeRule {
  std::uint32_t id;
  std::uint32_t flags;
};
inline constexpr std::uint32_t kRequired = 1;
inline constexpr std::uint32_t kOptionalGroup = 2;  // all of the group or none
inline constexpr std::uint32_t kSizes = 4;          // its length is the object's size
inline constexpr std::uint32_t kGenerateRequired = 8;
inline constexpr std::uint32_t kGenerateOptional = 16;
inline constexpr std::uint32_t kNumber = 32;      // kept without leading zeros
inline constexpr std::uint32_t kWithinSize = 64;  // a number of no more bits than the object has

struct ObjectType {
  std::uint32_t type;
  std::uint32_t quantum;  // bits
  std::uint32_t least;
  std::uint32_t most;
  std::span<const AttributeRule> attributes;

  const AttributeRule* Find(std::uint32_t attribute) const;
  bool is_secret() const;  // one attribute, bytes: symmetric keys
};

// Null: there is no such type.
const ObjectType* FindObjectType(std::uint32_t type);

// DES keys as GlobalPlatform 1.0 counted them, without their parity bits.
bool IsLegacyDesSize(std::uint32_t type, std::uint64_t bits);
// TEE_SUCCESS or TEE_ERROR_NOT_SUPPORTED.
std::uint32_t CheckKeySize(const ObjectType& type, std::uint64_t bits);

}  // namespace vtee::ta
