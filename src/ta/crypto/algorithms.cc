// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/algorithms.h"

namespace vtee::ta {
namespace {

struct Known {
  std::uint32_t algorithm;
  AlgorithmClass kind;
  std::uint32_t digest = 0;
};

constexpr auto kCipher = AlgorithmClass::kCipher;
constexpr auto kMac = AlgorithmClass::kMac;
constexpr auto kAe = AlgorithmClass::kAe;
constexpr auto kDigest = AlgorithmClass::kDigest;
constexpr auto kPublicKey = AlgorithmClass::kAsymmetricCipher;
constexpr auto kSignature = AlgorithmClass::kSignature;
constexpr auto kDerive = AlgorithmClass::kKeyDerivation;

// A table rather than bit fields: the fields of these numbers are not the same in all families
// (ECDSA counts its digests differently, SHA-3 does not fit in OAEP's, and so on).
constexpr Known kKnown[] = {
    {alg::kAesEcb, kCipher},
    {alg::kAesCbc, kCipher},
    {alg::kAesCtr, kCipher},
    {alg::kAesCts, kCipher},
    {alg::kAesXts, kCipher},
    {alg::kDesEcb, kCipher},
    {alg::kDesCbc, kCipher},
    {alg::kDes3Ecb, kCipher},
    {alg::kDes3Cbc, kCipher},
    {alg::kSm4Ecb, kCipher},
    {alg::kSm4Cbc, kCipher},
    {alg::kSm4Ctr, kCipher},
    {alg::kSm4Xts, kCipher},

    {alg::kAesCbcMac, kMac},
    {alg::kAesCbcMacPkcs5, kMac},
    {alg::kAesCmac, kMac},
    {alg::kDesCbcMac, kMac},
    {alg::kDesCbcMacPkcs5, kMac},
    {alg::kDes3CbcMac, kMac},
    {alg::kDes3CbcMacPkcs5, kMac},
    {alg::kDes3Cmac, kMac},
    {alg::kHmacMd5, kMac, alg::kMd5},
    {alg::kHmacSha1, kMac, alg::kSha1},
    {alg::kHmacSha224, kMac, alg::kSha224},
    {alg::kHmacSha256, kMac, alg::kSha256},
    {alg::kHmacSha384, kMac, alg::kSha384},
    {alg::kHmacSha512, kMac, alg::kSha512},
    {alg::kHmacSm3, kMac, alg::kSm3},
    {alg::kHmacSha3_224, kMac, alg::kSha3_224},
    {alg::kHmacSha3_256, kMac, alg::kSha3_256},
    {alg::kHmacSha3_384, kMac, alg::kSha3_384},
    {alg::kHmacSha3_512, kMac, alg::kSha3_512},

    {alg::kAesCcm, kAe},
    {alg::kAesGcm, kAe},

    {alg::kMd5, kDigest, alg::kMd5},
    {alg::kSha1, kDigest, alg::kSha1},
    {alg::kSha224, kDigest, alg::kSha224},
    {alg::kSha256, kDigest, alg::kSha256},
    {alg::kSha384, kDigest, alg::kSha384},
    {alg::kSha512, kDigest, alg::kSha512},
    {alg::kSm3, kDigest, alg::kSm3},
    {alg::kSha3_224, kDigest, alg::kSha3_224},
    {alg::kSha3_256, kDigest, alg::kSha3_256},
    {alg::kSha3_384, kDigest, alg::kSha3_384},
    {alg::kSha3_512, kDigest, alg::kSha3_512},
    {alg::kShake128, kDigest, alg::kShake128},
    {alg::kShake256, kDigest, alg::kShake256},

    {alg::kRsaNopad, kPublicKey},
    {alg::kRsaesPkcs1, kPublicKey},
    {alg::kRsaesOaepMd5, kPublicKey, alg::kMd5},
    {alg::kRsaesOaepSha1, kPublicKey, alg::kSha1},
    {alg::kRsaesOaepSha224, kPublicKey, alg::kSha224},
    {alg::kRsaesOaepSha256, kPublicKey, alg::kSha256},
    {alg::kRsaesOaepSha384, kPublicKey, alg::kSha384},
    {alg::kRsaesOaepSha512, kPublicKey, alg::kSha512},
    {alg::kRsaesOaepSha3_224, kPublicKey, alg::kSha3_224},
    {alg::kRsaesOaepSha3_256, kPublicKey, alg::kSha3_256},
    {alg::kRsaesOaepSha3_384, kPublicKey, alg::kSha3_384},
    {alg::kRsaesOaepSha3_512, kPublicKey, alg::kSha3_512},
    {alg::kSm2Pke, kPublicKey, alg::kSm3},

    {alg::kRsassaPkcs1, kSignature},
    {alg::kRsassaPkcs1Md5, kSignature, alg::kMd5},
    {alg::kRsassaPkcs1Sha1, kSignature, alg::kSha1},
    {alg::kRsassaPkcs1Sha224, kSignature, alg::kSha224},
    {alg::kRsassaPkcs1Sha256, kSignature, alg::kSha256},
    {alg::kRsassaPkcs1Sha384, kSignature, alg::kSha384},
    {alg::kRsassaPkcs1Sha512, kSignature, alg::kSha512},
    {alg::kRsassaPkcs1Sha3_224, kSignature, alg::kSha3_224},
    {alg::kRsassaPkcs1Sha3_256, kSignature, alg::kSha3_256},
    {alg::kRsassaPkcs1Sha3_384, kSignature, alg::kSha3_384},
    {alg::kRsassaPkcs1Sha3_512, kSignature, alg::kSha3_512},
    {alg::kRsassaPssMd5, kSignature, alg::kMd5},
    {alg::kRsassaPssSha1, kSignature, alg::kSha1},
    {alg::kRsassaPssSha224, kSignature, alg::kSha224},
    {alg::kRsassaPssSha256, kSignature, alg::kSha256},
    {alg::kRsassaPssSha384, kSignature, alg::kSha384},
    {alg::kRsassaPssSha512, kSignature, alg::kSha512},
    {alg::kRsassaPssSha3_224, kSignature, alg::kSha3_224},
    {alg::kRsassaPssSha3_256, kSignature, alg::kSha3_256},
    {alg::kRsassaPssSha3_384, kSignature, alg::kSha3_384},
    {alg::kRsassaPssSha3_512, kSignature, alg::kSha3_512},
    {alg::kDsaSha1, kSignature, alg::kSha1},
    {alg::kDsaSha224, kSignature, alg::kSha224},
    {alg::kDsaSha256, kSignature, alg::kSha256},
    {alg::kDsaSha3_224, kSignature, alg::kSha3_224},
    {alg::kDsaSha3_256, kSignature, alg::kSha3_256},
    {alg::kDsaSha3_384, kSignature, alg::kSha3_384},
    {alg::kDsaSha3_512, kSignature, alg::kSha3_512},
    {alg::kEcdsaSha1, kSignature, alg::kSha1},
    {alg::kEcdsaSha224, kSignature, alg::kSha224},
    {alg::kEcdsaSha256, kSignature, alg::kSha256},
    {alg::kEcdsaSha384, kSignature, alg::kSha384},
    {alg::kEcdsaSha512, kSignature, alg::kSha512},
    {alg::kEcdsaSha3_224, kSignature, alg::kSha3_224},
    {alg::kEcdsaSha3_256, kSignature, alg::kSha3_256},
    {alg::kEcdsaSha3_384, kSignature, alg::kSha3_384},
    {alg::kEcdsaSha3_512, kSignature, alg::kSha3_512},
    {alg::kEd25519, kSignature},
    {alg::kSm2DsaSm3, kSignature, alg::kSm3},

    {alg::kDh, kDerive},
    {alg::kEcdh, kDerive},
    {alg::kX25519, kDerive},
    {alg::kX448, kDerive},
    {alg::kSm2Kep, kDerive, alg::kSm3},
    {alg::kHkdf, kDerive},
    {alg::kHkdfMd5, kDerive, alg::kMd5},
    {alg::kHkdfSha1, kDerive, alg::kSha1},
    {alg::kHkdfSha224, kDerive, alg::kSha224},
    {alg::kHkdfSha256, kDerive, alg::kSha256},
    {alg::kHkdfSha384, kDerive, alg::kSha384},
    {alg::kHkdfSha512, kDerive, alg::kSha512},
    {alg::kConcatKdfSha1, kDerive, alg::kSha1},
    {alg::kConcatKdfSha224, kDerive, alg::kSha224},
    {alg::kConcatKdfSha256, kDerive, alg::kSha256},
    {alg::kConcatKdfSha384, kDerive, alg::kSha384},
    {alg::kConcatKdfSha512, kDerive, alg::kSha512},
    {alg::kPbkdf2Sha1, kDerive, alg::kSha1},
    {alg::kPbkdf2Sha224, kDerive, alg::kSha224},
    {alg::kPbkdf2Sha256, kDerive, alg::kSha256},
    {alg::kPbkdf2Sha384, kDerive, alg::kSha384},
    {alg::kPbkdf2Sha512, kDerive, alg::kSha512},
    {alg::kPbkdf2Sm3, kDerive, alg::kSm3},
};

const Known* Find(std::uint32_t algorithm) {
  for (const Known& known : kKnown) {
    if (known.algorithm == algorithm) return &known;
  }
  return nullptr;
}

std::size_t SizeOfDigest(std::uint32_t digest) {
  switch (digest) {
    case alg::kMd5:
      return 16;
    case alg::kSha1:
      return 20;
    case alg::kSha224:
    case alg::kSha3_224:
      return 28;
    case alg::kSha256:
    case alg::kSha3_256:
    case alg::kSm3:
      return 32;
    case alg::kSha384:
    case alg::kSha3_384:
      return 48;
    case alg::kSha512:
    case alg::kSha3_512:
      return 64;
    default:
      return 0;
  }
}

}  // namespace

std::uint32_t CurrentAlgorithm(std::uint32_t algorithm) {
  const std::uint32_t curve = algorithm >> 12 & 0xF;  // 1..5: P-192..P-521
  if (curve < 1 || curve > 5) return algorithm;
  if ((algorithm & 0xFFFF0FFF) == 0x70000041) return algorithm + 1;
  if ((algorithm & 0xFFFF0FFF) == 0x80000042) return alg::kEcdh;
  return algorithm;
}

bool IsSupported(std::uint32_t algorithm) { return Find(algorithm) != nullptr; }

AlgorithmClass ClassOf(std::uint32_t algorithm) {
  const Known* known = Find(algorithm);
  return known ? known->kind : AlgorithmClass::kNone;
}

std::uint32_t DigestOf(std::uint32_t algorithm) {
  const Known* known = Find(algorithm);
  return known ? known->digest : 0;
}

bool NeedsTwoKeys(std::uint32_t algorithm) {
  return algorithm == alg::kAesXts || algorithm == alg::kSm4Xts || algorithm == alg::kSm2Kep;
}

std::size_t DigestSize(std::uint32_t algorithm) {
  const Known* known = Find(algorithm);
  if (!known) return 0;
  if (known->kind == kDigest) return SizeOfDigest(algorithm);
  if (known->kind != kMac) return 0;
  if (known->digest != 0) return SizeOfDigest(known->digest);
  return (algorithm & 0xFF) == 0x10 ? 16 : 8;  // AES, else DES
}

}  // namespace vtee::ta
