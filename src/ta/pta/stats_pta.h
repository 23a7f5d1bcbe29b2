// SPDX-License-Identifier: BSD-3-Clause
// The statistics pseudo-TA, which `xtest --stats` asks (optee_os 4.10 core/pta/stats.c,
// lib/libutee/include/pta_stats.h; OP-TEE 4.5's structures are 8 bytes shorter).
//
// What is counted is the memory of TAs: each TA's own, and that of all together. Peaks and failed
// requests are not counted and stay 0, as do the pools that only OP-TEE has. The guest learns
// nothing about the host's memory. There is no pager; there are no clocks or regulators.
// Threading: PseudoTa's.
#pragma once

#include <cstddef>
#include <vector>

#include "ta/core/pseudo_ta.h"
#include "ta/core/tee_core.h"

namespace vtee::ta {

inline constexpr tee::Uuid kStatsPta{{0xd9, 0x6a, 0x5b, 0x40, 0xe2, 0xc7, 0xb1, 0xaf, 0x87, 0x94,
                                      0x10, 0x02, 0xa5, 0xd5, 0xc6, 0x1b}};

class StatsPta : public PseudoTa {
 public:
  explicit StatsPta(TeeCore& core) : core_(core) {}
  std::uint32_t Invoke(Call& call, TaInstance* caller, std::uint32_t session, std::uint32_t command,
                       EntryParams& params) override;

 private:
  std::uint32_t Pools(EntryParams& params);
  std::uint32_t Leaks(const EntryParams& params);
  std::uint32_t Tas(EntryParams& params);
  std::uint32_t Times(Call& call, EntryParams& params);

  TeeCore& core_;
};

// struct pta_stats_ta of each; `limit`: what each may have.
std::vector<std::byte> EncodeTaStats(std::span<const TeeCore::Running> running,
                                     std::uint64_t limit);

}  // namespace vtee::ta
