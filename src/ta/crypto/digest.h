// SPDX-License-Identifier: BSD-3-Clause
// Digests and extendable-output functions, and MACs, as operations of a TA.
//
// Results are TEE codes. Threading: one thread at a time. Copied by Clone(), in mid-stream too.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "ta/crypto/secret.h"

namespace vtee::ta {

// What digests and MACs have in common: system calls 18 to 20 serve both.
class HashState {
 public:
  virtual ~HashState() = default;
  virtual std::unique_ptr<HashState> Clone() const = 0;
  // `key`: of MACs.
  virtual std::uint32_t Init(ConstBytes key) = 0;
  virtual std::uint32_t Update(ConstBytes bytes) = 0;
  // `out` is of size(); for extendable functions of any size, again and again.
  virtual std::uint32_t Final(MutableBytes out) = 0;
  virtual std::size_t size() const = 0;
};

// Null: not supported.
std::unique_ptr<HashState> MakeDigest(std::uint32_t algorithm);
std::unique_ptr<HashState> MakeMac(std::uint32_t algorithm);

}  // namespace vtee::ta
