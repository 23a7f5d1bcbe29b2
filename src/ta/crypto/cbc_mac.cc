// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/cbc_mac.h"

#include <algorithm>

namespace vtee::ta {

std::optional<CbcMac> CbcMac::Create(BlockAlgorithm algorithm, std::span<const std::byte> key) {
  auto cipher = EvpCipher::Create(algorithm, BlockMode::kCbc, true, key);
  if (!cipher) return std::nullopt;
  return CbcMac(std::move(*cipher), BlockSize(algorithm));
}

bool CbcMac::Start() {
  waiting_ = 0;
  last_.fill(std::byte{0});
  return cipher_.Start(last());
}

bool CbcMac::AddBlocks(std::span<const std::byte> blocks) {
  std::array<std::byte, 4096> output;
  while (!blocks.empty()) {
    const auto piece = blocks.first(std::min(blocks.size(), output.size()));
    if (!cipher_.Run(piece, output.data())) return false;
    std::copy_n(output.begin() + static_cast<std::ptrdiff_t>(piece.size() - block_size_),
                block_size_, last_.begin());
    blocks = blocks.subspan(piece.size());
  }
  return true;
}

bool CbcMac::Add(std::span<const std::byte> data) {
  if (waiting_ > 0) {
    const auto head = data.first(std::min(data.size(), block_size_ - waiting_));
    std::copy(head.begin(), head.end(), begun_.begin() + static_cast<std::ptrdiff_t>(waiting_));
    waiting_ += head.size();
    data = data.subspan(head.size());
    if (waiting_ < block_size_) return true;
    waiting_ = 0;
    if (!AddBlocks(std::span(begun_).first(block_size_))) return false;
  }
  const std::size_t whole = data.size() - data.size() % block_size_;
  if (!AddBlocks(data.first(whole))) return false;
  data = data.subspan(whole);
  std::copy(data.begin(), data.end(), begun_.begin());
  waiting_ = data.size();
  return true;
}

bool CbcMac::FillUp() {
  if (waiting_ == 0) return true;
  constexpr std::array<std::byte, 16> kZeros{};
  return Add(std::span(kZeros).first(block_size_ - waiting_));
}

}  // namespace vtee::ta
