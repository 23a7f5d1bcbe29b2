// SPDX-License-Identifier: BSD-3-Clause
// For tests: octets from hexadecimal text and back, and other inputs.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vtee::ta {

using Bytes = std::vector<std::byte>;

// Anything that is not a hexadecimal digit is skipped.
inline Bytes Hex(std::string_view text) {
  Bytes bytes;
  bytes.reserve(text.size() / 2);
  int high = -1;
  for (const char c : text) {
    int digit = -1;
    if (c >= '0' && c <= '9') digit = c - '0';
    if (c >= 'a' && c <= 'f') digit = c - 'a' + 10;
    if (c >= 'A' && c <= 'F') digit = c - 'A' + 10;
    if (digit < 0) continue;
    if (high < 0) {
      high = digit;
    } else {
      bytes.push_back(static_cast<std::byte>(high * 16 + digit));
      high = -1;
    }
  }
  return bytes;
}

inline std::string ToHex(std::span<const std::byte> bytes) {
  std::string text;
  for (const std::byte octet : bytes) {
    constexpr char kDigits[] = "0123456789abcdef";
    text += kDigits[std::to_integer<unsigned>(octet) >> 4];
    text += kDigits[std::to_integer<unsigned>(octet) & 15];
  }
  return text;
}

// `text` without what is no digit, to compare with ToHex.
inline std::string Digits(std::string_view text) { return ToHex(Hex(text)); }

inline Bytes Text(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

// first, first + 1, ...
inline Bytes Counting(std::size_t size, unsigned first = 0) {
  Bytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(first + i);
  return bytes;
}

// Octets without a short period.
inline Bytes Noise(std::size_t size) {
  Bytes bytes(size);
  unsigned long long state = 88172645463325252;
  for (std::byte& octet : bytes) {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    octet = static_cast<std::byte>(state >> 32);
  }
  return bytes;
}

inline Bytes Joined(std::span<const std::byte> first, std::span<const std::byte> second) {
  Bytes bytes(first.begin(), first.end());
  bytes.insert(bytes.end(), second.begin(), second.end());
  return bytes;
}

}  // namespace vtee::ta
