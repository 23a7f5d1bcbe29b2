// SPDX-License-Identifier: BSD-3-Clause
#include "ta/container/signing_key.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <array>

namespace vtee::ta {
namespace {

// TEE_ALG_RSASSA_PKCS1_V1_5_* and TEE_ALG_RSASSA_PKCS1_PSS_MGF1_* (GlobalPlatform TEE Internal
// Core API 1.3.1, table 6-11).
struct KnownScheme {
  std::uint32_t algorithm;
  const EVP_MD* (*digest)();
  std::size_t digest_size;
  bool pss;
};
constexpr KnownScheme kSchemes[] = {
    {0x70004830, EVP_sha256, 32, false}, {0x70005830, EVP_sha384, 48, false},
    {0x70006830, EVP_sha512, 64, false}, {0x70414930, EVP_sha256, 32, true},
    {0x70515930, EVP_sha384, 48, true},  {0x70616930, EVP_sha512, 64, true},
};

const unsigned char* Octets(std::span<const std::byte> span) {
  return reinterpret_cast<const unsigned char*>(span.data());
}

std::string Fingerprint(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key, &der);
  if (size <= 0) return {};
  std::array<unsigned char, 32> digest{};
  const bool ok = EVP_Digest(der, static_cast<std::size_t>(size), digest.data(), nullptr,
                             EVP_sha256(), nullptr) == 1;
  OPENSSL_free(der);
  if (!ok) return {};
  std::string text;
  for (const unsigned char byte : digest) {
    constexpr char kDigits[] = "0123456789abcdef";
    text += kDigits[byte >> 4];
    text += kDigits[byte & 15];
  }
  return text;
}

using PkeyPtr = std::shared_ptr<EVP_PKEY>;
PkeyPtr Own(EVP_PKEY* key) {
  return PkeyPtr(key, [](EVP_PKEY* k) { EVP_PKEY_free(k); });
}

}  // namespace

std::optional<SignatureScheme> SignatureScheme::From(std::uint32_t algorithm) {
  for (const KnownScheme& known : kSchemes) {
    if (known.algorithm == algorithm) {
      return SignatureScheme{known.digest(), known.digest_size, known.pss};
    }
  }
  return std::nullopt;
}

SigningKey::SigningKey(std::shared_ptr<evp_pkey_st> key)
    : key_(std::move(key)),
      signature_size_(static_cast<std::size_t>(EVP_PKEY_get_size(key_.get()))),
      fingerprint_(Fingerprint(key_.get())) {}

bool SigningKey::Usable() const {
  return EVP_PKEY_is_a(key_.get(), "RSA") == 1 &&
         EVP_PKEY_get_bits(key_.get()) >= kLeastSigningKeyBits && !fingerprint_.empty();
}

Result<SigningKey> SigningKey::FromPem(std::string_view pem) {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(
      BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  if (!bio) throw std::bad_alloc();
  // Without a callback OpenSSL would ask at the terminal for an encrypted key's password.
  const auto no_password = [](char*, int, int, void*) { return -1; };
  EVP_PKEY* raw = PEM_read_bio_PUBKEY(bio.get(), nullptr, no_password, nullptr);
  if (raw == nullptr) {
    static_cast<void>(BIO_reset(bio.get()));
    raw = PEM_read_bio_PrivateKey(bio.get(), nullptr, no_password, nullptr);
  }
  ERR_clear_error();
  if (raw == nullptr) {
    return Error{ErrorCode::kInvalidArgument,
                 "no PEM public key; make one with: openssl pkey -in KEY.pem -pubout"};
  }
  SigningKey key(Own(raw));
  if (!key.Usable()) {
    return Error{ErrorCode::kInvalidArgument,
                 "the key is not RSA of 2048 bits or more, which is what TAs are signed with"};
  }
  return key;
}

std::optional<SigningKey> SigningKey::FromNumbers(std::span<const std::byte> modulus,
                                                  std::span<const std::byte> exponent) {
  // Larger ones are not in use, and every check with them would take its time.
  constexpr std::size_t kMostBytes = 1024;
  if (modulus.size() > kMostBytes || exponent.size() > kMostBytes) return std::nullopt;
  using BnPtr = std::unique_ptr<BIGNUM, decltype(&BN_free)>;
  const BnPtr n(BN_bin2bn(Octets(modulus), static_cast<int>(modulus.size()), nullptr), BN_free);
  const BnPtr e(BN_bin2bn(Octets(exponent), static_cast<int>(exponent.size()), nullptr), BN_free);
  const std::unique_ptr<OSSL_PARAM_BLD, decltype(&OSSL_PARAM_BLD_free)> builder(
      OSSL_PARAM_BLD_new(), OSSL_PARAM_BLD_free);
  if (!n || !e || !builder ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_N, n.get()) != 1 ||
      OSSL_PARAM_BLD_push_BN(builder.get(), OSSL_PKEY_PARAM_RSA_E, e.get()) != 1) {
    return std::nullopt;
  }
  const std::unique_ptr<OSSL_PARAM, decltype(&OSSL_PARAM_free)> params(
      OSSL_PARAM_BLD_to_param(builder.get()), OSSL_PARAM_free);
  const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
      EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr), EVP_PKEY_CTX_free);
  EVP_PKEY* raw = nullptr;
  const bool made = params && context && EVP_PKEY_fromdata_init(context.get()) == 1 &&
                    EVP_PKEY_fromdata(context.get(), &raw, EVP_PKEY_PUBLIC_KEY, params.get()) == 1;
  ERR_clear_error();
  if (!made) return std::nullopt;
  SigningKey key(Own(raw));
  if (!key.Usable()) return std::nullopt;
  return key;
}

bool SigningKey::Verifies(const SignatureScheme& scheme, std::span<const std::byte> digest,
                          std::span<const std::byte> signature) const {
  if (digest.size() != scheme.digest_size || signature.size() != signature_size_) return false;
  const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
      EVP_PKEY_CTX_new(key_.get(), nullptr), EVP_PKEY_CTX_free);
  bool ok = context && EVP_PKEY_verify_init(context.get()) == 1 &&
            EVP_PKEY_CTX_set_rsa_padding(
                context.get(), scheme.pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING) == 1 &&
            EVP_PKEY_CTX_set_signature_md(context.get(), scheme.digest) == 1;
  if (ok && scheme.pss) {
    ok = EVP_PKEY_CTX_set_rsa_mgf1_md(context.get(), scheme.digest) == 1 &&
         EVP_PKEY_CTX_set_rsa_pss_saltlen(context.get(), RSA_PSS_SALTLEN_DIGEST) == 1;
  }
  ok = ok && EVP_PKEY_verify(context.get(), Octets(signature), signature.size(), Octets(digest),
                             digest.size()) == 1;
  ERR_clear_error();
  return ok;
}

}  // namespace vtee::ta
