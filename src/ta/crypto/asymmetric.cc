// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/asymmetric.h"

#include <openssl/err.h>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/elliptic.h"
#include "ta/crypto/evp_digest.h"
#include "ta/crypto/montgomery.h"
#include "ta/crypto/operation_modes.h"
#include "ta/crypto/rsa.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

enum class Family { kNone, kRsa, kDsa, kEcdsa, kEd25519, kSm2Dsa, kSm2Pke };

Family FamilyOf(std::uint32_t algorithm) {
  switch (algorithm) {
    case alg::kSm2DsaSm3:
      return Family::kSm2Dsa;
    case alg::kSm2Pke:
      return Family::kSm2Pke;
    case alg::kEd25519:
      return Family::kEd25519;
    default:
      break;
  }
  switch (MainAlgorithm(algorithm)) {
    case 0x30:
      return RsaSchemeOf(algorithm) ? Family::kRsa : Family::kNone;
    case 0x31:
      return Family::kDsa;
    case 0x42:
      return Family::kEcdsa;
    default:
      return Family::kNone;
  }
}

// TEE_ATTR_EDDSA_PREHASH and TEE_ATTR_EDDSA_CTX.
std::uint32_t EdVariantOf(Attributes params, EdVariant& variant) {
  for (const Attribute& param : params) {
    if (param.id == attr::kEddsaPrehash) {
      if (param.b != 0 || param.a > 1) return code::kBadParameters;
      variant.prehash = param.a == 1;
    } else if (param.id == attr::kEddsaContext) {
      if (param.bytes.size() > 255) return code::kBadParameters;
      variant.has_context = true;
      variant.context = param.bytes;
    } else {
      return code::kBadParameters;
    }
  }
  return code::kSuccess;
}

std::uint32_t Sign(std::uint32_t algorithm, const CryptoObject& key, Attributes params,
                   ConstBytes in, SecretBytes& out) {
  switch (FamilyOf(algorithm)) {
    case Family::kRsa:
      return RsaSign(algorithm, key, params, in, out);
    case Family::kDsa:
      return DsaSign(key, in, out);
    case Family::kEcdsa:
    case Family::kSm2Dsa:
      return EccSign(key, in, out);
    case Family::kEd25519: {
      EdVariant variant;
      const std::uint32_t result = EdVariantOf(params, variant);
      return result == code::kSuccess ? Ed25519Sign(key, variant, in, out) : result;
    }
    default:
      return code::kBadParameters;
  }
}

}  // namespace

bool IsAsymmetricSupported(std::uint32_t algorithm) { return FamilyOf(algorithm) != Family::kNone; }

std::uint32_t AsymmetricOperate(std::uint32_t algorithm, std::uint32_t mode,
                                const CryptoObject& key, Attributes params, ConstBytes in,
                                SecretBytes& out) {
  std::uint32_t result = code::kBadParameters;
  const Family family = FamilyOf(algorithm);
  if (ClassOf(algorithm) == AlgorithmClass::kSignature) {
    if (mode == opmode::kSign) result = Sign(algorithm, key, params, in, out);
  } else if (mode != opmode::kEncrypt && mode != opmode::kDecrypt) {
    result = code::kGeneric;
  } else if (family == Family::kRsa) {
    result = mode == opmode::kEncrypt ? RsaEncrypt(algorithm, key, params, in, out)
                                      : RsaDecrypt(algorithm, key, params, in, out);
  } else if (family == Family::kSm2Pke) {
    result = mode == opmode::kEncrypt ? Sm2Encrypt(key, in, out) : Sm2Decrypt(key, in, out);
  }
  ERR_clear_error();
  return result;
}

std::size_t AsymmetricRoom(std::uint32_t algorithm, std::uint32_t mode, const CryptoObject& key) {
  if (mode != opmode::kEncrypt) return 0;
  const auto scheme = RsaSchemeOf(algorithm);
  if (!scheme || scheme->signs || scheme->padding == RsaScheme::Padding::kNone) return 0;
  return key.Bytes(attr::kRsaModulus).size();
}

std::uint32_t AsymmetricVerify(std::uint32_t algorithm, const CryptoObject& key, Attributes params,
                               ConstBytes data, ConstBytes signature) {
  std::uint32_t result = code::kNotSupported;
  switch (FamilyOf(algorithm)) {
    case Family::kRsa:
      result = RsaVerify(algorithm, key, params, data, signature);
      break;
    case Family::kDsa:
      result = DsaVerify(algorithm, key, data, signature);
      break;
    case Family::kEcdsa:
    case Family::kSm2Dsa:
      result = EccVerify(key, data, signature);
      break;
    case Family::kEd25519: {
      EdVariant variant;
      result = EdVariantOf(params, variant);
      if (result == code::kSuccess && !Ed25519Verify(key, variant, data, signature)) {
        result = kSignatureInvalid;
      }
      break;
    }
    default:
      break;
  }
  ERR_clear_error();
  return result;
}

}  // namespace vtee::ta
