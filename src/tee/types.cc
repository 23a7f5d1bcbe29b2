// SPDX-License-Identifier: BSD-3-Clause
#include "tee/types.h"

#include <charconv>

namespace vtee::tee {

std::string ToString(const Uuid& uuid) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  std::string text;
  text.reserve(36);
  for (std::size_t i = 0; i < uuid.octets.size(); ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) text += '-';
    text += kDigits[uuid.octets[i] >> 4];
    text += kDigits[uuid.octets[i] & 15];
  }
  return text;
}

bool ParseUuid(std::string_view text, Uuid& uuid) {
  constexpr std::size_t kLength = 36;
  if (text.size() != kLength) return false;
  std::size_t octet = 0;
  for (std::size_t i = 0; i < kLength;) {
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (text[i++] != '-') return false;
      continue;
    }
    const char* const pair = &text[i];
    std::uint8_t value = 0;
    const auto [end, error] = std::from_chars(pair, pair + 2, value, 16);
    if (error != std::errc() || end != pair + 2) return false;
    uuid.octets[octet++] = value;
    i += 2;
  }
  return true;
}

}  // namespace vtee::tee
