// SPDX-License-Identifier: BSD-3-Clause
// CbcMac: the last block of a CBC encryption from a zero block, over data that comes in pieces of
// any length. CCM and the CBC-MAC algorithms are made of it.
// Threading: an object belongs to one thread at a time. Not supported: a choice of padding here;
// callers add what they want.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "ta/crypto/evp_cipher.h"

namespace vtee::ta {

class CbcMac {
 public:
  // Empty when the key's length does not fit `algorithm`.
  static std::optional<CbcMac> Create(BlockAlgorithm algorithm, std::span<const std::byte> key);

  [[nodiscard]] bool Start();
  [[nodiscard]] bool Add(std::span<const std::byte> data);
  // Fills the block that has been begun, if any, with zeros.
  [[nodiscard]] bool FillUp();

  std::size_t block_size() const { return block_size_; }
  // How much of a block waits for more data: less than a block.
  std::size_t waiting() const { return waiting_; }
  // The chaining value: meaningful after the first whole block.
  std::span<const std::byte> last() const { return std::span(last_).first(block_size_); }

 private:
  CbcMac(EvpCipher cipher, std::size_t block_size)
      : cipher_(std::move(cipher)), block_size_(block_size) {}
  bool AddBlocks(std::span<const std::byte> blocks);

  EvpCipher cipher_;
  std::size_t block_size_;
  std::array<std::byte, 16> begun_{};
  std::array<std::byte, 16> last_{};
  std::size_t waiting_ = 0;
};

}  // namespace vtee::ta
