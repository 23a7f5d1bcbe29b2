// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/xts.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <utility>

#include "ta/crypto/block.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

static_assert(std::endian::native == std::endian::little);

// An element of GF(2^128) in the order of IEEE 1619: the lowest bit is the first octet's lowest.
struct Element {
  std::uint64_t low = 0;
  std::uint64_t high = 0;

  void Double() {
    const std::uint64_t carry = high >> 63;
    high = high << 1 | low >> 63;
    low = low << 1 ^ (0x87 & (0 - carry));  // no branch: the tweak is a secret
  }
  // to[i] = from[i] ^ this; `from` may be `to`.
  void Mix(const std::byte* from, std::byte* to) const {
    std::array<std::uint64_t, 2> words;
    std::memcpy(words.data(), from, kBlock);
    words[0] ^= low;
    words[1] ^= high;
    std::memcpy(to, words.data(), kBlock);
  }
};

class Xts final : public CipherState {
 public:
  Xts(EvpCipher cipher, EvpCipher tweak_cipher, bool encrypt)
      : CipherState({.iv = kBlock, .step = kBlock, .end = 1}),
        cipher_(std::move(cipher)),
        tweak_cipher_(std::move(tweak_cipher)),
        encrypt_(encrypt) {}
  Xts(const Xts&) = default;
  ~Xts() override { OPENSSL_cleanse(&tweak_, sizeof(tweak_)); }

  std::unique_ptr<CipherState> Clone() const override { return std::make_unique<Xts>(*this); }

 private:
  bool Start(std::span<const std::byte> iv) override {
    Block block;
    if (!tweak_cipher_.Run(iv, block.data())) return false;
    std::memcpy(&tweak_, block.data(), kBlock);
    OPENSSL_cleanse(block.data(), block.size());
    return true;
  }

  // Many blocks at a time, so that OpenSSL can work on several at once.
  bool Run(std::span<const std::byte> source, std::byte* destination) override {
    std::array<Element, 128> tweaks;
    std::array<std::byte, tweaks.size() * kBlock> mixed;
    bool ok = true;
    while (ok && !source.empty()) {
      const auto piece = source.first(std::min(source.size(), mixed.size()));
      const std::size_t blocks = piece.size() / kBlock;
      for (std::size_t i = 0; i < blocks; ++i) {
        tweaks[i] = tweak_;
        tweaks[i].Mix(&piece[i * kBlock], &mixed[i * kBlock]);
        tweak_.Double();
      }
      ok = cipher_.Run(std::span(mixed).first(piece.size()), mixed.data());
      for (std::size_t i = 0; ok && i < blocks; ++i) {
        tweaks[i].Mix(&mixed[i * kBlock], destination + i * kBlock);
      }
      OPENSSL_cleanse(tweaks.data(), blocks * sizeof(Element));
      OPENSSL_cleanse(mixed.data(), piece.size());
      source = source.subspan(piece.size());
      destination += piece.size();
    }
    return ok;
  }

  bool RunBlock(const Element& tweak, const Block& from, Block& to) {
    tweak.Mix(from.data(), to.data());
    if (!cipher_.Run(to, to.data())) return false;
    tweak.Mix(to.data(), to.data());
    return true;
  }

  // The last whole block and the piece after it: the piece borrows its missing end from the
  // block's first result, and takes its place. Decryption uses the two tweaks the other way round.
  bool Steal(std::span<const std::byte> source, std::byte* destination) {
    Element first = tweak_;
    Element second = tweak_;
    (encrypt_ ? second : first).Double();
    const std::size_t rest = source.size() - kBlock;
    Block block;
    Block borrowed;
    std::copy_n(source.begin(), kBlock, block.begin());
    bool ok = RunBlock(first, block, borrowed);
    block = borrowed;
    std::copy_n(source.begin() + kBlock, rest, block.begin());
    std::copy_n(borrowed.begin(), rest, destination + kBlock);
    ok = ok && RunBlock(second, block, borrowed);
    std::copy(borrowed.begin(), borrowed.end(), destination);
    OPENSSL_cleanse(&first, sizeof(first));
    OPENSSL_cleanse(&second, sizeof(second));
    return ok;
  }

  std::uint32_t Finish(std::span<const std::byte> source, std::byte* destination) override {
    if (source.size() < kBlock) return code::kBadState;
    const std::size_t rest = source.size() % kBlock;
    const std::size_t whole = source.size() - rest - (rest == 0 ? 0 : kBlock);
    if (!Run(source.first(whole), destination)) return code::kGeneric;
    if (rest != 0 && !Steal(source.subspan(whole), destination + whole)) return code::kGeneric;
    return code::kSuccess;
  }

  EvpCipher cipher_;        // ECB, in the direction of the operation
  EvpCipher tweak_cipher_;  // ECB, encrypting
  Element tweak_;           // of the next block
  bool encrypt_;
};

}  // namespace

std::unique_ptr<CipherState> CreateXts(BlockAlgorithm algorithm, bool encrypt,
                                       std::span<const std::byte> key,
                                       std::span<const std::byte> tweak_key) {
  if (BlockSize(algorithm) != kBlock) return nullptr;
  auto cipher = EvpCipher::Create(algorithm, BlockMode::kEcb, encrypt, key);
  auto tweak_cipher = EvpCipher::Create(algorithm, BlockMode::kEcb, true, tweak_key);
  if (!cipher || !tweak_cipher) return nullptr;
  return std::make_unique<Xts>(std::move(*cipher), std::move(*tweak_cipher), encrypt);
}

}  // namespace vtee::ta
