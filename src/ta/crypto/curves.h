// SPDX-License-Identifier: BSD-3-Clause
// The elliptic curves of TEE_ATTR_ECC_CURVE, and OpenSSL's names for them. Pure.
#pragma once

#include <cstddef>
#include <cstdint>

namespace vtee::ta {

struct Curve {
  std::uint32_t id;
  std::uint32_t bits;
  std::size_t bytes;  // of a coordinate
  int nid;            // OpenSSL's
  const char* group;  // OpenSSL's
};

inline constexpr std::uint32_t kCurveSm2 = 0x400;

// Null: no such curve.
const Curve* FindCurve(std::uint32_t id);

}  // namespace vtee::ta
