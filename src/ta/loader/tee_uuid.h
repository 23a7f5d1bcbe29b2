// SPDX-License-Identifier: BSD-3-Clause
// TEE_UUID as TAs have it in memory: little-endian fields (GlobalPlatform TEE Internal Core API
// 1.3.1, 3.2.4), unlike the octets of the message ABI. Pure; any thread.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

#include "tee/types.h"

namespace vtee::ta {

using TeeUuid = std::array<std::uint8_t, 16>;

inline TeeUuid SwapUuid(const TeeUuid& in) {
  TeeUuid out = in;
  std::reverse(out.begin(), out.begin() + 4);
  std::reverse(out.begin() + 4, out.begin() + 6);
  std::reverse(out.begin() + 6, out.begin() + 8);
  return out;
}
inline TeeUuid ToTeeUuid(const tee::Uuid& uuid) { return SwapUuid(uuid.octets); }
inline tee::Uuid FromTeeUuid(const TeeUuid& uuid) { return tee::Uuid{SwapUuid(uuid)}; }

}  // namespace vtee::ta
