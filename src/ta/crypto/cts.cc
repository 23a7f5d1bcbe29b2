// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/cts.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "ta/crypto/block.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

class Cts final : public CipherState {
 public:
  Cts(EvpCipher chained, EvpCipher single, bool encrypt)
      : CipherState({.iv = kBlock, .step = kBlock, .end = 1}),
        chained_(std::move(chained)),
        single_(std::move(single)),
        encrypt_(encrypt) {}

  std::unique_ptr<CipherState> Clone() const override { return std::make_unique<Cts>(*this); }

 private:
  bool Start(std::span<const std::byte> iv) override { return chained_.Start(iv); }
  bool Run(std::span<const std::byte> source, std::byte* destination) override {
    return chained_.Run(source, destination);
  }

  // The last two blocks, of which the second may be short: encrypted with zeros behind it, then
  // exchanged, and the first one's end left out.
  bool EncryptLast(std::span<const std::byte> source, std::byte* destination) {
    const std::size_t rest = source.size() - kBlock;
    Block first;
    Block second{};
    std::copy_n(source.begin(), kBlock, first.begin());
    std::copy_n(source.begin() + kBlock, rest, second.begin());
    if (!chained_.Run(first, first.data()) || !chained_.Run(second, second.data())) return false;
    std::copy(second.begin(), second.end(), destination);
    std::copy_n(first.begin(), rest, destination + kBlock);
    return true;
  }

  // The reverse. What was left out is at the end of the full block's own decryption, because zeros
  // were mixed into it there.
  bool DecryptLast(std::span<const std::byte> source, std::byte* destination) {
    const std::size_t rest = source.size() - kBlock;
    Block full;
    Block short_one;
    std::copy_n(source.begin(), kBlock, full.begin());
    if (!single_.Run(full, short_one.data())) return false;
    std::copy_n(source.begin() + kBlock, rest, short_one.begin());
    if (!chained_.Run(short_one, short_one.data()) || !chained_.Run(full, full.data())) {
      return false;
    }
    std::copy(short_one.begin(), short_one.end(), destination);
    std::copy_n(full.begin(), rest, destination + kBlock);
    return true;
  }

  std::uint32_t Finish(std::span<const std::byte> source, std::byte* destination) override {
    if (source.size() <= kBlock) return code::kBadState;
    const std::size_t head = (source.size() - 1) / kBlock * kBlock - kBlock;
    if (!Run(source.first(head), destination)) return code::kGeneric;
    source = source.subspan(head);
    destination += head;
    const bool ok = encrypt_ ? EncryptLast(source, destination) : DecryptLast(source, destination);
    return ok ? code::kSuccess : code::kGeneric;
  }

  EvpCipher chained_;  // CBC, in the direction of the operation
  EvpCipher single_;   // ECB, decrypting
  bool encrypt_;
};

}  // namespace

std::unique_ptr<CipherState> CreateCts(BlockAlgorithm algorithm, bool encrypt,
                                       std::span<const std::byte> key) {
  if (BlockSize(algorithm) != kBlock) return nullptr;
  auto chained = EvpCipher::Create(algorithm, BlockMode::kCbc, encrypt, key);
  auto single = EvpCipher::Create(algorithm, BlockMode::kEcb, false, key);
  if (!chained || !single) return nullptr;
  return std::make_unique<Cts>(std::move(*chained), std::move(*single), encrypt);
}

}  // namespace vtee::ta
