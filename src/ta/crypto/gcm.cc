// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/gcm.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include <new>
#include <utility>

#include "ta/crypto/evp_cipher.h"
#include "ta/crypto/secret.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

const char* GcmName(std::size_t key_size) {
  switch (key_size) {
    case 16:
      return "AES-128-GCM";
    case 24:
      return "AES-192-GCM";
    case 32:
      return "AES-256-GCM";
    default:
      return nullptr;
  }
}

class Gcm final : public AeState {
 public:
  Gcm(bool encrypt, std::span<const std::byte> key) : AeState(encrypt), key_(Secret(key)) {}
  Gcm(const Gcm& other) : AeState(other), key_(other.key_) {
    if (!other.context_) return;
    context_ = NewCipherContext();
    if (EVP_CIPHER_CTX_copy(context_.get(), other.context_.get()) != 1) {
      ERR_clear_error();
      throw std::bad_alloc();
    }
  }

  std::unique_ptr<AeState> Clone() const override { return std::make_unique<Gcm>(*this); }

 private:
  std::uint32_t Start(std::span<const std::byte> nonce, const Lengths& announced) override {
    const std::size_t tag = announced.tag;
    if (tag != 4 && tag != 8 && (tag < 12 || tag > 16)) return code::kNotSupported;
    // Anything else would be a TA's end, which OP-TEE's GCM of any nonce, or none, is not.
    constexpr std::size_t kLongestNonce = 128;  // OpenSSL's
    if (nonce.empty() || nonce.size() > kLongestNonce) return code::kNotSupported;
    // A context of its own for each message: OpenSSL keeps tag and nonce lengths otherwise.
    context_ = NewCipherContext();
    const std::unique_ptr<EVP_CIPHER, FreeCipher> cipher(
        EVP_CIPHER_fetch(nullptr, GcmName(key_.size()), nullptr));
    EVP_CIPHER_CTX* context = context_.get();
    const auto* key = reinterpret_cast<const unsigned char*>(key_.data());
    const auto* iv = reinterpret_cast<const unsigned char*>(nonce.data());
    const bool ok = cipher &&
                    EVP_CipherInit_ex2(context, cipher.get(), nullptr, nullptr, encrypt() ? 1 : 0,
                                       nullptr) == 1 &&
                    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_IVLEN,
                                        static_cast<int>(nonce.size()), nullptr) == 1 &&
                    EVP_CipherInit_ex2(context, nullptr, key, iv, -1, nullptr) == 1;
    if (ok) return code::kSuccess;
    ERR_clear_error();
    return code::kGeneric;
  }

  std::uint32_t CheckTotals(const Lengths& total, bool) const override {
    constexpr std::uint64_t kMostAad = std::uint64_t{1} << 61;
    constexpr std::uint64_t kMostPayload = ((std::uint64_t{1} << 32) - 2) * 16;
    const bool fits = total.aad < kMostAad && total.payload <= kMostPayload;
    return fits ? code::kSuccess : code::kBadParameters;
  }

  bool Authenticate(std::span<const std::byte> aad) override {
    return FeedCipher(context_.get(), aad, nullptr);
  }

  bool Run(std::span<const std::byte> source, std::span<std::byte> destination) override {
    return FeedCipher(context_.get(), source, destination.data());
  }

  bool Finish() {
    unsigned char none[16];
    int length = 0;
    return EVP_CipherFinal_ex(context_.get(), none, &length) == 1;
  }

  bool MakeTag(std::span<std::byte> tag) override {
    return Finish() && EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG,
                                           static_cast<int>(tag.size()), tag.data()) == 1;
  }

  bool CheckTag(std::span<const std::byte> tag) override {
    const bool ok =
        EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, static_cast<int>(tag.size()),
                            const_cast<std::byte*>(tag.data())) == 1 &&
        Finish();
    ERR_clear_error();
    return ok;
  }

  SecretBytes key_;
  CipherContext context_;
};

}  // namespace

std::unique_ptr<AeState> CreateGcm(bool encrypt, std::span<const std::byte> key) {
  if (!GcmName(key.size())) return nullptr;
  return std::make_unique<Gcm>(encrypt, key);
}

}  // namespace vtee::ta
