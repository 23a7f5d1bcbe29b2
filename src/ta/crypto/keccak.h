// SPDX-License-Identifier: BSD-3-Clause
// Shake: the extendable-output functions of FIPS 202, with output taken in any number of pieces
// (OpenSSL 3.0 gives all of it at once, and no more).
// Threading: a value. Not supported: the fixed-length SHA-3 digests, which OpenSSL has.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace vtee::ta {

class Shake {
 public:
  // `strength`: 128 or 256.
  explicit Shake(std::size_t strength) : rate_(200 - strength / 4) {}
  Shake(const Shake&) = default;
  Shake& operator=(const Shake&) = default;
  ~Shake();

  void Absorb(std::span<const std::byte> data);  // not after Squeeze
  void Squeeze(std::span<std::byte> output);
  bool squeezing() const { return squeezing_; }

 private:
  void Permute();
  void Mix(std::size_t position, std::byte octet);

  std::size_t rate_;
  std::array<std::uint64_t, 25> lanes_{};
  std::size_t position_ = 0;  // in the rate: where the next octet goes or comes from
  bool squeezing_ = false;
};

}  // namespace vtee::ta
