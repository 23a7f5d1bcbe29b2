// SPDX-License-Identifier: BSD-3-Clause
#include "guest/page_list.h"

#include <algorithm>
#include <array>
#include <bit>

#include "base/checked.h"

namespace vtee::guest {
namespace {

static_assert(std::endian::native == std::endian::little, "list entries are little-endian");

// OPTEE_MSG_ATTR_NONCONTIG (optee_os core/include/optee_msg.h): 511 entries and the link.
using ListPage = std::array<std::uint64_t, kPageListEntries + 1>;
static_assert(sizeof(ListPage) == kPageSize);

MemFault Walk(const GuestMemory& memory, std::uint64_t list, std::uint64_t count,
              std::vector<GuestPhysAddr>& pages) {
  ListPage copy;
  while (count > 0) {
    if (list % kPageSize != 0) return MemFault::kBadList;
    // Only what counts is fetched: a list that ends in this page has a link that means nothing.
    const std::uint64_t here = std::min(count, kPageListEntries);
    const bool goes_on = count > here;
    const std::span words = std::span(copy).first(here + (goes_on ? 1 : 0));
    const MemFault fault = memory.Snapshot(GuestPhysAddr(list), std::as_writable_bytes(words));
    if (fault != MemFault::kNone) return fault;
    for (const std::uint64_t entry : words.first(here)) {
      if (entry % kPageSize != 0) return MemFault::kBadList;
      pages.emplace_back(entry);
    }
    count -= here;
    if (goes_on) list = words.back();
  }
  return MemFault::kNone;
}

}  // namespace

MemFault WalkPageList(const GuestMemory& memory, GuestPhysAddr list, std::uint64_t offset,
                      std::uint64_t size, std::uint64_t max_pages,
                      std::vector<GuestPhysAddr>& pages) {
  pages.clear();
  if (size == 0 || offset >= kPageSize) return MemFault::kBadList;
  const auto end = CheckedAdd(offset, size);
  if (!end) return MemFault::kWraps;
  const std::uint64_t count = *end / kPageSize + (*end % kPageSize != 0 ? 1 : 0);
  if (count > max_pages) return MemFault::kBadList;
  const MemFault fault = Walk(memory, list.value(), count, pages);
  if (fault != MemFault::kNone) pages.clear();
  return fault;
}

}  // namespace vtee::guest
