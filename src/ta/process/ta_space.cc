// SPDX-License-Identifier: BSD-3-Clause
#include "ta/process/ta_space.h"

#include <sys/mman.h>
#include <sys/random.h>

#include <algorithm>
#include <cstring>

#include "base/checked.h"

namespace vtee::ta {
namespace {

using runner::kPage;
using runner::kRegionExecute;
using runner::kRegionPrivate;
using runner::kRegionRead;
using runner::kRegionWrite;

// Where a region lies in its gap is random, so that addresses cannot be told in advance.
std::uint64_t RandomBelow(std::uint64_t limit) {
  std::uint64_t value = 0;
  if (limit <= 1 || getrandom(&value, sizeof(value), GRND_NONBLOCK) != sizeof(value)) return 0;
  return value % limit;
}

std::uint64_t Protection(std::uint32_t flags) {
  std::uint64_t protection = PROT_NONE;
  if ((flags & kRegionRead) != 0) protection |= PROT_READ;
  if ((flags & kRegionWrite) != 0) protection |= PROT_WRITE;
  if ((flags & kRegionExecute) != 0) protection |= PROT_EXEC;
  return protection;
}

}  // namespace

TaSpace::TaSpace(RunnerProcess& process, std::uint64_t private_limit)
    : process_(process), private_limit_(private_limit) {}

std::optional<TaSpace::Address> TaSpace::FindGap(Address low, Address high, std::uint64_t size,
                                                 std::uint64_t before, std::uint64_t after) const {
  // No more than this of randomness, as OP-TEE's CFG_CORE_ASLR of TAs has: larger spreads waste
  // page tables.
  constexpr std::uint64_t kMostPages = 128;
  const auto wanted = CheckedAdd(size, before);
  const auto all = wanted ? CheckedAdd(*wanted, after) : std::nullopt;
  if (!all || *all > high - low) return std::nullopt;
  Address at = low;
  for (std::size_t i = 0; i <= regions_.size(); ++i) {
    const Address end = i < regions_.size() ? std::min<Address>(regions_[i].start, high) : high;
    if (end > at && end - at >= *all) {
      const std::uint64_t spare = (end - at - *all) / kPage;
      return at + before + RandomBelow(std::min(spare + 1, kMostPages)) * kPage;
    }
    if (i < regions_.size()) at = std::max(at, regions_[i].end + kPage);
    if (at >= high) break;
  }
  return std::nullopt;
}

std::optional<TaSpace::Address> TaSpace::Allocate(Zone zone, std::uint64_t size,
                                                  std::uint32_t flags) {
  return AllocateWithGaps(zone, size, kPage, kPage, flags);
}

std::optional<TaSpace::Address> TaSpace::AllocateWithGaps(Zone zone, std::uint64_t size,
                                                          std::uint64_t gap_before,
                                                          std::uint64_t gap_after,
                                                          std::uint32_t flags) {
  const auto pages = CheckedRoundUp<std::uint64_t>(size, kPage);
  const auto before = CheckedRoundUp<std::uint64_t>(std::max(gap_before, kPage), kPage);
  const auto after = CheckedRoundUp<std::uint64_t>(std::max(gap_after, kPage), kPage);
  if (!pages || !before || !after || *pages == 0) return std::nullopt;
  const bool own = (flags & kRegionPrivate) != 0;
  if (own && *pages > private_limit_ - private_bytes_) return std::nullopt;
  // Splitting may add two regions; the runner's copy must have room for all.
  if (regions_.size() + 4 > runner::kMaxRegions) return std::nullopt;
  const Address arena_end = process_.arena().end();
  const bool low = zone == Zone::kModules;
  const auto start =
      FindGap(low ? runner::kFirstFreeAddress : std::min(runner::kModulesEnd, arena_end),
              low ? std::min(runner::kModulesEnd, arena_end) : arena_end, *pages, *before, *after);
  if (!start) return std::nullopt;
  const runner::Region region{*start, *start + *pages, flags, 0};
  regions_.insert(std::upper_bound(regions_.begin(), regions_.end(), region,
                                   [](const auto& a, const auto& b) { return a.start < b.start; }),
                  region);
  if (own) private_bytes_ += *pages;
  changes_.push_back({*start, *pages, flags});
  return start;
}

bool TaSpace::SetFlags(Address start, std::uint64_t size, std::uint32_t flags) {
  const auto end = CheckedAdd(start, size);
  if (!end || size == 0 || start % kPage != 0 || size % kPage != 0) return false;
  const auto found = std::find_if(regions_.begin(), regions_.end(), [&](const auto& region) {
    return start >= region.start && *end <= region.end;
  });
  if (found == regions_.end()) return false;
  const runner::Region old = *found;
  std::vector<runner::Region> parts;
  if (old.start < start) parts.push_back({old.start, start, old.flags, 0});
  parts.push_back({start, *end, flags, 0});
  if (*end < old.end) parts.push_back({*end, old.end, old.flags, 0});
  if (regions_.size() + parts.size() > runner::kMaxRegions) return false;
  regions_.insert(regions_.erase(found), parts.begin(), parts.end());
  changes_.push_back({start, size, flags});
  return true;
}

bool TaSpace::Free(Address start, std::uint64_t size) {
  const auto pages = CheckedRoundUp<std::uint64_t>(size, kPage);
  if (!pages) return false;
  const auto found = std::find_if(regions_.begin(), regions_.end(), [&](const auto& region) {
    return region.start == start && region.end - start == *pages;
  });
  if (found == regions_.end()) return false;
  if ((found->flags & kRegionPrivate) != 0) private_bytes_ -= *pages;
  regions_.erase(found);
  process_.arena().Discard(start, *pages);
  changes_.push_back({start, *pages, 0});
  return true;
}

void TaSpace::Publish() const {
  runner::Channel& channel = process_.arena().channel();
  std::copy(regions_.begin(), regions_.end(), channel.regions);
  channel.region_count = static_cast<std::uint32_t>(regions_.size());
}

// A module is placed as a whole first, then each of its segments gets its rights: only the last
// change of a page counts.
std::vector<TaSpace::Change> TaSpace::Pending() const {
  std::vector<Change> last;
  for (auto change = changes_.rbegin(); change != changes_.rend(); ++change) {
    std::vector<Change> parts{*change};
    for (const Change& later : last) {
      std::vector<Change> left;
      for (const Change& part : parts) {
        const Address end = part.start + part.size;
        const Address later_end = later.start + later.size;
        if (later.start > part.start) {
          left.push_back({part.start, std::min(end, later.start) - part.start, part.flags});
        }
        if (later_end < end) {
          const Address start = std::max(part.start, later_end);
          left.push_back({start, end - start, part.flags});
        }
      }
      parts = std::move(left);
    }
    last.insert(last.end(), parts.begin(), parts.end());
  }
  return last;
}

bool TaSpace::Apply() {
  if (changes_.empty()) return !process_.dead();
  runner::Channel& channel = process_.arena().channel();
  const std::vector<Change> pending = Pending();
  for (std::size_t done = 0; done < pending.size();) {
    const std::size_t count = std::min(pending.size() - done, runner::kMaxProtections);
    for (std::size_t i = 0; i < count; ++i) {
      const Change& change = pending[done + i];
      channel.protections[i] = {change.start, change.size, Protection(change.flags)};
    }
    channel.args[0] = count;
    if (!process_.Exchange(runner::Request::kProtect) || channel.args[0] != 0) return false;
    done += count;
  }
  changes_.clear();
  Publish();
  return true;
}

std::optional<std::span<const std::byte>> TaSpace::ViewIn(Address address,
                                                          std::uint64_t size) const {
  if (size == 0) return std::span<const std::byte>();
  if (!Allows(runner::kAccessRead | runner::kAccessAnyOwner, address, size)) return std::nullopt;
  return Raw(address, size);
}

std::optional<std::span<std::byte>> TaSpace::ViewOut(Address address, std::uint64_t size) const {
  if (size == 0) return std::span<std::byte>();
  constexpr auto kWanted = runner::kAccessRead | runner::kAccessWrite | runner::kAccessAnyOwner;
  if (!Allows(kWanted, address, size)) return std::nullopt;
  return Raw(address, size);
}

bool TaSpace::Read(Address address, std::span<std::byte> out) const {
  const auto view = ViewIn(address, out.size());
  if (!view) return false;
  if (!out.empty()) std::memcpy(out.data(), view->data(), out.size());
  return true;
}

bool TaSpace::Write(Address address, std::span<const std::byte> bytes) const {
  const auto view = ViewOut(address, bytes.size());
  if (!view) return false;
  if (!bytes.empty()) std::memcpy(view->data(), bytes.data(), bytes.size());
  return true;
}

bool TaSpace::ReadPrivate(Address address, std::span<std::byte> out) const {
  return Allows(runner::kAccessRead, address, out.size()) && Read(address, out);
}

bool TaSpace::WritePrivate(Address address, std::span<const std::byte> bytes) const {
  return Allows(runner::kAccessRead | runner::kAccessWrite, address, bytes.size()) &&
         Write(address, bytes);
}

}  // namespace vtee::ta
