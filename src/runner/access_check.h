// SPDX-License-Identifier: BSD-3-Clause
// The answer to utee_check_access_rights, which TAs ask up to three times per API call: used by
// the runner, for speed, and by the core, for certain.
//
// After optee_os core/mm/vm.c vm_check_access_rights(): every page of the buffer must be mapped
// with the rights asked for; without ANY_OWNER, it must lie in one region that is the TA's own.
// Freestanding; pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "runner/channel.h"

namespace vtee::runner {

// TEE_MEMORY_ACCESS_*
inline constexpr std::uint64_t kAccessRead = 1;
inline constexpr std::uint64_t kAccessWrite = 2;
inline constexpr std::uint64_t kAccessAnyOwner = 4;
inline constexpr std::uint64_t kAccessNonSecure = 0x10000000;
inline constexpr std::uint64_t kAccessSecure = 0x20000000;
inline constexpr std::uint64_t kAccessDenied = 0xFFFF0001;

// TEE_SUCCESS or TEE_ERROR_ACCESS_DENIED. `regions` are sorted by address.
inline std::uint64_t CheckAccess(const Region* regions, std::size_t count, std::uint64_t flags,
                                 std::uint64_t address, std::uint64_t size) {
  if (size == 0) return 0;
  if ((flags & kAccessNonSecure) != 0 && (flags & kAccessSecure) != 0) return kAccessDenied;
  std::uint64_t end = 0;
  if (__builtin_add_overflow(address, size, &end)) return kAccessDenied;
  std::uint64_t at = address;
  for (std::size_t i = 0; i < count && i < kMaxRegions; ++i) {
    const Region& region = regions[i];
    if (at < region.start) return kAccessDenied;
    if (at >= region.end) continue;
    const std::uint32_t has = region.flags;
    const bool non_secure = (has & kRegionNonSecure) != 0;
    if ((flags & kAccessRead) != 0 && (has & kRegionRead) == 0) return kAccessDenied;
    if ((flags & kAccessWrite) != 0 && (has & kRegionWrite) == 0) return kAccessDenied;
    if ((flags & kAccessNonSecure) != 0 && !non_secure) return kAccessDenied;
    if ((flags & kAccessSecure) != 0 && non_secure) return kAccessDenied;
    if ((flags & kAccessAnyOwner) == 0 && ((has & kRegionPrivate) == 0 || end > region.end)) {
      return kAccessDenied;
    }
    if (end <= region.end) return 0;
    at = region.end;
  }
  return kAccessDenied;
}

}  // namespace vtee::runner
