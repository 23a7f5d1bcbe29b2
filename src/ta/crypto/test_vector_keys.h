// SPDX-License-Identifier: BSD-3-Clause
// For tests: what NIST's files name, as keys, digests and algorithms of TAs.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "ta/crypto/object.h"
#include "ta/crypto/operation_modes.h"
#include "ta/crypto/test_bytes.h"

struct evp_md_st;

namespace vtee::ta {

struct VectorDigest {
  std::uint32_t number = 0;  // as the identifiers of digests count them
  const evp_md_st* md = nullptr;

  Bytes Of(std::span<const std::byte> message) const;
};
// The digest that stands in `text` as SHA1, SHA-1, SHA256... None is a failure.
VectorDigest DigestIn(std::string_view text);

struct VectorCurve {
  std::string_view name;
  std::uint32_t id;  // TEE_ECC_CURVE_*
  std::uint32_t bits;
  std::size_t bytes;
};
// The curve that `text` begins with; null: no TA can name it.
const VectorCurve* FindVectorCurve(std::string_view text);

// With zeros in front, or as it is if it is longer.
Bytes Padded(const Bytes& number, std::size_t size);

// Of a public type without `d`.
CryptoObject EccKey(std::uint32_t type, const VectorCurve& curve, const Bytes& x, const Bytes& y,
                    const Bytes& d = {});

}  // namespace vtee::ta
