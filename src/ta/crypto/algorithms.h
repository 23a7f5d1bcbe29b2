// SPDX-License-Identifier: BSD-3-Clause
// What TEE_ALG_* numbers mean (GlobalPlatform TEE Internal Core API 1.3.1, 6.10; OP-TEE's additions:
// lib/libutee/include/tee_api_defines_extensions.h). Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>

struct evp_md_st;

namespace vtee::ta {

enum class AlgorithmClass : std::uint8_t {
  kUnknown = 0,
  kCipher = 1,
  kMac = 3,
  kAuthenticated = 4,
  kDigest = 5,
  kAsymmetricCipher = 6,
  kSignature = 7,
  kDerivation = 8,
};

AlgorithmClass ClassOf(std::uint32_t algorithm);

// The low byte of an algorithm that works with keys: which kind of key.
inline std::uint32_t MainAlgorithm(std::uint32_t algorithm) { return algorithm & 0xFF; }

// Of TEE_ALG_MD5 to TEE_ALG_SHA3_512, the SHAKEs and MACs with digests; null: none of these.
const evp_md_st* DigestOf(std::uint32_t algorithm);
// By the four bits that GlobalPlatform numbers digests with: 1 MD5 to 0xB SHA3-512; null: unknown.
const evp_md_st* DigestByNumber(std::uint32_t number);
bool IsExtendable(std::uint32_t algorithm);  // SHAKE128, SHAKE256

// Numbers that OP-TEE had before GlobalPlatform gave others.
std::uint32_t ModernAlgorithm(std::uint32_t algorithm);

namespace alg {
inline constexpr std::uint32_t kAesCts = 0x10000310;
inline constexpr std::uint32_t kAesXts = 0x10000410;
inline constexpr std::uint32_t kSm4Xts = 0xF0000414;
inline constexpr std::uint32_t kAesCmac = 0x30000610;
inline constexpr std::uint32_t kDes3Cmac = 0xF0000613;
inline constexpr std::uint32_t kAesCcm = 0x40000710;
inline constexpr std::uint32_t kAesGcm = 0x40000810;
inline constexpr std::uint32_t kShake128 = 0x50000101;
inline constexpr std::uint32_t kShake256 = 0x50000102;
inline constexpr std::uint32_t kRsaNoPad = 0x60000030;
inline constexpr std::uint32_t kRsaPkcs1 = 0x60000130;
inline constexpr std::uint32_t kRsaSignRaw = 0xF0000830;  // RSASSA PKCS#1 v1.5 without a digest
inline constexpr std::uint32_t kSm2Dsa = 0x70006045;
inline constexpr std::uint32_t kSm2Kep = 0x60000045;
inline constexpr std::uint32_t kSm2Pke = 0x80000046;
inline constexpr std::uint32_t kEd25519 = 0x70006043;
inline constexpr std::uint32_t kDh = 0x80000032;
inline constexpr std::uint32_t kEcdh = 0x80000042;
inline constexpr std::uint32_t kX25519 = 0x80000044;
inline constexpr std::uint32_t kX448 = 0x80000045;
inline constexpr std::uint32_t kHkdf = 0x80000047;
}  // namespace alg

}  // namespace vtee::ta
