// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/cipher.h"

#include <utility>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/cts.h"
#include "ta/crypto/evp_cipher.h"
#include "ta/crypto/xts.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

// ECB, CBC and CTR, which OpenSSL does as they are wanted.
class PlainCipher final : public CipherState {
 public:
  PlainCipher(EvpCipher cipher, BlockMode mode, std::size_t block)
      : CipherState(ShapeOf(mode, block)), cipher_(std::move(cipher)), mode_(mode) {}

  std::unique_ptr<CipherState> Clone() const override {
    return std::make_unique<PlainCipher>(*this);
  }

 private:
  static Shape ShapeOf(BlockMode mode, std::size_t block) {
    const std::size_t step = mode == BlockMode::kCtr ? 1 : block;
    return {mode == BlockMode::kEcb ? 0 : block, step, step};
  }

  bool Start(std::span<const std::byte> iv) override {
    return mode_ == BlockMode::kEcb || cipher_.Start(iv);
  }
  bool Run(std::span<const std::byte> source, std::byte* destination) override {
    return cipher_.Run(source, destination);
  }
  std::uint32_t Finish(std::span<const std::byte> source, std::byte* destination) override {
    return cipher_.Run(source, destination) ? code::kSuccess : code::kGeneric;
  }

  EvpCipher cipher_;
  BlockMode mode_;
};

std::unique_ptr<CipherState> CreatePlain(BlockMode mode, BlockAlgorithm algorithm, bool encrypt,
                                         std::span<const std::byte> key) {
  auto cipher = EvpCipher::Create(algorithm, mode, encrypt, key);
  if (!cipher) return nullptr;
  return std::make_unique<PlainCipher>(std::move(*cipher), mode, BlockSize(algorithm));
}

}  // namespace

std::unique_ptr<CipherState> CipherState::Create(std::uint32_t algorithm, bool encrypt,
                                                 std::span<const std::byte> key1,
                                                 std::span<const std::byte> key2) {
  if (ClassOf(algorithm) != AlgorithmClass::kCipher) return nullptr;
  if (key2.size() != (NeedsTwoKeys(algorithm) ? key1.size() : 0)) return nullptr;
  const BlockAlgorithm block = BlockAlgorithmOf(algorithm);
  switch (algorithm >> 8 & 0xF) {
    case 0:
      return CreatePlain(BlockMode::kEcb, block, encrypt, key1);
    case 1:
      return CreatePlain(BlockMode::kCbc, block, encrypt, key1);
    case 2:
      return CreatePlain(BlockMode::kCtr, block, encrypt, key1);
    case 3:
      return CreateCts(block, encrypt, key1);
    case 4:
      return CreateXts(block, encrypt, key1, key2);
    default:
      return nullptr;
  }
}

std::uint32_t CipherState::Init(std::span<const std::byte> iv) {
  active_ = false;
  if (shape_.iv != 0 && iv.size() != shape_.iv) return code::kBadParameters;
  if (!Start(iv)) return code::kGeneric;
  active_ = true;
  return code::kSuccess;
}

std::uint32_t CipherState::Check(std::span<const std::byte> source,
                                 std::span<std::byte> destination, std::size_t multiple) const {
  if (!active_) return code::kBadState;
  if (destination.size() < source.size()) return code::kShortBuffer;
  return source.size() % multiple == 0 ? code::kSuccess : code::kBadParameters;
}

std::uint32_t CipherState::Update(std::span<const std::byte> source,
                                  std::span<std::byte> destination) {
  if (const auto bad = Check(source, destination, shape_.step)) return bad;
  return Run(source, destination.data()) ? code::kSuccess : code::kGeneric;
}

std::uint32_t CipherState::Final(std::span<const std::byte> source,
                                 std::span<std::byte> destination) {
  if (const auto bad = Check(source, destination, shape_.end)) return bad;
  active_ = false;
  return source.empty() ? code::kSuccess : Finish(source, destination.data());
}

}  // namespace vtee::ta
