// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/keccak.h"

#include <openssl/crypto.h>

#include <bit>
#include <cstring>

namespace vtee::ta {
namespace {

static_assert(std::endian::native == std::endian::little);

constexpr int kRounds = 24;

// The round constants, by the shift register of FIPS 202 section 3.2.5.
constexpr auto kRoundConstants = [] {
  std::array<std::uint64_t, kRounds> constants{};
  unsigned shift = 1;
  for (auto& constant : constants) {
    for (int j = 0; j < 7; ++j) {
      if (shift & 1) constant |= std::uint64_t{1} << ((1 << j) - 1);
      shift = shift << 1 ^ (shift & 0x80 ? 0x171 : 0);
    }
  }
  return constants;
}();

// How far step rho turns each lane (section 3.2.2), and where step pi puts it (3.2.3).
struct Move {
  std::array<int, 25> turn{};
  std::array<std::size_t, 25> to{};
};
constexpr Move kMove = [] {
  Move move;
  std::size_t x = 1;
  std::size_t y = 0;
  for (int t = 0; t < 24; ++t) {
    move.turn[x + 5 * y] = (t + 1) * (t + 2) / 2 % 64;
    const std::size_t next = (2 * x + 3 * y) % 5;
    x = y;
    y = next;
  }
  for (std::size_t i = 0; i < 25; ++i) move.to[i] = i / 5 + 5 * ((2 * (i % 5) + 3 * (i / 5)) % 5);
  return move;
}();

}  // namespace

Shake::~Shake() { OPENSSL_cleanse(lanes_.data(), sizeof(lanes_)); }

// Unrolled, so that all the indices are constants.
void Shake::Permute() {
  auto& a = lanes_;
  std::array<std::uint64_t, 25> b;
  std::array<std::uint64_t, 5> column;
  for (const std::uint64_t constant : kRoundConstants) {
#pragma GCC unroll 5
    for (std::size_t x = 0; x < 5; ++x) {
      column[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
    }
#pragma GCC unroll 25
    for (std::size_t i = 0; i < 25; ++i) {
      const std::uint64_t theta = column[(i + 4) % 5] ^ std::rotl(column[(i + 1) % 5], 1);
      b[kMove.to[i]] = std::rotl(a[i] ^ theta, kMove.turn[i]);
    }
#pragma GCC unroll 25
    for (std::size_t i = 0; i < 25; ++i) {
      const std::size_t row = i - i % 5;
      a[i] = b[i] ^ (~b[row + (i + 1) % 5] & b[row + (i + 2) % 5]);
    }
    a[0] ^= constant;
  }
}

void Shake::Mix(std::size_t position, std::byte octet) {
  lanes_[position / 8] ^= std::to_integer<std::uint64_t>(octet) << (position % 8 * 8);
}

void Shake::Absorb(std::span<const std::byte> data) {
  const auto advance = [this](std::size_t size) {
    position_ += size;
    if (position_ < rate_) return;
    Permute();
    position_ = 0;
  };
  while (!data.empty()) {
    std::size_t size = 1;
    if (position_ % 8 == 0 && data.size() >= 8) {  // a lane; the rate is a multiple of it
      std::uint64_t lane = 0;
      size = sizeof(lane);
      std::memcpy(&lane, data.data(), size);
      lanes_[position_ / 8] ^= lane;
    } else {
      Mix(position_, data[0]);
    }
    advance(size);
    data = data.subspan(size);
  }
}

void Shake::Squeeze(std::span<std::byte> output) {
  if (!squeezing_) {
    Mix(position_, std::byte{0x1F});
    Mix(rate_ - 1, std::byte{0x80});
    Permute();
    position_ = 0;
    squeezing_ = true;
  }
  for (std::byte& octet : output) {
    if (position_ == rate_) {
      Permute();
      position_ = 0;
    }
    octet = static_cast<std::byte>(lanes_[position_ / 8] >> (position_ % 8 * 8));
    ++position_;
  }
}

}  // namespace vtee::ta
