// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/rsa.h"

#include <openssl/rsa.h>

#include <algorithm>
#include <cstring>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/asymmetric.h"
#include "ta/crypto/big_number.h"
#include "ta/crypto/evp_digest.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;
using Padding = RsaScheme::Padding;

std::size_t ModulusBytes(const CryptoObject& key) { return key.Bytes(attr::kRsaModulus).size(); }

// OpenSSL has no public operation with so long an exponent and so large a modulus, but signs with
// such keys, and TAs may generate them. It gets the exponent 1 instead, so that all it does is the
// padding, and RaisePublic() does the rest.
bool HasLongExponent(const CryptoObject& key) {
  const BnPtr n = ToNumber(key.Bytes(attr::kRsaModulus));
  const BnPtr e = ToNumber(key.Bytes(attr::kRsaPublicExponent));
  return BN_num_bits(n.get()) > OPENSSL_RSA_SMALL_MODULUS_BITS &&
         BN_num_bits(e.get()) > OPENSSL_RSA_MAX_PUBEXP_BITS && BN_cmp(e.get(), n.get()) < 0;
}

// `number` to the public exponent, as long as the modulus. Empty: it is not below the modulus.
SecretBytes RaisePublic(const CryptoObject& key, ConstBytes number) {
  const BnPtr n = ToNumber(key.Bytes(attr::kRsaModulus));
  const BnPtr base = ToNumber(number);
  const BnPtr result = NewNumber();
  const BnContextPtr context = NewNumberContext();
  if (BN_cmp(base.get(), n.get()) >= 0 ||
      BN_mod_exp(result.get(), base.get(), ToNumber(key.Bytes(attr::kRsaPublicExponent)).get(),
                 n.get(), context.get()) != 1) {
    return {};
  }
  return FromNumberPadded(result.get(), ModulusBytes(key));
}

PkeyPtr MakeKey(const CryptoObject& key, bool private_half) {
  const ParamBuilderPtr builder = OrBadAlloc(ParamBuilderPtr(OSSL_PARAM_BLD_new()));
  std::vector<BnPtr> numbers;
  const auto add = [&](const char* name, std::uint32_t id) {
    numbers.push_back(ToNumber(key.Bytes(id)));
    return OSSL_PARAM_BLD_push_BN(builder.get(), name, numbers.back().get()) == 1;
  };
  bool ok = add(OSSL_PKEY_PARAM_RSA_N, attr::kRsaModulus);
  if (!private_half && HasLongExponent(key)) {
    ok = ok && OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, BN_value_one()) == 1;
  } else {
    ok = ok && add(OSSL_PKEY_PARAM_RSA_E, attr::kRsaPublicExponent);
  }
  if (private_half) {
    ok = ok && add(OSSL_PKEY_PARAM_RSA_D, attr::kRsaPrivateExponent);
    if (key.Has(attr::kRsaPrime1)) {
      ok = ok && add(OSSL_PKEY_PARAM_RSA_FACTOR1, attr::kRsaPrime1) &&
           add(OSSL_PKEY_PARAM_RSA_FACTOR2, attr::kRsaPrime2) &&
           add(OSSL_PKEY_PARAM_RSA_EXPONENT1, attr::kRsaExponent1) &&
           add(OSSL_PKEY_PARAM_RSA_EXPONENT2, attr::kRsaExponent2) &&
           add(OSSL_PKEY_PARAM_RSA_COEFFICIENT1, attr::kRsaCoefficient);
    }
  }
  const ParamsPtr params(ok ? OSSL_PARAM_BLD_to_param(builder.get()) : nullptr);
  const PkeyContextPtr context(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  EVP_PKEY* raw = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &raw, private_half ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY,
                        params.get()) != 1) {
    return nullptr;
  }
  return PkeyPtr(raw);
}

bool SetOaep(EVP_PKEY_CTX* context, const RsaScheme& scheme, Attributes params) {
  const EVP_MD* mask = scheme.digest;
  if (const Attribute* given = FindAttribute(params, attr::kRsaOaepMgfHash)) {
    std::uint32_t algorithm = 0;
    if (given->bytes.size() != sizeof(algorithm)) return false;
    std::memcpy(&algorithm, given->bytes.data(), sizeof(algorithm));
    mask = EvpDigestOf(algorithm);
    if (mask == nullptr) return false;
  }
  if (EVP_PKEY_CTX_set_rsa_oaep_md(context, scheme.digest) != 1 ||
      EVP_PKEY_CTX_set_rsa_mgf1_md(context, mask) != 1) {
    return false;
  }
  const Attribute* label = FindAttribute(params, attr::kRsaOaepLabel);
  if (label == nullptr || label->bytes.empty()) return true;
  void* copy = OPENSSL_memdup(label->bytes.data(), label->bytes.size());
  if (copy == nullptr) throw std::bad_alloc();
  if (EVP_PKEY_CTX_set0_rsa_oaep_label(context, copy, static_cast<int>(label->bytes.size())) == 1) {
    return true;
  }
  OPENSSL_free(copy);
  return false;
}

bool SetEncryption(EVP_PKEY_CTX* context, const RsaScheme& scheme, Attributes params) {
  switch (scheme.padding) {
    case Padding::kNone:
      return EVP_PKEY_CTX_set_rsa_padding(context, RSA_NO_PADDING) == 1;
    case Padding::kPkcs1:
      return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1;
    case Padding::kOaep:
      return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1 &&
             SetOaep(context, scheme, params);
    case Padding::kPss:
      break;
  }
  return false;
}

bool SetSignature(EVP_PKEY_CTX* context, const RsaScheme& scheme, Attributes params) {
  if (scheme.padding == Padding::kPkcs1) {
    return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1 &&
           (scheme.digest == nullptr || EVP_PKEY_CTX_set_signature_md(context, scheme.digest) == 1);
  }
  int salt = EVP_MD_get_size(scheme.digest);
  if (const Attribute* given = FindAttribute(params, attr::kRsaPssSaltLength)) {
    if (given->a < 0x7FFFFFFF) salt = static_cast<int>(given->a);
  }
  return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
         EVP_PKEY_CTX_set_signature_md(context, scheme.digest) == 1 &&
         EVP_PKEY_CTX_set_rsa_mgf1_md(context, scheme.digest) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(context, salt) == 1;
}

// Without padding, a number goes in and a number comes out: as long as the modulus and with
// zeros in front for OpenSSL, without them for TAs (OP-TEE leaves one if there is nothing else).
SecretBytes PadNumber(ConstBytes in, std::size_t size) {
  SecretBytes padded(size - std::min(size, in.size()));
  padded.insert(padded.end(), in.begin(), in.end());
  return padded;
}
// More zeros than the modulus is long mean nothing either.
ConstBytes WithoutExcess(ConstBytes in, std::size_t size) {
  while (in.size() > size && in.front() == std::byte{0}) in = in.subspan(1);
  return in;
}
void StripNumber(SecretBytes& out) {
  const auto first = std::find_if(out.begin(), out.end() - (out.empty() ? 0 : 1),
                                  [](std::byte b) { return b != std::byte{0}; });
  out.erase(out.begin(), first);
}

// One direction of EVP's encryption.
struct Direction {
  bool private_half;
  int (*init)(EVP_PKEY_CTX*);
  int (*run)(EVP_PKEY_CTX*, unsigned char* out, std::size_t* written, const unsigned char* in,
             std::size_t size);
};
constexpr Direction kEncrypt{false, EVP_PKEY_encrypt_init, EVP_PKEY_encrypt};
constexpr Direction kDecrypt{true, EVP_PKEY_decrypt_init, EVP_PKEY_decrypt};

std::uint32_t Convert(const Direction& direction, std::uint32_t algorithm, const CryptoObject& key,
                      Attributes params, ConstBytes in, SecretBytes& out) {
  const auto scheme = RsaSchemeOf(algorithm);
  const std::size_t size = ModulusBytes(key);
  if (!scheme || scheme->signs) return code::kBadParameters;
  const bool plain = scheme->padding == Padding::kNone;
  if (plain) in = WithoutExcess(in, size);
  if (in.size() > size) return code::kBadParameters;
  const PkeyPtr pkey = MakeKey(key, direction.private_half);
  const PkeyContextPtr context(pkey ? EVP_PKEY_CTX_new(pkey.get(), nullptr) : nullptr);
  // A ciphertext is a number, too.
  const SecretBytes padded = plain || direction.private_half ? PadNumber(in, size) : Secret(in);
  out.resize(size);
  std::size_t written = size;
  const bool ok = context && direction.init(context.get()) == 1 &&
                  SetEncryption(context.get(), *scheme, params) &&
                  direction.run(context.get(), Out(out), &written, In(padded), padded.size()) == 1;
  if (!ok) return code::kBadParameters;
  out.resize(written);
  if (!direction.private_half && HasLongExponent(key)) {
    out = RaisePublic(key, out);
    if (out.empty()) return code::kBadParameters;
  }
  if (plain) StripNumber(out);
  return code::kSuccess;
}

// The scheme of a signature over `data`, which is the digest where the scheme names one.
std::optional<RsaScheme> SignatureScheme(std::uint32_t algorithm, ConstBytes data) {
  const auto scheme = RsaSchemeOf(algorithm);
  if (!scheme || !scheme->signs) return std::nullopt;
  if (scheme->digest != nullptr &&
      data.size() != static_cast<std::size_t>(EVP_MD_get_size(scheme->digest))) {
    return std::nullopt;
  }
  return scheme;
}

}  // namespace

std::optional<RsaScheme> RsaSchemeOf(std::uint32_t algorithm) {
  if (algorithm == alg::kRsaNopad) return RsaScheme{Padding::kNone, false, nullptr};
  if (algorithm == alg::kRsaesPkcs1) return RsaScheme{Padding::kPkcs1, false, nullptr};
  if (algorithm == alg::kRsassaPkcs1) return RsaScheme{Padding::kPkcs1, true, nullptr};
  constexpr std::uint32_t kMd5Sha1 = 0x7000F830;
  if (algorithm == kMd5Sha1) return RsaScheme{Padding::kPkcs1, true, EVP_md5_sha1()};
  const std::uint32_t low = (algorithm >> 12) & 0xF;
  const std::uint32_t high = (algorithm >> 20) & 0xF;
  const EVP_MD* by_low = EvpDigestByNumber(low);
  const EVP_MD* by_high = EvpDigestByNumber(high);
  if ((algorithm & 0xFFFF0FFF) == 0x70000830 && by_low != nullptr) {
    return RsaScheme{Padding::kPkcs1, true, by_low};
  }
  // 0x70nmn930 with twice the same digest: PSS; 0x60n10230: OAEP; 0xF0... with MD5.
  const AlgorithmClass kind = ClassOf(algorithm);
  if (kind == AlgorithmClass::kSignature && (algorithm & 0x0F0F0FFF) == 0x00010930 &&
      by_low != nullptr && by_low == by_high) {
    return RsaScheme{Padding::kPss, true, by_low};
  }
  if (kind == AlgorithmClass::kAsymmetricCipher && (algorithm & 0x0F0FFFFF) == 0x00010230 &&
      by_high != nullptr) {
    return RsaScheme{Padding::kOaep, false, by_high};
  }
  return std::nullopt;
}

std::uint32_t RsaEncrypt(std::uint32_t algorithm, const CryptoObject& key, Attributes params,
                         ConstBytes in, SecretBytes& out) {
  return Convert(kEncrypt, algorithm, key, params, in, out);
}

std::uint32_t RsaDecrypt(std::uint32_t algorithm, const CryptoObject& key, Attributes params,
                         ConstBytes in, SecretBytes& out) {
  return Convert(kDecrypt, algorithm, key, params, in, out);
}

std::uint32_t RsaSign(std::uint32_t algorithm, const CryptoObject& key, Attributes params,
                      ConstBytes in, SecretBytes& out) {
  const auto scheme = SignatureScheme(algorithm, in);
  if (!scheme) return code::kBadParameters;
  const PkeyPtr pkey = MakeKey(key, true);
  const PkeyContextPtr context(pkey ? EVP_PKEY_CTX_new(pkey.get(), nullptr) : nullptr);
  out.resize(ModulusBytes(key));
  std::size_t written = out.size();
  const bool ok = context && EVP_PKEY_sign_init(context.get()) == 1 &&
                  SetSignature(context.get(), *scheme, params) &&
                  EVP_PKEY_sign(context.get(), Out(out), &written, In(in), in.size()) == 1;
  if (!ok) return code::kBadParameters;
  out.resize(written);
  return code::kSuccess;
}

std::uint32_t RsaVerify(std::uint32_t algorithm, const CryptoObject& key, Attributes params,
                        ConstBytes data, ConstBytes signature) {
  const auto scheme = SignatureScheme(algorithm, data);
  if (!scheme) return code::kBadParameters;
  const PkeyPtr pkey = MakeKey(key, false);
  const PkeyContextPtr context(pkey ? EVP_PKEY_CTX_new(pkey.get(), nullptr) : nullptr);
  if (!context || EVP_PKEY_verify_init(context.get()) != 1 ||
      !SetSignature(context.get(), *scheme, params)) {
    return code::kBadParameters;
  }
  // OpenSSL takes a PSS signature without its zeros in front, too.
  if (signature.size() != ModulusBytes(key)) return kSignatureInvalid;
  SecretBytes raised;
  if (HasLongExponent(key)) {
    raised = RaisePublic(key, signature);
    if (raised.empty()) return kSignatureInvalid;
    signature = raised;
  }
  const bool right =
      EVP_PKEY_verify(context.get(), In(signature), signature.size(), In(data), data.size()) == 1;
  return right ? code::kSuccess : kSignatureInvalid;
}

}  // namespace vtee::ta
