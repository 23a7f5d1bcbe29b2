// SPDX-License-Identifier: BSD-3-Clause
#include "ta/syscall/key_rules.h"

#include "ta/crypto/algorithms.h"
#include "ta/crypto/asymmetric.h"
#include "ta/crypto/derivation.h"
#include "ta/crypto/evp_digest.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

// The public half, too, in these modes.
bool PairOrPublic(std::uint32_t type, std::uint32_t pair, bool public_too) {
  return type == pair || (public_too && type == (pair & ~objtype::kKeypairFlag));
}

}  // namespace

bool KeyFits(std::uint32_t type, std::uint32_t algorithm, std::uint32_t mode) {
  const bool verify = mode == opmode::kVerify;
  const bool encrypt = mode == opmode::kEncrypt;
  switch (algorithm) {
    case alg::kSm2Pke:
      return type == (encrypt ? objtype::kSm2PkePublic : objtype::kSm2PkeKeypair);
    case alg::kSm2DsaSm3:
      return type == (verify ? objtype::kSm2DsaPublic : objtype::kSm2DsaKeypair);
    case alg::kSm2Kep:
      return type == objtype::kSm2KepKeypair || type == objtype::kSm2KepPublic;
    case alg::kX25519:
      return type == objtype::kX25519Keypair;
    case alg::kX448:
      return type == objtype::kX448Keypair;
    case alg::kHkdf:
      return type == objtype::kHkdfIkm;
    default:
      break;
  }
  switch (MainAlgorithm(algorithm)) {
    case 0x30:
      return PairOrPublic(type, objtype::kRsaKeypair, verify || encrypt);
    case 0x31:
      return PairOrPublic(type, objtype::kDsaKeypair, verify || encrypt);
    case 0x32:
      return type == objtype::kDhKeypair;
    case 0x41:
    case 0x42:
      if (ClassOf(algorithm) == AlgorithmClass::kKeyDerivation)
        return type == objtype::kEcdhKeypair;
      return PairOrPublic(type, objtype::kEcdsaKeypair, verify);
    case 0x43:
      return PairOrPublic(type, objtype::kEd25519Keypair, verify);
    case 0xC0:
      return type == objtype::kHkdfIkm;
    case 0xC1:
      return type == objtype::kConcatKdfZ;
    case 0xC2:
      return type == objtype::kPbkdf2Password;
    default:
      // Symmetric keys are numbered as their algorithms.
      return type == (0xA0000000 | MainAlgorithm(algorithm));
  }
}

std::uint32_t CheckKeyCount(std::uint32_t algorithm, bool key1, bool key2) {
  bool supported = IsSupported(algorithm);
  const AlgorithmClass kind = ClassOf(algorithm);
  if (kind == AlgorithmClass::kAsymmetricCipher || kind == AlgorithmClass::kSignature) {
    supported = IsAsymmetricSupported(algorithm);
  } else if (kind == AlgorithmClass::kKeyDerivation) {
    supported = IsDerivationSupported(algorithm);
  }
  if (!supported || kind == AlgorithmClass::kNone) return code::kNotSupported;
  const bool right = key1 == (kind != AlgorithmClass::kDigest) && key2 == NeedsTwoKeys(algorithm);
  return right ? code::kSuccess : code::kBadParameters;
}

}  // namespace vtee::ta
