// SPDX-License-Identifier: BSD-3-Clause
// Guest physical addresses ("IPA") and the reasons an access to one can fail.
#pragma once

#include <cstdint>

#include "base/strong_id.h"

namespace vtee::guest {

// An intermediate physical address: what the guest believes to be physical memory. Bytes.
using GuestPhysAddr = StrongId<struct GuestPhysAddrTag, std::uint64_t>;

// All page lists of all supported ABIs count in 4 KiB pages, whatever the guest's own page size.
inline constexpr std::uint64_t kPageSize = 4096;

// Why guest memory could not be read or written. Never an Error: guests cause these at will.
enum class MemFault : std::uint8_t {
  kNone = 0,
  kNoSlot,     // some byte lies in no memory slot
  kWraps,      // address + size exceeds 2^64
  kReadOnly,   // a write to a read-only slot
  kVanished,   // the page behind it was punched out or truncated while we looked, or the VMM,
               // which copies it for us, cannot reach it
  kNotMapped,  // the slot's memory can neither be mapped nor copied
  kBadList,    // a page list is malformed: misaligned, looping or longer than its bound
};
const char* MemFaultName(MemFault fault);

}  // namespace vtee::guest
