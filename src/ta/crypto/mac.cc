// SPDX-License-Identifier: BSD-3-Clause
// HMAC and CMAC by OpenSSL; CBC-MAC, which it does not have, on its CBC.
#include <openssl/core_names.h>
#include <openssl/evp.h>

#include <array>
#include <cstring>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/block_cipher.h"
#include "ta/crypto/digest.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;
using MacContext = std::unique_ptr<EVP_MAC_CTX, decltype(&EVP_MAC_CTX_free)>;

class EvpMac : public HashState {
 public:
  // `parameter`: the digest of HMAC, or the block cipher of CMAC (by its key's size).
  EvpMac(const char* name, std::uint32_t algorithm) : algorithm_(algorithm), context_(New(name)) {}
  EvpMac(const EvpMac& other)
      : algorithm_(other.algorithm_),
        context_(EVP_MAC_CTX_dup(other.context_.get()), EVP_MAC_CTX_free) {
    if (!context_) throw std::bad_alloc();
  }
  std::unique_ptr<HashState> Clone() const override { return std::make_unique<EvpMac>(*this); }

  std::uint32_t Init(ConstBytes key) override {
    const EVP_MD* digest = DigestOf(algorithm_);
    SecretBytes whole = Secret(key);
    const char* parameter = OSSL_MAC_PARAM_DIGEST;
    const char* value = nullptr;
    if (digest != nullptr) {
      value = EVP_MD_get0_name(digest);
    } else {
      parameter = OSSL_MAC_PARAM_CIPHER;
      const EVP_CIPHER* cipher = CbcCipher(MainAlgorithm(algorithm_), whole);
      if (cipher == nullptr) return code::kBadParameters;
      value = EVP_CIPHER_get0_name(cipher);
    }
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(parameter, const_cast<char*>(value), 0),
        OSSL_PARAM_construct_end()};
    return EVP_MAC_init(context_.get(), In(whole), whole.size(), params) == 1
               ? code::kSuccess
               : code::kBadParameters;
  }
  std::uint32_t Update(ConstBytes bytes) override {
    return EVP_MAC_update(context_.get(), In(bytes), bytes.size()) == 1 ? code::kSuccess
                                                                        : code::kBadState;
  }
  std::uint32_t Final(MutableBytes out) override {
    std::size_t size = 0;
    return EVP_MAC_final(context_.get(), Out(out), &size, out.size()) == 1 ? code::kSuccess
                                                                           : code::kBadState;
  }
  std::size_t size() const override {
    const EVP_MD* digest = DigestOf(algorithm_);
    if (digest != nullptr) return static_cast<std::size_t>(EVP_MD_get_size(digest));
    return BlockSize(MainAlgorithm(algorithm_));
  }

 private:
  static MacContext New(const char* name) {
    EVP_MAC* mac = EVP_MAC_fetch(nullptr, name, nullptr);
    MacContext context(EVP_MAC_CTX_new(mac), EVP_MAC_CTX_free);
    EVP_MAC_free(mac);
    if (!context) throw std::bad_alloc();
    return context;
  }
  std::uint32_t algorithm_;
  MacContext context_;
};

class CbcMac : public HashState {
 public:
  CbcMac(std::uint32_t main, bool padded) : main_(main), padded_(padded) {}
  CbcMac(const CbcMac& other)
      : main_(other.main_),
        padded_(other.padded_),
        cipher_(other.cipher_ ? CopyCipher(other.cipher_.get()) : nullptr),
        last_(other.last_),
        buffer_(other.buffer_) {}
  std::unique_ptr<HashState> Clone() const override { return std::make_unique<CbcMac>(*this); }

  std::uint32_t Init(ConstBytes key) override {
    SecretBytes whole = Secret(key);
    const EVP_CIPHER* cipher = CbcCipher(main_, whole);
    if (cipher == nullptr) return code::kBadParameters;
    constexpr std::array<std::byte, 16> kZeros{};
    cipher_ = StartCipher(cipher, true, whole, kZeros);
    last_ = SecretBytes(size());
    buffer_.clear();
    return cipher_ ? code::kSuccess : code::kBadParameters;
  }

  std::uint32_t Update(ConstBytes bytes) override {
    if (!cipher_) return code::kBadState;
    if (!buffer_.empty()) {
      const std::size_t take = std::min(bytes.size(), size() - buffer_.size());
      buffer_.insert(buffer_.end(), bytes.begin(), bytes.begin() + static_cast<long>(take));
      bytes = bytes.subspan(take);
      if (buffer_.size() < size()) return code::kSuccess;
      if (!Blocks(buffer_)) return code::kGeneric;
      buffer_.clear();
    }
    const std::size_t whole = bytes.size() / size() * size();
    if (!Blocks(bytes.first(whole))) return code::kGeneric;
    bytes = bytes.subspan(whole);
    buffer_.assign(bytes.begin(), bytes.end());
    return code::kSuccess;
  }

  std::uint32_t Final(MutableBytes out) override {
    if (!cipher_ || out.size() != size()) return code::kBadState;
    if (padded_) {
      const std::size_t missing = size() - buffer_.size();
      buffer_.resize(size(), static_cast<std::byte>(missing));
      if (!Blocks(buffer_)) return code::kGeneric;
    } else if (!buffer_.empty()) {
      return code::kBadState;
    }
    std::memcpy(out.data(), last_.data(), out.size());
    return code::kSuccess;
  }
  std::size_t size() const override { return BlockSize(main_); }

 private:
  bool Blocks(ConstBytes bytes) {
    SecretBytes scratch(std::min<std::size_t>(bytes.size(), kChunk));
    while (!bytes.empty()) {
      const std::size_t take = std::min<std::size_t>(bytes.size(), kChunk);
      if (!RunCipher(cipher_.get(), bytes.first(take), scratch)) return false;
      std::memcpy(last_.data(), scratch.data() + take - size(), size());
      bytes = bytes.subspan(take);
    }
    return true;
  }
  static constexpr std::size_t kChunk = 4096;
  std::uint32_t main_;
  bool padded_;
  CipherPtr cipher_;
  SecretBytes last_;
  SecretBytes buffer_;
};

}  // namespace

std::unique_ptr<HashState> MakeMac(std::uint32_t algorithm) {
  if (ClassOf(algorithm) != AlgorithmClass::kMac) return nullptr;
  if (DigestOf(algorithm) != nullptr) return std::make_unique<EvpMac>("HMAC", algorithm);
  if (algorithm == alg::kAesCmac || algorithm == alg::kDes3Cmac) {
    return std::make_unique<EvpMac>("CMAC", algorithm);
  }
  const std::uint32_t main = MainAlgorithm(algorithm);
  const std::uint32_t mode = algorithm & 0xFFFFFF00;
  constexpr std::uint32_t kNoPad = 0x30000100;
  constexpr std::uint32_t kPkcs5 = 0x30000500;
  const bool known = main == kMainAes || main == kMainDes || main == kMainDes3;
  if (known && (mode == kNoPad || mode == kPkcs5)) {
    return std::make_unique<CbcMac>(main, mode == kPkcs5);
  }
  return nullptr;
}

}  // namespace vtee::ta
