// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/elliptic.h"

#include <openssl/asn1t.h>
#include <openssl/dsa.h>
#include <openssl/ecdsa.h>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/asymmetric.h"
#include "ta/crypto/big_number.h"
#include "ta/crypto/curves.h"
#include "ta/crypto/evp_digest.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

PkeyPtr FromData(const char* type, const OSSL_PARAM_BLD& builder, bool private_half) {
  const ParamsPtr params(OSSL_PARAM_BLD_to_param(const_cast<OSSL_PARAM_BLD*>(&builder)));
  const PkeyContextPtr context(EVP_PKEY_CTX_new_from_name(nullptr, type, nullptr));
  EVP_PKEY* raw = nullptr;
  if (!params || !context || EVP_PKEY_fromdata_init(context.get()) != 1 ||
      EVP_PKEY_fromdata(context.get(), &raw, private_half ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY,
                        const_cast<OSSL_PARAM*>(params.get())) != 1) {
    return nullptr;
  }
  return PkeyPtr(raw);
}

PkeyPtr MakeDsaKey(const CryptoObject& key, bool private_half) {
  const ParamBuilderPtr builder = OrBadAlloc(ParamBuilderPtr(OSSL_PARAM_BLD_new()));
  std::vector<BnPtr> numbers;
  const auto add = [&](const char* name, std::uint32_t id) {
    numbers.push_back(ToNumber(key.Bytes(id)));
    return OSSL_PARAM_BLD_push_BN(builder.get(), name, numbers.back().get()) == 1;
  };
  const bool ok = add(OSSL_PKEY_PARAM_FFC_P, attr::kDsaPrime) &&
                  add(OSSL_PKEY_PARAM_FFC_Q, attr::kDsaSubprime) &&
                  add(OSSL_PKEY_PARAM_FFC_G, attr::kDsaBase) &&
                  add(OSSL_PKEY_PARAM_PUB_KEY, attr::kDsaPublic) &&
                  (!private_half || add(OSSL_PKEY_PARAM_PRIV_KEY, attr::kDsaPrivate));
  return ok ? FromData("DSA", *builder, private_half) : nullptr;
}

const Curve* CurveOf(const CryptoObject& key) {
  return FindCurve(key.Has(attr::kEccCurve) ? key.Value(attr::kEccCurve) : kCurveSm2);
}

// An uncompressed point. Empty: a coordinate is too long.
SecretBytes EncodePoint(const Curve& curve, ConstBytes x, ConstBytes y) {
  SecretBytes point{std::byte{4}};
  for (const ConstBytes coordinate : {x, y}) {
    const SecretBytes padded = FromNumberPadded(ToNumber(coordinate).get(), curve.bytes);
    if (padded.empty()) return {};
    point.insert(point.end(), padded.begin(), padded.end());
  }
  return point;
}

// Above zero and below the order. SM2 divides by d + 1, and OpenSSL tries for ever to sign with a
// key for which that is nothing.
bool IsPrivateKey(const Curve& curve, const BIGNUM* d) {
  const std::unique_ptr<EC_GROUP, Deleter<EC_GROUP_free>> group(
      EC_GROUP_new_by_curve_name(curve.nid));
  if (!group) throw std::bad_alloc();
  const BnPtr end(BN_dup(EC_GROUP_get0_order(group.get())));
  if (!end || BN_sub_word(end.get(), curve.id == kCurveSm2 ? 1 : 0) != 1) throw std::bad_alloc();
  return !BN_is_zero(d) && BN_cmp(d, end.get()) < 0;
}

// OpenSSL refuses points that are not on the curve.
PkeyPtr MakeEccKey(const Curve& curve, ConstBytes x, ConstBytes y, ConstBytes d) {
  const ParamBuilderPtr builder = OrBadAlloc(ParamBuilderPtr(OSSL_PARAM_BLD_new()));
  const SecretBytes point = EncodePoint(curve, x, y);
  const BnPtr number = ToNumber(d);
  if (!d.empty() && !IsPrivateKey(curve, number.get())) return nullptr;
  const bool ok = !point.empty() &&
                  OSSL_PARAM_BLD_push_utf8_string(builder.get(), OSSL_PKEY_PARAM_GROUP_NAME,
                                                  curve.group, 0) == 1 &&
                  OSSL_PARAM_BLD_push_octet_string(builder.get(), OSSL_PKEY_PARAM_PUB_KEY,
                                                   point.data(), point.size()) == 1 &&
                  (d.empty() || OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_PRIV_KEY,
                                                       number.get()) == 1);
  return ok ? FromData(curve.id == kCurveSm2 ? "SM2" : "EC", *builder, !d.empty()) : nullptr;
}

PkeyPtr MakeEccKey(const CryptoObject& key, bool private_half) {
  const Curve* curve = CurveOf(key);
  if (curve == nullptr) return nullptr;
  return MakeEccKey(*curve, key.Bytes(attr::kEccX), key.Bytes(attr::kEccY),
                    private_half ? key.Bytes(attr::kEccPrivate) : ConstBytes());
}

// OpenSSL signs into DER; r and s are of `size` bytes each.
std::uint32_t SignRaw(EVP_PKEY* pkey, std::size_t size, ConstBytes digest, SecretBytes& signature) {
  const PkeyContextPtr context(EVP_PKEY_CTX_new(pkey, nullptr));
  std::size_t der_size = 0;
  if (!context || EVP_PKEY_sign_init(context.get()) != 1 ||
      EVP_PKEY_sign(context.get(), nullptr, &der_size, In(digest), digest.size()) != 1) {
    return code::kBadParameters;
  }
  SecretBytes der(der_size);
  if (EVP_PKEY_sign(context.get(), Out(der), &der_size, In(digest), digest.size()) != 1) {
    return code::kBadParameters;
  }
  const unsigned char* at = In(der);
  const std::unique_ptr<ECDSA_SIG, Deleter<ECDSA_SIG_free>> pair(
      d2i_ECDSA_SIG(nullptr, &at, static_cast<long>(der_size)));
  if (!pair) return code::kGeneric;
  signature.clear();
  for (const BIGNUM* number : {ECDSA_SIG_get0_r(pair.get()), ECDSA_SIG_get0_s(pair.get())}) {
    const SecretBytes padded = FromNumberPadded(number, size);
    if (padded.empty()) return code::kGeneric;
    signature.insert(signature.end(), padded.begin(), padded.end());
  }
  return code::kSuccess;
}

std::uint32_t VerifyRaw(EVP_PKEY* pkey, ConstBytes digest, ConstBytes signature) {
  if (signature.empty() || signature.size() % 2 != 0) return kSignatureInvalid;
  const std::size_t size = signature.size() / 2;
  BnPtr r = ToNumber(signature.first(size));
  BnPtr s = ToNumber(signature.subspan(size));
  const std::unique_ptr<ECDSA_SIG, Deleter<ECDSA_SIG_free>> pair(ECDSA_SIG_new());
  if (!pair || ECDSA_SIG_set0(pair.get(), r.get(), s.get()) != 1) throw std::bad_alloc();
  static_cast<void>(r.release());
  static_cast<void>(s.release());
  unsigned char* der = nullptr;
  const int der_size = i2d_ECDSA_SIG(pair.get(), &der);
  if (der_size <= 0) return kSignatureInvalid;
  const PkeyContextPtr context(EVP_PKEY_CTX_new(pkey, nullptr));
  const bool right = context && EVP_PKEY_verify_init(context.get()) == 1 &&
                     EVP_PKEY_verify(context.get(), der, static_cast<std::size_t>(der_size),
                                     In(digest), digest.size()) == 1;
  OPENSSL_free(der);
  return right ? code::kSuccess : kSignatureInvalid;
}

}  // namespace

std::uint32_t DsaSign(const CryptoObject& key, ConstBytes digest, SecretBytes& signature) {
  const PkeyPtr pkey = MakeDsaKey(key, true);
  if (!pkey) return code::kBadParameters;
  return SignRaw(pkey.get(), key.Bytes(attr::kDsaSubprime).size(), digest, signature);
}

std::uint32_t DsaVerify(std::uint32_t algorithm, const CryptoObject& key, ConstBytes digest,
                        ConstBytes signature) {
  const EVP_MD* md = EvpDigestByNumber((algorithm >> 12) & 0xF);
  if (md == nullptr) return code::kNotSupported;
  if (digest.size() != static_cast<std::size_t>(EVP_MD_get_size(md)) &&
      digest.size() != key.Bytes(attr::kDsaSubprime).size()) {
    return code::kBadParameters;
  }
  const PkeyPtr pkey = MakeDsaKey(key, false);
  if (!pkey) return code::kBadParameters;
  return VerifyRaw(pkey.get(), digest, signature);
}

std::uint32_t EccSign(const CryptoObject& key, ConstBytes digest, SecretBytes& signature) {
  const PkeyPtr pkey = MakeEccKey(key, true);
  if (!pkey) return code::kBadParameters;
  return SignRaw(pkey.get(), CurveOf(key)->bytes, digest, signature);
}

std::uint32_t EccVerify(const CryptoObject& key, ConstBytes digest, ConstBytes signature) {
  const PkeyPtr pkey = MakeEccKey(key, false);
  // Nothing is valid under a key that is no point. BAD_PARAMETERS would be a TA's end, and the key
  // may have come from anybody; OP-TEE computes on and says the same.
  if (!pkey || signature.size() != 2 * CurveOf(key)->bytes) return kSignatureInvalid;
  return VerifyRaw(pkey.get(), digest, signature);
}

std::uint32_t EcdhDerive(const CryptoObject& key, ConstBytes x, ConstBytes y, SecretBytes& secret) {
  const Curve* curve = CurveOf(key);
  const PkeyPtr own = MakeEccKey(key, true);
  const PkeyPtr peer = curve != nullptr ? MakeEccKey(*curve, x, y, {}) : nullptr;
  if (!own || !peer) return code::kBadParameters;
  const PkeyContextPtr context(EVP_PKEY_CTX_new(own.get(), nullptr));
  secret.resize(curve->bytes);
  std::size_t size = secret.size();
  const bool ok = context && EVP_PKEY_derive_init(context.get()) == 1 &&
                  EVP_PKEY_derive_set_peer(context.get(), peer.get()) == 1 &&
                  EVP_PKEY_derive(context.get(), Out(secret), &size) == 1;
  if (!ok) return code::kBadParameters;
  secret.resize(size);
  return code::kSuccess;
}

namespace {

// SEQUENCE { x INTEGER, y INTEGER, C3 OCTET STRING, C2 OCTET STRING }, as OpenSSL has it.
class Sm2Der {
 public:
  static bool Take(const unsigned char*& at, const unsigned char* end, int tag, ConstBytes& out) {
    long size = 0;
    int found = 0;
    int kind = 0;
    const unsigned char* start = at;
    if (end - start <= 0) return false;
    const int flags = ASN1_get_object(&at, &size, &found, &kind, end - start);
    if ((flags & 0x80) != 0 || found != tag || size < 0 || size > end - at) return false;
    out = std::as_bytes(std::span(at, static_cast<std::size_t>(size)));
    at += size;
    return true;
  }
  static void Put(SecretBytes& out, int tag, ConstBytes content) {
    unsigned char header[16];
    unsigned char* at = header;
    ASN1_put_object(&at, tag == V_ASN1_SEQUENCE ? 1 : 0, static_cast<int>(content.size()), tag,
                    V_ASN1_UNIVERSAL);
    const auto bytes = std::as_bytes(std::span(header, static_cast<std::size_t>(at - header)));
    out.insert(out.end(), bytes.begin(), bytes.end());
    out.insert(out.end(), content.begin(), content.end());
  }
  // An INTEGER is positive: a zero goes in front of a top bit.
  static void PutNumber(SecretBytes& out, ConstBytes number) {
    SecretBytes content = FromNumber(ToNumber(number).get());
    if (content.empty() || (content[0] & std::byte{0x80}) != std::byte{0}) {
      content.insert(content.begin(), std::byte{0});
    }
    Put(out, V_ASN1_INTEGER, content);
  }
};

constexpr std::size_t kSm2Coordinate = 32;
constexpr std::size_t kSm3 = 32;

}  // namespace

std::uint32_t Sm2Encrypt(const CryptoObject& key, ConstBytes in, SecretBytes& out) {
  const PkeyPtr pkey = MakeEccKey(key, false);
  const PkeyContextPtr context(pkey ? EVP_PKEY_CTX_new(pkey.get(), nullptr) : nullptr);
  std::size_t size = 0;
  if (!context || EVP_PKEY_encrypt_init(context.get()) != 1 ||
      EVP_PKEY_encrypt(context.get(), nullptr, &size, In(in), in.size()) != 1) {
    return code::kBadParameters;
  }
  SecretBytes der(size);
  if (EVP_PKEY_encrypt(context.get(), Out(der), &size, In(in), in.size()) != 1) {
    return code::kBadParameters;
  }
  const unsigned char* at = In(der);
  ConstBytes all;
  if (!Sm2Der::Take(at, at + size, V_ASN1_SEQUENCE, all)) return code::kGeneric;
  at = In(all);
  const unsigned char* end = at + all.size();
  ConstBytes x;
  ConstBytes y;
  ConstBytes digest;
  ConstBytes text;
  if (!Sm2Der::Take(at, end, V_ASN1_INTEGER, x) || !Sm2Der::Take(at, end, V_ASN1_INTEGER, y) ||
      !Sm2Der::Take(at, end, V_ASN1_OCTET_STRING, digest) ||
      !Sm2Der::Take(at, end, V_ASN1_OCTET_STRING, text)) {
    return code::kGeneric;
  }
  out = EncodePoint(*FindCurve(kCurveSm2), x, y);
  out.insert(out.end(), text.begin(), text.end());
  out.insert(out.end(), digest.begin(), digest.end());
  return code::kSuccess;
}

std::uint32_t Sm2Decrypt(const CryptoObject& key, ConstBytes in, SecretBytes& out) {
  constexpr std::size_t kPoint = 1 + 2 * kSm2Coordinate;
  if (in.size() <= kPoint + kSm3 || in[0] != std::byte{4}) return code::kBadParameters;
  SecretBytes content;
  Sm2Der::PutNumber(content, in.subspan(1, kSm2Coordinate));
  Sm2Der::PutNumber(content, in.subspan(1 + kSm2Coordinate, kSm2Coordinate));
  Sm2Der::Put(content, V_ASN1_OCTET_STRING, in.subspan(in.size() - kSm3));
  Sm2Der::Put(content, V_ASN1_OCTET_STRING, in.subspan(kPoint, in.size() - kPoint - kSm3));
  SecretBytes der;
  Sm2Der::Put(der, V_ASN1_SEQUENCE, content);
  const PkeyPtr pkey = MakeEccKey(key, true);
  const PkeyContextPtr context(pkey ? EVP_PKEY_CTX_new(pkey.get(), nullptr) : nullptr);
  out.resize(in.size());
  std::size_t size = out.size();
  const bool ok = context && EVP_PKEY_decrypt_init(context.get()) == 1 &&
                  EVP_PKEY_decrypt(context.get(), Out(out), &size, In(der), der.size()) == 1;
  if (!ok) return code::kBadParameters;
  out.resize(size);
  return code::kSuccess;
}

}  // namespace vtee::ta
