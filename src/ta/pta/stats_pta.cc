// SPDX-License-Identifier: BSD-3-Clause
#include "ta/pta/stats_pta.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <limits>
#include <string_view>

#include "base/checked.h"
#include "base/log.h"
#include "ta/core/guest_time.h"
#include "ta/loader/tee_uuid.h"
#include "ta/pta/pta_params.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

enum Command : std::uint32_t {
  kPager = 0,
  kAllocators = 1,
  kMemoryLeaks = 2,
  kTas = 3,
  kTimes = 4,
  kDrivers = 5,
};

// struct pta_stats_alloc and struct pta_stats_ta.
struct PoolStats {
  char name[32];
  std::uint64_t free_squares;
  std::uint32_t allocated;
  std::uint32_t most_allocated;
  std::uint32_t size;
  std::uint32_t failures;
  std::uint32_t biggest_failure;
  std::uint32_t allocated_then;
};
static_assert(sizeof(PoolStats) == 64);

struct TaStats {
  TeeUuid uuid;
  std::uint32_t panicked;
  std::uint32_t sessions;
  PoolStats memory;
};
static_assert(sizeof(TaStats) == 88);

std::uint32_t Saturated(std::uint64_t bytes) {
  return static_cast<std::uint32_t>(
      std::min<std::uint64_t>(bytes, std::numeric_limits<std::uint32_t>::max()));
}

PoolStats Pool(std::string_view name, std::uint64_t allocated = 0, std::uint64_t size = 0) {
  PoolStats pool{};
  std::memcpy(pool.name, name.data(), std::min(name.size(), sizeof(pool.name) - 1));
  pool.allocated = Saturated(allocated);
  pool.size = Saturated(size);
  return pool;
}

}  // namespace

std::vector<std::byte> EncodeTaStats(std::span<const TeeCore::Running> running,
                                     std::uint64_t limit) {
  std::vector<std::byte> bytes;
  for (const TeeCore::Running& ta : running) {
    const TaStats stats{.uuid = ToTeeUuid(ta.uuid),
                        .panicked = ta.dead ? 1u : 0u,
                        .sessions = ta.sessions,
                        .memory = Pool("", ta.bytes, limit)};
    const auto encoded = std::as_bytes(std::span(&stats, 1));
    bytes.insert(bytes.end(), encoded.begin(), encoded.end());
  }
  return bytes;
}

// value in {which pool, or 0 for all; reset}, memref out. There is nothing to reset.
std::uint32_t StatsPta::Pools(EntryParams& params) {
  if (ParamTypes(params) != 0x0061) return code::kBadParameters;
  std::uint64_t used = 0;
  for (const TeeCore::Running& ta : core_.RunningTas()) used += ta.bytes;
  const auto room =
      CheckedMul<std::uint64_t>(core_.options().ta_memory, core_.options().max_instances);
  const PoolStats pools[] = {
      Pool("Heap (not counted)"),
      Pool("Public DDR (deprecated)"),
      Pool("Memory of TAs", used, room.value_or(std::numeric_limits<std::uint64_t>::max())),
      Pool("KHeap (disabled)"),
      Pool("RPMB secure storage (no data)"),
  };
  const std::uint64_t which = params[0].a;
  if (which > std::size(pools)) return code::kBadParameters;
  const auto wanted = which == 0 ? std::span(pools) : std::span(pools).subspan(which - 1, 1);
  return WriteBuffer(params[1], std::as_bytes(wanted));
}

// OP-TEE prints what its core has allocated. What could be left over here are sessions and TAs.
std::uint32_t StatsPta::Leaks(const EntryParams& params) {
  if (ParamTypes(params) != 0) return code::kBadParameters;
  const auto running = core_.RunningTas();
  LogGuest(LogLevel::kInfo, "ta.running", {{"tas", std::to_string(running.size())}});
  for (const TeeCore::Running& ta : running) {
    LogGuest(LogLevel::kInfo, "ta.running",
             {{"ta", tee::ToString(ta.uuid)},
              {"sessions", std::to_string(ta.sessions)},
              {"bytes", std::to_string(ta.bytes)}});
  }
  return code::kSuccess;
}

std::uint32_t StatsPta::Tas(EntryParams& params) {
  if (ParamTypes(params) != 0x0006) return code::kBadParameters;
  const auto stats = EncodeTaStats(core_.RunningTas(), core_.options().ta_memory);
  if (stats.empty()) return code::kItemNotFound;
  return WriteBuffer(params[0], stats);
}

// value out: the guest's time; value out: the TEE's.
std::uint32_t StatsPta::Times(Call& call, EntryParams& params) {
  if (ParamTypes(params) != 0x0022) return code::kBadParameters;
  const TeeTime guest = AskGuestForTime(call.context);
  const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(
                         std::chrono::steady_clock::now() - core_.started())
                         .count();
  params[0].a = guest.seconds;
  params[0].b = guest.millis;
  params[1].a = static_cast<std::uint64_t>(since / 1000);
  params[1].b = static_cast<std::uint64_t>(since % 1000);
  return code::kSuccess;
}

std::uint32_t StatsPta::Invoke(Call& call, TaInstance*, std::uint32_t, std::uint32_t command,
                               EntryParams& params) {
  constexpr std::uint64_t kClocksAndRegulators = 2;
  switch (command) {
    case kPager:
      if (ParamTypes(params) != 0x0222) return code::kBadParameters;
      // No pages, as OP-TEE without a pager.
      for (EntryParam& param : params) param.a = param.b = 0;
      return code::kSuccess;
    case kAllocators:
      return Pools(params);
    case kMemoryLeaks:
      return Leaks(params);
    case kTas:
      return Tas(params);
    case kTimes:
      return Times(call, params);
    case kDrivers:
      return ParamTypes(params) == 0x0001 && params[0].a < kClocksAndRegulators
                 ? code::kNotSupported
                 : code::kBadParameters;
    default:
      return code::kBadParameters;
  }
}

}  // namespace vtee::ta
