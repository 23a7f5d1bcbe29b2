// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/algorithms.h"

#include <openssl/evp.h>

namespace vtee::ta {

AlgorithmClass ClassOf(std::uint32_t algorithm) {
  switch (algorithm) {
    case alg::kSm4Xts:
      return AlgorithmClass::kCipher;
    case alg::kDes3Cmac:
      return AlgorithmClass::kMac;
    case alg::kSm2Pke:
    case 0xF0110230:  // RSA OAEP with MD5
      return AlgorithmClass::kAsymmetricCipher;
    case alg::kSm2Kep:
      return AlgorithmClass::kDerivation;
    case alg::kRsaSignRaw:
    case 0xF0111930:  // RSA PSS with MD5
      return AlgorithmClass::kSignature;
    default:
      break;
  }
  const std::uint32_t number = algorithm >> 28;
  if (number == 0 || number == 2 || number > 8) return AlgorithmClass::kUnknown;
  return static_cast<AlgorithmClass>(number);
}

const evp_md_st* DigestByNumber(std::uint32_t number) {
  switch (number) {
    case 0x1:
      return EVP_md5();
    case 0x2:
      return EVP_sha1();
    case 0x3:
      return EVP_sha224();
    case 0x4:
      return EVP_sha256();
    case 0x5:
      return EVP_sha384();
    case 0x6:
      return EVP_sha512();
    case 0x7:
      return EVP_sm3();
    case 0x8:
      return EVP_sha3_224();
    case 0x9:
      return EVP_sha3_256();
    case 0xA:
      return EVP_sha3_384();
    case 0xB:
      return EVP_sha3_512();
    default:
      return nullptr;
  }
}

const evp_md_st* DigestOf(std::uint32_t algorithm) {
  if (algorithm == alg::kShake128) return EVP_shake128();
  if (algorithm == alg::kShake256) return EVP_shake256();
  constexpr std::uint32_t kHmacClass = 0x30000000;
  constexpr std::uint32_t kDigestClass = 0x50000000;
  const std::uint32_t rest = algorithm & 0x0FFFFFFF;
  const std::uint32_t kind = algorithm & 0xF0000000;
  if (rest > 0xF || (kind != kHmacClass && kind != kDigestClass)) return nullptr;
  return DigestByNumber(rest);
}

bool IsExtendable(std::uint32_t algorithm) {
  return algorithm == alg::kShake128 || algorithm == alg::kShake256;
}

std::uint32_t ModernAlgorithm(std::uint32_t algorithm) {
  // ECDSA by curve (0x7000n041) and ECDH by curve (0x8000n042).
  const std::uint32_t number = (algorithm >> 12) & 0xF;
  if ((algorithm & 0xFFFF0FFF) == 0x70000041 && number >= 1 && number <= 5) {
    constexpr std::uint32_t kSha1 = 0x70001042;
    return kSha1 + ((number - 1) << 12);
  }
  if ((algorithm & 0xFFFF0FFF) == 0x80000042 && number >= 1 && number <= 5) return alg::kEcdh;
  return algorithm;
}

}  // namespace vtee::ta
