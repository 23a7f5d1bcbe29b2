// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/seal.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include <algorithm>
#include <memory>
#include <new>

namespace vtee::ta {
namespace {

struct FreeCipher {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
  void operator()(EVP_KDF* kdf) const { EVP_KDF_free(kdf); }
  void operator()(EVP_KDF_CTX* context) const { EVP_KDF_CTX_free(context); }
};
using Cipher = std::unique_ptr<EVP_CIPHER_CTX, FreeCipher>;

Cipher NewCipher(ConstBytes key, ConstBytes nonce, ConstBytes context, bool encrypt) {
  Cipher cipher(EVP_CIPHER_CTX_new());
  int done = 0;
  if (!cipher || key.size() != kSealKeyBytes ||
      EVP_CipherInit_ex(cipher.get(), EVP_aes_256_gcm(), nullptr, In(key), In(nonce),
                        encrypt ? 1 : 0) != 1 ||
      EVP_CipherUpdate(cipher.get(), nullptr, &done, In(context),
                       static_cast<int>(context.size())) != 1) {
    throw std::bad_alloc();
  }
  return cipher;
}

// OpenSSL wants a place even for nothing.
bool Update(EVP_CIPHER_CTX* cipher, ConstBytes in, MutableBytes out) {
  int done = 0;
  return in.empty() ||
         EVP_CipherUpdate(cipher, Out(out), &done, In(in), static_cast<int>(in.size())) == 1;
}

bool Finish(EVP_CIPHER_CTX* cipher) {
  unsigned char none[EVP_MAX_BLOCK_LENGTH];
  int done = 0;
  return EVP_CipherFinal_ex(cipher, none, &done) == 1;
}

}  // namespace

bool FillRandom(MutableBytes out) {
  return RAND_bytes(Out(out), static_cast<int>(out.size())) == 1;
}

bool SameSecret(ConstBytes a, ConstBytes b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

Digest Hmac(ConstBytes key, ConstBytes text) {
  Digest digest{};
  unsigned int size = 0;
  if (HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()), In(text), text.size(),
           Out(digest), &size) == nullptr) {
    throw std::bad_alloc();
  }
  return digest;
}

SecretBytes Hkdf(ConstBytes key, ConstBytes salt, std::string_view label, std::size_t size) {
  const std::unique_ptr<EVP_KDF, FreeCipher> kdf(
      EVP_KDF_fetch(nullptr, OSSL_KDF_NAME_HKDF, nullptr));
  const std::unique_ptr<EVP_KDF_CTX, FreeCipher> context(EVP_KDF_CTX_new(kdf.get()));
  char digest[] = "SHA256";
  SecretBytes secret = Secret(key);
  SecretBytes salted = Secret(salt);
  SecretBytes info = Secret(std::as_bytes(std::span(label)));
  const OSSL_PARAM params[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, digest, 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret.data(), secret.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salted.data(), salted.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size()),
      OSSL_PARAM_construct_end()};
  SecretBytes out(size);
  if (!context || EVP_KDF_derive(context.get(), Out(out), out.size(), params) != 1) {
    throw std::bad_alloc();
  }
  return out;
}

bool Seal(ConstBytes key, ConstBytes context, ConstBytes plain, Sealed& sealed) {
  sealed.assign(kSealBytes + plain.size(), std::byte{0});
  const MutableBytes all(sealed);
  if (!FillRandom(all.first(kNonceBytes))) return false;
  const Cipher cipher = NewCipher(key, all.first(kNonceBytes), context, true);
  if (!Update(cipher.get(), plain, all.subspan(kSealBytes)) || !Finish(cipher.get()) ||
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_GET_TAG, static_cast<int>(kTagBytes),
                          all.subspan(kNonceBytes).data()) != 1) {
    throw std::bad_alloc();
  }
  return true;
}

bool Unseal(ConstBytes key, ConstBytes context, ConstBytes sealed, SecretBytes& plain) {
  plain.clear();
  if (sealed.size() < kSealBytes) return false;
  const Cipher cipher = NewCipher(key, sealed.first(kNonceBytes), context, false);
  std::array<std::byte, kTagBytes> tag{};
  std::copy_n(sealed.begin() + kNonceBytes, kTagBytes, tag.begin());
  plain.resize(sealed.size() - kSealBytes);
  if (Update(cipher.get(), sealed.subspan(kSealBytes), plain) &&
      EVP_CIPHER_CTX_ctrl(cipher.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(kTagBytes),
                          tag.data()) == 1 &&
      Finish(cipher.get())) {
    return true;
  }
  OPENSSL_cleanse(plain.data(), plain.size());
  plain.clear();
  return false;
}

}  // namespace vtee::ta
