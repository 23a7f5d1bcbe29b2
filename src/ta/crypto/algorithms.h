// SPDX-License-Identifier: BSD-3-Clause
// The algorithms that trusted applications may ask for: their GlobalPlatform identifiers
// (TEE_ALG_*, TEE Internal Core API and OP-TEE's extensions of it) and what each is.
//
// Only algorithms that vtee offers are known here; any other number has the class kNone.
// Threading: constants and pure functions. Not supported: the MD5-SHA1 pair, SM4 with PKCS5
// padding, Ed448 (OP-TEE's TEE core has none of them either).
#pragma once

#include <cstddef>
#include <cstdint>

namespace vtee::ta {

namespace alg {
inline constexpr std::uint32_t kAesEcb = 0x10000010;
inline constexpr std::uint32_t kAesCbc = 0x10000110;
inline constexpr std::uint32_t kAesCtr = 0x10000210;
inline constexpr std::uint32_t kAesCts = 0x10000310;
inline constexpr std::uint32_t kAesXts = 0x10000410;
inline constexpr std::uint32_t kDesEcb = 0x10000011;
inline constexpr std::uint32_t kDesCbc = 0x10000111;
inline constexpr std::uint32_t kDes3Ecb = 0x10000013;
inline constexpr std::uint32_t kDes3Cbc = 0x10000113;
inline constexpr std::uint32_t kSm4Ecb = 0x10000014;
inline constexpr std::uint32_t kSm4Cbc = 0x10000114;
inline constexpr std::uint32_t kSm4Ctr = 0x10000214;
inline constexpr std::uint32_t kSm4Xts = 0xF0000414;

inline constexpr std::uint32_t kAesCbcMac = 0x30000110;
inline constexpr std::uint32_t kAesCbcMacPkcs5 = 0x30000510;
inline constexpr std::uint32_t kAesCmac = 0x30000610;
inline constexpr std::uint32_t kDesCbcMac = 0x30000111;
inline constexpr std::uint32_t kDesCbcMacPkcs5 = 0x30000511;
inline constexpr std::uint32_t kDes3CbcMac = 0x30000113;
inline constexpr std::uint32_t kDes3CbcMacPkcs5 = 0x30000513;
inline constexpr std::uint32_t kDes3Cmac = 0xF0000613;
inline constexpr std::uint32_t kHmacMd5 = 0x30000001;
inline constexpr std::uint32_t kHmacSha1 = 0x30000002;
inline constexpr std::uint32_t kHmacSha224 = 0x30000003;
inline constexpr std::uint32_t kHmacSha256 = 0x30000004;
inline constexpr std::uint32_t kHmacSha384 = 0x30000005;
inline constexpr std::uint32_t kHmacSha512 = 0x30000006;
inline constexpr std::uint32_t kHmacSm3 = 0x30000007;
inline constexpr std::uint32_t kHmacSha3_224 = 0x30000008;
inline constexpr std::uint32_t kHmacSha3_256 = 0x30000009;
inline constexpr std::uint32_t kHmacSha3_384 = 0x3000000A;
inline constexpr std::uint32_t kHmacSha3_512 = 0x3000000B;

inline constexpr std::uint32_t kAesCcm = 0x40000710;
inline constexpr std::uint32_t kAesGcm = 0x40000810;

inline constexpr std::uint32_t kMd5 = 0x50000001;
inline constexpr std::uint32_t kSha1 = 0x50000002;
inline constexpr std::uint32_t kSha224 = 0x50000003;
inline constexpr std::uint32_t kSha256 = 0x50000004;
inline constexpr std::uint32_t kSha384 = 0x50000005;
inline constexpr std::uint32_t kSha512 = 0x50000006;
inline constexpr std::uint32_t kSm3 = 0x50000007;
inline constexpr std::uint32_t kSha3_224 = 0x50000008;
inline constexpr std::uint32_t kSha3_256 = 0x50000009;
inline constexpr std::uint32_t kSha3_384 = 0x5000000A;
inline constexpr std::uint32_t kSha3_512 = 0x5000000B;
inline constexpr std::uint32_t kShake128 = 0x50000101;
inline constexpr std::uint32_t kShake256 = 0x50000102;

inline constexpr std::uint32_t kRsaNopad = 0x60000030;
inline constexpr std::uint32_t kRsaesPkcs1 = 0x60000130;
inline constexpr std::uint32_t kRsaesOaepMd5 = 0xF0110230;
inline constexpr std::uint32_t kRsaesOaepSha1 = 0x60210230;
inline constexpr std::uint32_t kRsaesOaepSha224 = 0x60310230;
inline constexpr std::uint32_t kRsaesOaepSha256 = 0x60410230;
inline constexpr std::uint32_t kRsaesOaepSha384 = 0x60510230;
inline constexpr std::uint32_t kRsaesOaepSha512 = 0x60610230;
inline constexpr std::uint32_t kRsaesOaepSha3_224 = 0x60810230;
inline constexpr std::uint32_t kRsaesOaepSha3_256 = 0x60910230;
inline constexpr std::uint32_t kRsaesOaepSha3_384 = 0x60A10230;
inline constexpr std::uint32_t kRsaesOaepSha3_512 = 0x60B10230;
inline constexpr std::uint32_t kSm2Pke = 0x80000046;

inline constexpr std::uint32_t kRsassaPkcs1 = 0xF0000830;  // the caller has made the DigestInfo
inline constexpr std::uint32_t kRsassaPkcs1Md5 = 0x70001830;
inline constexpr std::uint32_t kRsassaPkcs1Sha1 = 0x70002830;
inline constexpr std::uint32_t kRsassaPkcs1Sha224 = 0x70003830;
inline constexpr std::uint32_t kRsassaPkcs1Sha256 = 0x70004830;
inline constexpr std::uint32_t kRsassaPkcs1Sha384 = 0x70005830;
inline constexpr std::uint32_t kRsassaPkcs1Sha512 = 0x70006830;
inline constexpr std::uint32_t kRsassaPkcs1Sha3_224 = 0x70008830;
inline constexpr std::uint32_t kRsassaPkcs1Sha3_256 = 0x70009830;
inline constexpr std::uint32_t kRsassaPkcs1Sha3_384 = 0x7000A830;
inline constexpr std::uint32_t kRsassaPkcs1Sha3_512 = 0x7000B830;
inline constexpr std::uint32_t kRsassaPssMd5 = 0xF0111930;
inline constexpr std::uint32_t kRsassaPssSha1 = 0x70212930;
inline constexpr std::uint32_t kRsassaPssSha224 = 0x70313930;
inline constexpr std::uint32_t kRsassaPssSha256 = 0x70414930;
inline constexpr std::uint32_t kRsassaPssSha384 = 0x70515930;
inline constexpr std::uint32_t kRsassaPssSha512 = 0x70616930;
inline constexpr std::uint32_t kRsassaPssSha3_224 = 0x70818930;
inline constexpr std::uint32_t kRsassaPssSha3_256 = 0x70919930;
inline constexpr std::uint32_t kRsassaPssSha3_384 = 0x70A1A930;
inline constexpr std::uint32_t kRsassaPssSha3_512 = 0x70B1B930;
inline constexpr std::uint32_t kDsaSha1 = 0x70002131;
inline constexpr std::uint32_t kDsaSha224 = 0x70003131;
inline constexpr std::uint32_t kDsaSha256 = 0x70004131;
inline constexpr std::uint32_t kDsaSha3_224 = 0x70008131;
inline constexpr std::uint32_t kDsaSha3_256 = 0x70009131;
inline constexpr std::uint32_t kDsaSha3_384 = 0x7000A131;
inline constexpr std::uint32_t kDsaSha3_512 = 0x7000B131;
inline constexpr std::uint32_t kEcdsaSha1 = 0x70001042;
inline constexpr std::uint32_t kEcdsaSha224 = 0x70002042;
inline constexpr std::uint32_t kEcdsaSha256 = 0x70003042;
inline constexpr std::uint32_t kEcdsaSha384 = 0x70004042;
inline constexpr std::uint32_t kEcdsaSha512 = 0x70005042;
inline constexpr std::uint32_t kEcdsaSha3_224 = 0x70006042;
inline constexpr std::uint32_t kEcdsaSha3_256 = 0x70007042;
inline constexpr std::uint32_t kEcdsaSha3_384 = 0x70008042;
inline constexpr std::uint32_t kEcdsaSha3_512 = 0x70009042;
inline constexpr std::uint32_t kEd25519 = 0x70006043;
inline constexpr std::uint32_t kSm2DsaSm3 = 0x70006045;

inline constexpr std::uint32_t kDh = 0x80000032;
inline constexpr std::uint32_t kEcdh = 0x80000042;
inline constexpr std::uint32_t kX25519 = 0x80000044;
inline constexpr std::uint32_t kX448 = 0x80000045;
inline constexpr std::uint32_t kSm2Kep = 0x60000045;
inline constexpr std::uint32_t kHkdf = 0x80000047;  // the digest is an attribute
inline constexpr std::uint32_t kHkdfMd5 = 0x800010C0;
inline constexpr std::uint32_t kHkdfSha1 = 0x800020C0;
inline constexpr std::uint32_t kHkdfSha224 = 0x800030C0;
inline constexpr std::uint32_t kHkdfSha256 = 0x800040C0;
inline constexpr std::uint32_t kHkdfSha384 = 0x800050C0;
inline constexpr std::uint32_t kHkdfSha512 = 0x800060C0;
inline constexpr std::uint32_t kConcatKdfSha1 = 0x800020C1;
inline constexpr std::uint32_t kConcatKdfSha224 = 0x800030C1;
inline constexpr std::uint32_t kConcatKdfSha256 = 0x800040C1;
inline constexpr std::uint32_t kConcatKdfSha384 = 0x800050C1;
inline constexpr std::uint32_t kConcatKdfSha512 = 0x800060C1;
inline constexpr std::uint32_t kPbkdf2Sha1 = 0x800020C2;
inline constexpr std::uint32_t kPbkdf2Sha224 = 0x800030C2;
inline constexpr std::uint32_t kPbkdf2Sha256 = 0x800040C2;
inline constexpr std::uint32_t kPbkdf2Sha384 = 0x800050C2;
inline constexpr std::uint32_t kPbkdf2Sha512 = 0x800060C2;
inline constexpr std::uint32_t kPbkdf2Sm3 = 0x800070C2;
}  // namespace alg

// The numbers are those of TEE_OPERATION_*.
enum class AlgorithmClass : std::uint32_t {
  kNone = 0,
  kCipher = 1,
  kMac = 3,
  kAe = 4,
  kDigest = 5,
  kAsymmetricCipher = 6,
  kSignature = 7,
  kKeyDerivation = 8,
};

// Identifiers of older OP-TEE headers (ECDSA and ECDH named after a curve) become today's; any
// other number stays. The functions below take today's identifiers only.
std::uint32_t CurrentAlgorithm(std::uint32_t algorithm);

bool IsSupported(std::uint32_t algorithm);
AlgorithmClass ClassOf(std::uint32_t algorithm);
// The digest that `algorithm` works with, as an identifier (a digest is its own); 0: none, or it
// is chosen otherwise (kHkdf, kRsassaPkcs1, kEd25519).
std::uint32_t DigestOf(std::uint32_t algorithm);
// XTS has a key for the tweak; SM2's key exchange a lasting and an ephemeral one.
bool NeedsTwoKeys(std::uint32_t algorithm);
// What a digest or MAC comes to in bytes; 0 for SHAKE (any length) and for other classes.
std::size_t DigestSize(std::uint32_t algorithm);

}  // namespace vtee::ta
