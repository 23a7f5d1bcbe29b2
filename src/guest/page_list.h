// SPDX-License-Identifier: BSD-3-Clause
// The OP-TEE "non-contiguous buffer" page list, walked with bounds.
//
// A list page is 4 KiB: 511 little-endian 64-bit page addresses, then the address of the next
// list page (optee_os core/include/optee_msg.h, OPTEE_MSG_ATTR_NONCONTIG). The guest may rewrite
// it while it is walked, loop it, or never end it: every list page is fetched once, and the
// number of entries is fixed beforehand by the buffer's size, so the walk always ends.
#pragma once

#include <cstdint>
#include <vector>

#include "guest/guest_memory.h"

namespace vtee::guest {

inline constexpr std::uint64_t kPageListEntries = 511;

// Walks the list at `list` for a buffer of `size` bytes that starts `offset` (< 4096) bytes into
// its first page. On success `pages` holds ceil((offset + size) / 4096) page-aligned addresses.
// `max_pages` bounds memory; a larger list is kBadList. size 0 is kBadList.
[[nodiscard]] MemFault WalkPageList(const GuestMemory& memory, GuestPhysAddr list,
                                    std::uint64_t offset, std::uint64_t size,
                                    std::uint64_t max_pages, std::vector<GuestPhysAddr>& pages);

}  // namespace vtee::guest
