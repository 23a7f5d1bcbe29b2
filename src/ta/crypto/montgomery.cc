// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/montgomery.h"

#include <openssl/err.h>

#include "ta/crypto/big_number.h"
#include "ta/crypto/ed25519_variants.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

struct RawType {
  int id;
  std::size_t size;
  std::uint32_t private_id;
  std::uint32_t public_id;
};

RawType TypeOf(std::uint32_t object_type) {
  switch (object_type) {
    case objtype::kX25519Keypair:
      return {EVP_PKEY_X25519, 32, attr::kX25519Private, attr::kX25519Public};
    case objtype::kX448Keypair:
      return {EVP_PKEY_X448, 56, attr::kX448Private, attr::kX448Public};
    default:
      return {EVP_PKEY_ED25519, 32, attr::kEd25519Private, attr::kEd25519Public};
  }
}

PkeyPtr PrivateKey(const CryptoObject& key) {
  const RawType type = TypeOf(key.type());
  const ConstBytes bytes = key.Bytes(type.private_id);
  return PkeyPtr(EVP_PKEY_new_raw_private_key(type.id, nullptr, In(bytes), bytes.size()));
}

}  // namespace

std::uint32_t GenerateRawKey(CryptoObject& object) {
  const RawType type = TypeOf(object.type());
  const PkeyContextPtr context(EVP_PKEY_CTX_new_id(type.id, nullptr));
  EVP_PKEY* raw = nullptr;
  if (!context || EVP_PKEY_keygen_init(context.get()) != 1 ||
      EVP_PKEY_keygen(context.get(), &raw) != 1) {
    return code::kGeneric;
  }
  const PkeyPtr key(raw);
  SecretBytes private_half(type.size);
  SecretBytes public_half(type.size);
  std::size_t size = type.size;
  if (EVP_PKEY_get_raw_private_key(key.get(), Out(private_half), &size) != 1 ||
      EVP_PKEY_get_raw_public_key(key.get(), Out(public_half), &size) != 1) {
    return code::kGeneric;
  }
  object.SetBytes(type.private_id, private_half);
  object.SetBytes(type.public_id, public_half);
  return code::kSuccess;
}

std::uint32_t DeriveRaw(const CryptoObject& key, ConstBytes peer, SecretBytes& secret) {
  const RawType type = TypeOf(key.type());
  if (peer.size() != type.size) return code::kBadParameters;
  const PkeyPtr own = PrivateKey(key);
  const PkeyPtr other(EVP_PKEY_new_raw_public_key(type.id, nullptr, In(peer), peer.size()));
  const PkeyContextPtr context(own ? EVP_PKEY_CTX_new(own.get(), nullptr) : nullptr);
  secret.resize(type.size);
  std::size_t size = secret.size();
  const bool ok = other && context && EVP_PKEY_derive_init(context.get()) == 1 &&
                  EVP_PKEY_derive_set_peer(context.get(), other.get()) == 1 &&
                  EVP_PKEY_derive(context.get(), Out(secret), &size) == 1 && size == secret.size();
  ERR_clear_error();
  return ok ? code::kSuccess : code::kBadParameters;
}

std::uint32_t Ed25519Sign(const CryptoObject& key, const EdVariant& variant, ConstBytes message,
                          SecretBytes& signature) {
  if (variant.prehash || variant.has_context) {
    return SignEd25519Variant(key.Bytes(attr::kEd25519Private), key.Bytes(attr::kEd25519Public),
                              variant, message, signature);
  }
  const PkeyPtr own = PrivateKey(key);
  const std::unique_ptr<EVP_MD_CTX, Deleter<EVP_MD_CTX_free>> context(EVP_MD_CTX_new());
  signature.resize(64);
  std::size_t size = signature.size();
  const bool ok =
      own && context &&
      EVP_DigestSignInit(context.get(), nullptr, nullptr, nullptr, own.get()) == 1 &&
      EVP_DigestSign(context.get(), Out(signature), &size, In(message), message.size()) == 1;
  ERR_clear_error();
  return ok ? code::kSuccess : code::kGeneric;
}

bool Ed25519Verify(const CryptoObject& key, const EdVariant& variant, ConstBytes message,
                   ConstBytes signature) {
  const ConstBytes bytes = key.Bytes(attr::kEd25519Public);
  if (variant.prehash || variant.has_context) {
    return VerifyEd25519Variant(bytes, variant, message, signature);
  }
  const PkeyPtr pkey(
      EVP_PKEY_new_raw_public_key(EVP_PKEY_ED25519, nullptr, In(bytes), bytes.size()));
  const std::unique_ptr<EVP_MD_CTX, Deleter<EVP_MD_CTX_free>> context(EVP_MD_CTX_new());
  const bool ok = pkey && context &&
                  EVP_DigestVerifyInit(context.get(), nullptr, nullptr, nullptr, pkey.get()) == 1 &&
                  EVP_DigestVerify(context.get(), In(signature), signature.size(), In(message),
                                   message.size()) == 1;
  ERR_clear_error();
  return ok;
}

}  // namespace vtee::ta
