// SPDX-License-Identifier: BSD-3-Clause
// The arithmetic of Ed25519 (RFC 8032, 5.1): its curve, and numbers modulo the order of its base
// point. For the variants of Ed25519 that OpenSSL does not have.
//
// Scalars and points are 32 bytes, little-endian, as RFC 8032 encodes them. Pure; any thread.
// Functions that see secrets take the same steps and touch the same memory whatever the secrets
// are; those that see public values only say so.
#pragma once

#include <array>
#include <cstddef>
#include <span>

#include "ta/crypto/secret.h"

namespace vtee::ta::edwards25519 {

inline constexpr std::size_t kBytes = 32;
using In32 = std::span<const std::byte, kBytes>;
using Out32 = std::span<std::byte, kBytes>;

// `wide` modulo the order.
void Reduce(std::span<const std::byte, 2 * kBytes> wide, Out32 scalar);
// a b + c modulo the order; `c` below the order, `a` and `b` any.
void MultiplyAdd(In32 a, In32 b, In32 c, Out32 scalar);
// The base point, `scalar` times.
void MultiplyBase(In32 scalar, Out32 point);

// Public values only: below the order.
bool IsReduced(In32 scalar);
// Public values only: s B - k A, encoded. False: `a` encodes no point.
bool VerificationPoint(In32 s, In32 k, In32 a, Out32 point);

}  // namespace vtee::ta::edwards25519
