// SPDX-License-Identifier: BSD-3-Clause
// SHA-256 (FIPS 180-4), to tell whether a trusted application saw the bytes that the guest wrote.
// Threading: an object belongs to one vCPU.
#pragma once

#include <cstddef>
#include <cstdint>

namespace guest {

class Sha256 {
 public:
  void Update(const std::uint8_t* data, std::size_t size);
  void Finish(std::uint8_t out[32]);

 private:
  void Block(const std::uint8_t* block);

  std::uint32_t state_[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                             0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::uint8_t rest_[64] = {};
  std::uint64_t size_ = 0;
};

}  // namespace guest
