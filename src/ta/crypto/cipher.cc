// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/cipher.h"

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

void Xor(MutableBytes into, ConstBytes other) {
  for (std::size_t i = 0; i < into.size(); ++i) into[i] ^= other[i];
}

enum class Mode : std::uint32_t { kEcb = 0, kCbc = 1, kCtr = 2 };

// A mode that OpenSSL has.
class EvpCipher : public CipherState {
 public:
  EvpCipher(std::uint32_t main, Mode mode) : main_(main), mode_(mode) {}
  EvpCipher(const EvpCipher& other)
      : main_(other.main_),
        mode_(other.mode_),
        context_(other.context_ ? CopyCipher(other.context_.get()) : nullptr) {}
  std::unique_ptr<CipherState> Clone() const override {
    return std::make_unique<EvpCipher>(*this);
  }
  std::uint32_t Init(bool encrypt, ConstBytes key, ConstBytes, ConstBytes iv) override {
    SecretBytes whole = Secret(key);
    const EVP_CIPHER* cipher = mode_ == Mode::kEcb   ? EcbCipher(main_, whole)
                               : mode_ == Mode::kCbc ? CbcCipher(main_, whole)
                                                     : CtrCipher(main_, whole);
    if (cipher == nullptr) return code::kBadParameters;
    if (mode_ != Mode::kEcb && iv.size() != BlockSize(main_)) return code::kBadParameters;
    context_ = StartCipher(cipher, encrypt, whole, iv);
    return context_ ? code::kSuccess : code::kBadParameters;
  }
  std::uint32_t Update(ConstBytes in, MutableBytes out) override {
    if (!context_) return code::kBadState;
    if (mode_ != Mode::kCtr && in.size() % BlockSize(main_) != 0) return code::kBadParameters;
    return RunCipher(context_.get(), in, out) ? code::kSuccess : code::kGeneric;
  }
  std::uint32_t Final(ConstBytes in, MutableBytes out) override { return Update(in, out); }

 private:
  std::uint32_t main_;
  Mode mode_;
  CipherPtr context_;
};

// CBC with ciphertext stealing, variant CS3 (NIST SP 800-38A addendum): the last two blocks are
// always exchanged.
class CtsCipher : public CipherState {
 public:
  CtsCipher() = default;
  CtsCipher(const CtsCipher& other)
      : encrypt_(other.encrypt_),
        cbc_(other.cbc_ ? CopyCipher(other.cbc_.get()) : nullptr),
        ecb_(other.ecb_ ? CopyCipher(other.ecb_.get()) : nullptr),
        chain_(other.chain_) {}
  std::unique_ptr<CipherState> Clone() const override {
    return std::make_unique<CtsCipher>(*this);
  }
  std::uint32_t Init(bool encrypt, ConstBytes key, ConstBytes, ConstBytes iv) override {
    SecretBytes whole = Secret(key);
    const EVP_CIPHER* cbc = CbcCipher(kMainAes, whole);
    if (cbc == nullptr || iv.size() != kBlock) return code::kBadParameters;
    encrypt_ = encrypt;
    cbc_ = StartCipher(cbc, encrypt, whole, iv);
    ecb_ = StartCipher(EcbCipher(kMainAes, whole), encrypt, whole, {});
    std::memcpy(chain_.data(), iv.data(), kBlock);
    return cbc_ && ecb_ ? code::kSuccess : code::kBadParameters;
  }
  std::uint32_t Update(ConstBytes in, MutableBytes out) override {
    if (!cbc_) return code::kBadState;
    if (in.size() % kBlock != 0) return code::kBadParameters;
    if (in.empty()) return code::kSuccess;
    Block last_in;
    std::memcpy(last_in.data(), in.data() + in.size() - kBlock, kBlock);
    if (!RunCipher(cbc_.get(), in, out)) return code::kGeneric;
    if (encrypt_) {
      std::memcpy(chain_.data(), out.data() + in.size() - kBlock, kBlock);
    } else {
      chain_ = last_in;
    }
    return code::kSuccess;
  }
  std::uint32_t Final(ConstBytes in, MutableBytes out) override {
    if (in.size() <= kBlock) return code::kBadParameters;
    const std::size_t tail = in.size() % kBlock == 0 ? kBlock : in.size() % kBlock;
    const std::size_t bulk = in.size() - tail - kBlock;
    const std::uint32_t result = Update(in.first(bulk), out.first(bulk));
    if (result != code::kSuccess) return result;
    Block first;
    Block second{};
    std::memcpy(first.data(), in.data() + bulk, kBlock);
    std::memcpy(second.data(), in.data() + bulk + kBlock, tail);
    const MutableBytes end = out.subspan(bulk, kBlock + tail);
    return (encrypt_ ? Encrypt(first, second, tail, end) : Decrypt(first, second, tail, end))
               ? code::kSuccess
               : code::kGeneric;
  }

 private:
  bool Encrypt(Block first, Block second, std::size_t tail, MutableBytes out) {
    Xor(first, chain_);
    Block stolen;
    if (!RunCipher(ecb_.get(), first, stolen)) return false;
    Xor(second, stolen);
    Block last;
    if (!RunCipher(ecb_.get(), second, last)) return false;
    std::memcpy(out.data(), last.data(), kBlock);
    std::memcpy(out.data() + kBlock, stolen.data(), tail);
    return true;
  }
  bool Decrypt(const Block& first, const Block& second, std::size_t tail, MutableBytes out) {
    Block padded;
    if (!RunCipher(ecb_.get(), first, padded)) return false;
    Block stolen = padded;
    std::memcpy(stolen.data(), second.data(), tail);
    Block plain;
    if (!RunCipher(ecb_.get(), stolen, plain)) return false;
    Xor(plain, chain_);
    Xor(padded, second);
    std::memcpy(out.data(), plain.data(), kBlock);
    std::memcpy(out.data() + kBlock, padded.data(), tail);
    return true;
  }
  bool encrypt_ = true;
  CipherPtr cbc_;
  CipherPtr ecb_;
  Block chain_{};  // the ciphertext block before
};

// XTS (IEEE 1619) over several updates: OpenSSL's begins a data unit with each.
class XtsCipher : public CipherState {
 public:
  explicit XtsCipher(std::uint32_t main) : main_(main) {}
  XtsCipher(const XtsCipher& other)
      : main_(other.main_),
        encrypt_(other.encrypt_),
        ecb_(other.ecb_ ? CopyCipher(other.ecb_.get()) : nullptr),
        tweak_(other.tweak_) {}
  std::unique_ptr<CipherState> Clone() const override {
    return std::make_unique<XtsCipher>(*this);
  }
  std::uint32_t Init(bool encrypt, ConstBytes key, ConstBytes key2, ConstBytes iv) override {
    SecretBytes whole = Secret(key);
    SecretBytes second = Secret(key2);
    const EVP_CIPHER* cipher = EcbCipher(main_, whole);
    if (cipher == nullptr || EcbCipher(main_, second) != cipher || iv.size() != kBlock) {
      return code::kBadParameters;
    }
    encrypt_ = encrypt;
    ecb_ = StartCipher(cipher, encrypt, whole, {});
    const CipherPtr tweaks = StartCipher(cipher, true, second, {});
    if (!ecb_ || !tweaks || !RunCipher(tweaks.get(), iv, tweak_)) return code::kBadParameters;
    return code::kSuccess;
  }
  std::uint32_t Update(ConstBytes in, MutableBytes out) override {
    if (!ecb_) return code::kBadState;
    if (in.size() % kBlock != 0) return code::kBadParameters;
    constexpr std::size_t kChunk = 256 * kBlock;
    std::array<std::byte, kChunk> tweaks;
    while (!in.empty()) {
      const std::size_t take = std::min(in.size(), kChunk);
      for (std::size_t at = 0; at < take; at += kBlock) {
        std::memcpy(tweaks.data() + at, tweak_.data(), kBlock);
        tweak_ = Double(tweak_);
      }
      const MutableBytes part = out.first(take);
      if (part.data() != in.data()) std::memmove(part.data(), in.data(), take);
      Xor(part, tweaks);
      if (!RunCipher(ecb_.get(), part, part)) return code::kGeneric;
      Xor(part, tweaks);
      in = in.subspan(take);
      out = out.subspan(take);
    }
    return code::kSuccess;
  }
  std::uint32_t Final(ConstBytes in, MutableBytes out) override {
    const std::size_t tail = in.size() % kBlock;
    if (tail == 0) return Update(in, out);
    if (in.size() < kBlock) return code::kBadParameters;
    const std::size_t bulk = in.size() - tail - kBlock;
    const std::uint32_t result = Update(in.first(bulk), out.first(bulk));
    if (result != code::kSuccess) return result;
    // Decrypting uses the tweaks of the last two blocks in the other order.
    const Block now = tweak_;
    const Block next = Double(now);
    Block full;
    Block partial;
    std::memcpy(full.data(), in.data() + bulk, kBlock);
    std::memcpy(partial.data(), in.data() + bulk + kBlock, tail);
    Block crossed;
    if (!One(full, encrypt_ ? now : next, crossed)) return code::kGeneric;
    std::memcpy(partial.data() + tail, crossed.data() + tail, kBlock - tail);
    Block last;
    if (!One(partial, encrypt_ ? next : now, last)) return code::kGeneric;
    std::memcpy(out.data() + bulk, last.data(), kBlock);
    std::memcpy(out.data() + bulk + kBlock, crossed.data(), tail);
    return code::kSuccess;
  }

 private:
  bool One(Block in, const Block& tweak, Block& out) {
    Xor(in, tweak);
    if (!RunCipher(ecb_.get(), in, out)) return false;
    Xor(out, tweak);
    return true;
  }
  // Multiplies by x in GF(2^128), little-endian.
  static Block Double(const Block& in) {
    std::uint64_t low = 0;
    std::uint64_t high = 0;
    std::memcpy(&low, in.data(), 8);
    std::memcpy(&high, in.data() + 8, 8);
    const std::uint64_t carry = high >> 63;
    high = high << 1 | low >> 63;
    low = low << 1 ^ (0x87 & (0 - carry));
    Block out;
    std::memcpy(out.data(), &low, 8);
    std::memcpy(out.data() + 8, &high, 8);
    return out;
  }
  std::uint32_t main_;
  bool encrypt_ = true;
  CipherPtr ecb_;
  Block tweak_{};
};

}  // namespace

std::unique_ptr<CipherState> MakeCipher(std::uint32_t algorithm) {
  if (ClassOf(algorithm) != AlgorithmClass::kCipher) return nullptr;
  const std::uint32_t main = MainAlgorithm(algorithm);
  if (algorithm == alg::kAesCts) return std::make_unique<CtsCipher>();
  if (algorithm == alg::kAesXts || algorithm == alg::kSm4Xts) {
    return std::make_unique<XtsCipher>(main);
  }
  const std::uint32_t mode = (algorithm >> 8) & 0xF;
  if ((algorithm & 0x0FFFF000) != 0 || mode > static_cast<std::uint32_t>(Mode::kCtr)) {
    return nullptr;
  }
  const bool counter = mode == static_cast<std::uint32_t>(Mode::kCtr);
  const bool streams = main == kMainAes || main == kMainSm4;
  const bool blocks = streams || main == kMainDes || main == kMainDes3;
  if (counter ? !streams : !blocks) return nullptr;
  return std::make_unique<EvpCipher>(main, static_cast<Mode>(mode));
}

}  // namespace vtee::ta
