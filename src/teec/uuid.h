// SPDX-License-Identifier: BSD-3-Clause
// A TEEC_UUID in the order in which it travels (RFC 4122, network order). Any thread.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "teec/tee_client_api.h"

namespace vtee::teec {

inline std::array<std::uint8_t, 16> ToOctets(const TEEC_UUID& uuid) {
  const std::uint32_t low = __builtin_bswap32(uuid.timeLow);
  const std::uint16_t mid = __builtin_bswap16(uuid.timeMid);
  const std::uint16_t high = __builtin_bswap16(uuid.timeHiAndVersion);
  std::array<std::uint8_t, 16> octets{};
  std::memcpy(octets.data(), &low, 4);
  std::memcpy(octets.data() + 4, &mid, 2);
  std::memcpy(octets.data() + 6, &high, 2);
  std::memcpy(octets.data() + 8, uuid.clockSeqAndNode, 8);
  return octets;
}

}  // namespace vtee::teec
