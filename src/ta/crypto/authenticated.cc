// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/authenticated.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/block_cipher.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;
constexpr std::size_t kBlock = 16;
using Block = std::array<std::byte, kBlock>;

std::uint32_t Done(bool ok) { return ok ? code::kSuccess : code::kGeneric; }

class Gcm : public AuthenticatedState {
 public:
  Gcm() = default;
  Gcm(const Gcm& other)
      : AuthenticatedState(other),
        context_(other.context_ ? CopyCipher(other.context_.get()) : nullptr) {}
  std::unique_ptr<AuthenticatedState> Clone() const override {
    return std::make_unique<Gcm>(*this);
  }

  std::uint32_t Init(bool encrypt, ConstBytes key, ConstBytes nonce,
                     const Sizes& sizes) override {
    constexpr std::size_t kLeastTag = 12;
    constexpr std::size_t kMostNonce = 1024;
    const EVP_CIPHER* cipher = key.size() == 16   ? EVP_aes_128_gcm()
                               : key.size() == 24 ? EVP_aes_192_gcm()
                               : key.size() == 32 ? EVP_aes_256_gcm()
                                                  : nullptr;
    if (cipher == nullptr || nonce.empty() || nonce.size() > kMostNonce) {
      return code::kBadParameters;
    }
    if (sizes.tag < kLeastTag || sizes.tag > kBlock) return code::kNotSupported;
    tag_size_ = sizes.tag;
    context_.reset(EVP_CIPHER_CTX_new());
    if (!context_) throw std::bad_alloc();
    const int direction = encrypt ? 1 : 0;
    return Done(EVP_CipherInit_ex(context_.get(), cipher, nullptr, nullptr, nullptr, direction) ==
                    1 &&
                EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_IVLEN,
                                    static_cast<int>(nonce.size()), nullptr) == 1 &&
                EVP_CipherInit_ex(context_.get(), nullptr, nullptr, In(key), In(nonce),
                                  direction) == 1);
  }
  std::uint32_t UpdateAad(ConstBytes aad) override {
    int written = 0;
    if (!context_ || aad.size() > kMostAad) return code::kBadState;
    return Done(EVP_CipherUpdate(context_.get(), nullptr, &written, In(aad),
                                 static_cast<int>(aad.size())) == 1);
  }
  std::uint32_t Update(ConstBytes in, MutableBytes out) override {
    if (!context_) return code::kBadState;
    return Done(RunCipher(context_.get(), in, out));
  }
  std::uint32_t GiveTag(MutableBytes tag) override {
    int written = 0;
    Block rest;
    return Done(EVP_CipherFinal_ex(context_.get(), Out(rest), &written) == 1 &&
                EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG,
                                    static_cast<int>(tag.size()), tag.data()) == 1);
  }
  std::uint32_t CheckTag(ConstBytes tag) override {
    int written = 0;
    Block rest;
    Block expected{};
    if (tag.size() != tag_size_) return kMacInvalid;
    std::copy(tag.begin(), tag.end(), expected.begin());
    const bool right = EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG,
                                           static_cast<int>(tag.size()), expected.data()) == 1 &&
                       EVP_CipherFinal_ex(context_.get(), Out(rest), &written) == 1;
    return right ? code::kSuccess : kMacInvalid;
  }

 private:
  static constexpr std::size_t kMostAad = 1u << 30;
  CipherPtr context_;
};

// NIST SP 800-38C. OpenSSL's takes the payload in one piece only.
class Ccm : public AuthenticatedState {
 public:
  Ccm() = default;
  Ccm(const Ccm& other)
      : AuthenticatedState(other),
        encrypt_(other.encrypt_),
        ecb_(other.ecb_ ? CopyCipher(other.ecb_.get()) : nullptr),
        ctr_(other.ctr_ ? CopyCipher(other.ctr_.get()) : nullptr),
        mac_(other.mac_),
        tag_mask_(other.tag_mask_),
        in_block_(other.in_block_),
        aad_left_(other.aad_left_),
        payload_left_(other.payload_left_) {}
  std::unique_ptr<AuthenticatedState> Clone() const override {
    return std::make_unique<Ccm>(*this);
  }

  std::uint32_t Init(bool encrypt, ConstBytes key, ConstBytes nonce,
                     const Sizes& sizes) override {
    constexpr std::size_t kLeastNonce = 7;
    constexpr std::size_t kMostNonce = 13;
    SecretBytes whole = Secret(key);
    const EVP_CIPHER* ecb = EcbCipher(kMainAes, whole);
    if (ecb == nullptr || nonce.size() < kLeastNonce || nonce.size() > kMostNonce) {
      return code::kBadParameters;
    }
    if (sizes.tag < 4 || sizes.tag > kBlock || sizes.tag % 2 != 0) return code::kNotSupported;
    // The payload's length fills the rest of the first block.
    const std::size_t length_bytes = kBlock - 1 - nonce.size();
    if (length_bytes < 8 && (sizes.payload >> (8 * length_bytes)) != 0) {
      return code::kBadParameters;
    }
    encrypt_ = encrypt;
    tag_size_ = sizes.tag;
    aad_left_ = sizes.aad;
    payload_left_ = sizes.payload;
    ecb_ = StartCipher(ecb, true, whole, {});
    Block counter{};
    counter[0] = static_cast<std::byte>(length_bytes - 1);
    std::copy(nonce.begin(), nonce.end(), counter.begin() + 1);
    if (!ecb_ || !RunCipher(ecb_.get(), counter, tag_mask_)) return code::kBadParameters;
    counter[kBlock - 1] = std::byte{1};
    ctr_ = StartCipher(CtrCipher(kMainAes, whole), true, whole, counter);
    if (!ctr_) return code::kBadParameters;

    Block first{};
    first[0] = static_cast<std::byte>((sizes.aad != 0 ? 0x40 : 0) | ((sizes.tag - 2) / 2) << 3 |
                                      (length_bytes - 1));
    std::copy(nonce.begin(), nonce.end(), first.begin() + 1);
    for (std::size_t i = 0; i < std::min<std::size_t>(length_bytes, 8); ++i) {
      first[kBlock - 1 - i] = static_cast<std::byte>(sizes.payload >> (8 * i));
    }
    mac_ = {};
    in_block_ = 0;
    if (!Absorb(first)) return code::kGeneric;
    return Done(sizes.aad == 0 || AbsorbAadLength(sizes.aad));
  }

  std::uint32_t UpdateAad(ConstBytes aad) override {
    if (!ecb_ || aad.size() > aad_left_) return code::kBadState;
    aad_left_ -= aad.size();
    return Done(Absorb(aad) && (aad_left_ != 0 || Pad()));
  }

  std::uint32_t Update(ConstBytes in, MutableBytes out) override {
    if (!ctr_ || aad_left_ != 0 || in.size() > payload_left_) return code::kBadState;
    payload_left_ -= in.size();
    if (encrypt_ && !Absorb(in)) return code::kGeneric;
    if (!RunCipher(ctr_.get(), in, out)) return code::kGeneric;
    return Done(encrypt_ || Absorb(out.first(in.size())));
  }

  std::uint32_t GiveTag(MutableBytes tag) override {
    if (!ecb_ || payload_left_ != 0 || tag.size() > kBlock) return code::kBadState;
    if (!Pad()) return code::kGeneric;
    for (std::size_t i = 0; i < tag.size(); ++i) tag[i] = mac_[i] ^ tag_mask_[i];
    return code::kSuccess;
  }
  std::uint32_t CheckTag(ConstBytes tag) override {
    Block expected;
    const std::uint32_t result = GiveTag(MutableBytes(expected).first(tag_size_));
    if (result != code::kSuccess) return result;
    const bool right =
        tag.size() == tag_size_ && CRYPTO_memcmp(expected.data(), tag.data(), tag_size_) == 0;
    return right ? code::kSuccess : kMacInvalid;
  }

 private:
  bool AbsorbAadLength(std::uint64_t size) {
    std::array<std::byte, 10> encoded{};
    std::size_t used = 0;
    const auto put = [&](int bytes) {
      for (int i = bytes - 1; i >= 0; --i) encoded[used++] = static_cast<std::byte>(size >> (8 * i));
    };
    constexpr std::uint64_t kTwoBytes = 0xFF00;
    if (size >= kTwoBytes) {
      const bool four = size <= 0xFFFFFFFF;
      encoded[used++] = std::byte{0xFF};
      encoded[used++] = four ? std::byte{0xFE} : std::byte{0xFF};
      put(four ? 4 : 8);
    } else {
      put(2);
    }
    return Absorb(ConstBytes(encoded).first(used));
  }
  // CBC-MAC over what has been absorbed.
  bool Absorb(ConstBytes bytes) {
    for (const std::byte byte : bytes) {
      mac_[in_block_++] ^= byte;
      if (in_block_ == kBlock) {
        in_block_ = 0;
        if (!RunCipher(ecb_.get(), mac_, mac_)) return false;
      }
    }
    return true;
  }
  bool Pad() {
    if (in_block_ == 0) return true;
    in_block_ = 0;
    return RunCipher(ecb_.get(), mac_, mac_);
  }

  bool encrypt_ = true;
  CipherPtr ecb_;
  CipherPtr ctr_;
  Block mac_{};
  Block tag_mask_{};
  std::size_t in_block_ = 0;
  std::uint64_t aad_left_ = 0;
  std::uint64_t payload_left_ = 0;
};

}  // namespace

std::unique_ptr<AuthenticatedState> MakeAuthenticated(std::uint32_t algorithm) {
  if (algorithm == alg::kAesGcm) return std::make_unique<Gcm>();
  if (algorithm == alg::kAesCcm) return std::make_unique<Ccm>();
  return nullptr;
}

}  // namespace vtee::ta
