// SPDX-License-Identifier: BSD-3-Clause
#include "ta/container/test_signer.h"

#include <gtest/gtest.h>
#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <map>
#include <utility>

#include "ta/container/signing_key.h"

namespace vtee::ta {
namespace {

FileBytes Number(EVP_PKEY* key, const char* name) {
  BIGNUM* number = nullptr;
  EXPECT_EQ(EVP_PKEY_get_bn_param(key, name, &number), 1);
  FileBytes bytes(static_cast<std::size_t>(BN_num_bytes(number)));
  BN_bn2bin(number, reinterpret_cast<unsigned char*>(bytes.data()));
  BN_free(number);
  return bytes;
}

FileBytes Digest(const EVP_MD* md, std::span<const std::byte> bytes) {
  FileBytes digest(static_cast<std::size_t>(EVP_MD_get_size(md)));
  EXPECT_EQ(EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()),
                       nullptr, md, nullptr),
            1);
  return digest;
}

}  // namespace

FileBytes BytesOf(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
  return {bytes.begin(), bytes.end()};
}

tee::Uuid UuidOf(std::string_view text) {
  tee::Uuid uuid;
  EXPECT_TRUE(tee::ParseUuid(text, uuid)) << text;
  return uuid;
}

TestSigner::TestSigner(int bits, int which) {
  static std::map<std::pair<int, int>, std::shared_ptr<EVP_PKEY>> keys;
  auto& key = keys[{bits, which}];
  if (!key) {
    key = {EVP_PKEY_Q_keygen(nullptr, nullptr, "RSA", static_cast<std::size_t>(bits)),
           [](EVP_PKEY* k) { EVP_PKEY_free(k); }};
  }
  key_ = key;
}

std::string TestSigner::PublicPem() const {
  const std::unique_ptr<BIO, decltype(&BIO_free)> bio(BIO_new(BIO_s_mem()), BIO_free);
  EXPECT_EQ(PEM_write_bio_PUBKEY(bio.get(), key_.get()), 1);
  char* text = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &text);
  return {text, static_cast<std::size_t>(size)};
}

FileBytes TestSigner::modulus() const { return Number(key_.get(), OSSL_PKEY_PARAM_RSA_N); }
FileBytes TestSigner::exponent() const { return Number(key_.get(), OSSL_PKEY_PARAM_RSA_E); }

FileBytes TestSigner::Header(ImageType type, std::size_t image_size,
                             std::span<const std::byte> hashed, std::uint32_t algorithm) const {
  const auto scheme = SignatureScheme::From(algorithm);
  EXPECT_TRUE(scheme);
  std::size_t size = static_cast<std::size_t>(EVP_PKEY_get_size(key_.get()));
  SignedHeader header{kSignedMagic,
                      static_cast<std::uint32_t>(type),
                      static_cast<std::uint32_t>(image_size),
                      algorithm,
                      static_cast<std::uint16_t>(scheme->digest_size),
                      static_cast<std::uint16_t>(size)};
  FileBytes out;
  Append(out, header);
  FileBytes input = out;
  AppendBytes(input, hashed);
  const FileBytes digest = Digest(scheme->digest, input);

  const std::unique_ptr<EVP_PKEY_CTX, decltype(&EVP_PKEY_CTX_free)> context(
      EVP_PKEY_CTX_new(key_.get(), nullptr), EVP_PKEY_CTX_free);
  EXPECT_EQ(EVP_PKEY_sign_init(context.get()), 1);
  EVP_PKEY_CTX_set_rsa_padding(context.get(),
                               scheme->pss ? RSA_PKCS1_PSS_PADDING : RSA_PKCS1_PADDING);
  EVP_PKEY_CTX_set_signature_md(context.get(), scheme->digest);
  if (scheme->pss) EVP_PKEY_CTX_set_rsa_pss_saltlen(context.get(), RSA_PSS_SALTLEN_DIGEST);
  FileBytes signature(size);
  EXPECT_EQ(EVP_PKEY_sign(context.get(), reinterpret_cast<unsigned char*>(signature.data()), &size,
                          reinterpret_cast<const unsigned char*>(digest.data()), digest.size()),
            1);
  AppendBytes(out, digest);
  AppendBytes(out, signature);
  return out;
}

FileBytes TestSigner::Legacy(const FileBytes& image) const {
  FileBytes out = Header(ImageType::kLegacy, image.size(), image);
  AppendBytes(out, image);
  return out;
}

FileBytes TestSigner::Bootstrap(const tee::Uuid& uuid, std::uint32_t version,
                                const FileBytes& image, std::uint32_t algorithm) const {
  FileBytes rest;
  Append(rest, BootstrapHeader{uuid.octets, version});
  AppendBytes(rest, image);
  FileBytes out = Header(ImageType::kBootstrap, image.size(), rest, algorithm);
  AppendBytes(out, rest);
  return out;
}

FileBytes TestSigner::Encrypted(const tee::Uuid& uuid, std::uint32_t version,
                                const FileBytes& image, const TaDecryptionKeys::Key& key,
                                bool class_wide) const {
  const FileBytes iv = BytesOf("twelve bytes");
  FileBytes cipher_text(image.size());
  FileBytes tag(16);
  const std::unique_ptr<EVP_CIPHER_CTX, decltype(&EVP_CIPHER_CTX_free)> context(
      EVP_CIPHER_CTX_new(), EVP_CIPHER_CTX_free);
  int length = 0;
  auto* out_bytes = reinterpret_cast<unsigned char*>(cipher_text.data());
  EXPECT_EQ(EVP_EncryptInit_ex(context.get(), EVP_aes_256_gcm(), nullptr, key.data(),
                               reinterpret_cast<const unsigned char*>(iv.data())),
            1);
  EXPECT_EQ(EVP_EncryptUpdate(context.get(), out_bytes, &length,
                              reinterpret_cast<const unsigned char*>(image.data()),
                              static_cast<int>(image.size())),
            1);
  EXPECT_EQ(EVP_EncryptFinal_ex(context.get(), out_bytes + length, &length), 1);
  EXPECT_EQ(EVP_CIPHER_CTX_ctrl(context.get(), EVP_CTRL_AEAD_GET_TAG, 16, tag.data()), 1);

  FileBytes headers;
  Append(headers, BootstrapHeader{uuid.octets, version});
  Append(headers, EncryptedHeader{kEncryptedAesGcm, class_wide ? kEncryptedClassWideKey : 0,
                                  static_cast<std::uint16_t>(iv.size()),
                                  static_cast<std::uint16_t>(tag.size())});
  AppendBytes(headers, iv);
  AppendBytes(headers, tag);
  FileBytes hashed = headers;
  AppendBytes(hashed, image);
  FileBytes out = Header(ImageType::kEncrypted, image.size(), hashed);
  AppendBytes(out, headers);
  AppendBytes(out, cipher_text);
  return out;
}

FileBytes TestSigner::Subkey(const TestSigner& subkey, const tee::Uuid& uuid, std::uint32_t version,
                             std::uint32_t max_depth, const std::string& name) const {
  const FileBytes n = subkey.modulus();
  const FileBytes e = subkey.exponent();
  constexpr std::uint32_t kHeaders = sizeof(SubkeyHeader) + 2 * sizeof(SubkeyAttribute);
  FileBytes image;
  Append(image, SubkeyHeader{uuid.octets, static_cast<std::uint32_t>(name.size()), version,
                             max_depth, kPssSha256, 2});
  Append(image, SubkeyAttribute{0xD0000130, kHeaders, static_cast<std::uint32_t>(n.size())});
  Append(image, SubkeyAttribute{0xD0000230, static_cast<std::uint32_t>(kHeaders + n.size()),
                                static_cast<std::uint32_t>(e.size())});
  AppendBytes(image, n);
  AppendBytes(image, e);
  FileBytes out = Header(ImageType::kSubkey, image.size(), image);
  AppendBytes(out, image);
  AppendBytes(out, BytesOf(name));
  return out;
}

}  // namespace vtee::ta
