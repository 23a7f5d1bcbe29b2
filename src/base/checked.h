// SPDX-License-Identifier: BSD-3-Clause
// Checked arithmetic for sizes and addresses that a guest, peer or file chose.
// Every function returns nothing (nullopt) instead of a wrapped value. Pure; any thread.
#pragma once

#include <concepts>
#include <cstdint>
#include <optional>

namespace vtee {

template <std::unsigned_integral T>
constexpr std::optional<T> CheckedAdd(T a, T b) {
  T out{};
  if (__builtin_add_overflow(a, b, &out)) return std::nullopt;
  return out;
}

template <std::unsigned_integral T>
constexpr std::optional<T> CheckedSub(T a, T b) {
  T out{};
  if (__builtin_sub_overflow(a, b, &out)) return std::nullopt;
  return out;
}

template <std::unsigned_integral T>
constexpr std::optional<T> CheckedMul(T a, T b) {
  T out{};
  if (__builtin_mul_overflow(a, b, &out)) return std::nullopt;
  return out;
}

// Rounds up to a multiple of `unit` (a power of two).
template <std::unsigned_integral T>
constexpr std::optional<T> CheckedRoundUp(T value, T unit) {
  auto sum = CheckedAdd<T>(value, static_cast<T>(unit - 1));
  if (!sum) return std::nullopt;
  return static_cast<T>(*sum & ~static_cast<T>(unit - 1));
}

// Is [offset, offset + size) inside [0, limit)? Never wraps; an empty range at `limit` is inside.
constexpr bool RangeInside(std::uint64_t offset, std::uint64_t size, std::uint64_t limit) {
  return offset <= limit && size <= limit - offset;
}

}  // namespace vtee
