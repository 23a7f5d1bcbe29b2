// SPDX-License-Identifier: BSD-3-Clause
#include "guest/guest_memory.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <utility>

#include "base/checked.h"
#include "guest/mapped_window.h"
#include "guest/piece_copier.h"
#include "guest/slot_mapping.h"

namespace vtee::guest {
namespace {

struct Slot {
  std::uint64_t base = 0;
  std::uint64_t size = 0;
  SlotId id;
  bool read_only = false;
  std::shared_ptr<const SlotMapping> mapping;  // null: not mapped
};

bool Overlap(const Slot& a, const Slot& b) {
  return a.base < b.base + b.size && b.base < a.base + a.size;  // both end at or below 2^52
}

// Does [base, base + size) pass the last address? Ending exactly at 2^64 does not.
bool Wraps(std::uint64_t base, std::uint64_t size) {
  return size != 0 && size - 1 > std::numeric_limits<std::uint64_t>::max() - base;
}

Status CheckSpec(const SlotSpec& spec) {
  const std::uint64_t base = spec.base.value();
  if (spec.size == 0 || (spec.size | base | spec.file_offset) % kPageSize != 0) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("memory slot {}: address {:#x}, size {:#x} and file offset {:#x} must "
                             "be multiples of 4096, and the size not 0",
                             spec.id.value(), base, spec.size, spec.file_offset)};
  }
  if (spec.size > kMaxSlotBytes || !RangeInside(base, spec.size, kMaxGuestPhys)) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("memory slot {}: size {:#x} at address {:#x} is more than 2^40 bytes "
                             "or passes the end of a 52-bit address space",
                             spec.id.value(), spec.size, base)};
  }
  return {};
}

void AppendRun(const Slot& slot, std::uint64_t offset, std::uint64_t size,
               std::vector<FileRun>& runs) {
  if (!runs.empty()) {
    FileRun& last = runs.back();
    if (last.slot == slot.mapping && last.slot_offset + last.size == offset) {
      last.size += size;
      return;
    }
  }
  runs.push_back({slot.mapping, offset, size});
}

}  // namespace

struct GuestMemory::Table {
  std::vector<Slot> slots;  // by base; no overlaps

  const Slot* Find(std::uint64_t address) const {
    const auto after =
        std::upper_bound(slots.begin(), slots.end(), address,
                         [](std::uint64_t a, const Slot& slot) { return a < slot.base; });
    if (after == slots.begin()) return nullptr;
    const Slot& slot = *std::prev(after);
    return address - slot.base < slot.size ? &slot : nullptr;
  }

  // Calls visit(slot, offset in slot, bytes) for each slot's part of the range, in order, until
  // it returns a fault.
  template <typename Visit>
  MemFault Walk(std::uint64_t address, std::uint64_t size, Visit visit) const {
    if (Wraps(address, size)) return MemFault::kWraps;
    while (size > 0) {
      const Slot* slot = Find(address);
      if (slot == nullptr) return MemFault::kNoSlot;
      if (slot->mapping == nullptr) return MemFault::kNotMapped;
      const std::uint64_t offset = address - slot->base;
      const std::uint64_t piece = std::min(size, slot->size - offset);
      const MemFault fault = visit(*slot, offset, piece);
      if (fault != MemFault::kNone) return fault;
      address += piece;
      size -= piece;
    }
    return MemFault::kNone;
  }
};

const char* MemFaultName(MemFault fault) {
  switch (fault) {
    case MemFault::kNone:
      return "none";
    case MemFault::kNoSlot:
      return "no-slot";
    case MemFault::kWraps:
      return "wraps";
    case MemFault::kReadOnly:
      return "read-only";
    case MemFault::kVanished:
      return "vanished";
    case MemFault::kNotMapped:
      return "not-mapped";
    case MemFault::kBadList:
      return "bad-list";
  }
  return "unknown";
}

GuestMemory::GuestMemory() : table_(std::make_shared<const Table>()) {
  WindowMappingLimit();  // reads /proc once, while that is surely still allowed
}
GuestMemory::~GuestMemory() = default;

std::shared_ptr<const GuestMemory::Table> GuestMemory::Current() const {
  const std::lock_guard lock(mutex_);
  return table_;
}

void GuestMemory::Swap(std::shared_ptr<const Table> next) {
  {
    const std::lock_guard lock(mutex_);
    table_.swap(next);
  }
  // The old table dies here or with its last reader: unmapping is slow and needs no lock.
}

Status GuestMemory::SetSlot(const SlotSpec& spec, UniqueFd file) {
  VTEE_TRY(CheckSpec(spec));
  std::shared_ptr<const SlotMapping> mapping;
  if (file.valid()) {
    VTEE_ASSIGN_OR_RETURN(mapping, SlotMapping::Create(spec, std::move(file)));
  }
  return Insert(spec, std::move(mapping));
}

Status GuestMemory::SetRemoteSlot(const SlotSpec& spec, std::shared_ptr<RemoteMemory> remote,
                                  std::uint64_t region) {
  VTEE_TRY(CheckSpec(spec));
  return Insert(spec, SlotMapping::CreateRemote(spec, std::move(remote), region));
}

Status GuestMemory::Insert(const SlotSpec& spec, std::shared_ptr<const SlotMapping> mapping) {
  Slot slot{spec.base.value(), spec.size, spec.id, spec.read_only, std::move(mapping)};
  const std::lock_guard lock(write_mutex_);
  auto next = std::make_shared<Table>(*Current());
  std::erase_if(next->slots, [&](const Slot& old) { return old.id == spec.id; });
  if (next->slots.size() >= kMaxSlots) {
    return Error{ErrorCode::kResourceExhausted,
                 fmt::format("memory slot {}: a guest can have at most {} slots", spec.id.value(),
                             kMaxSlots)};
  }
  for (const Slot& other : next->slots) {
    if (!Overlap(slot, other)) continue;
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("memory slot {} at {:#x} (size {:#x}) overlaps slot {} at {:#x} (size "
                             "{:#x}); remove or move that one first",
                             spec.id.value(), slot.base, slot.size, other.id.value(), other.base,
                             other.size)};
  }
  const auto place = std::upper_bound(next->slots.begin(), next->slots.end(), slot,
                                      [](const Slot& a, const Slot& b) { return a.base < b.base; });
  next->slots.insert(place, std::move(slot));
  Swap(std::move(next));
  return {};
}

void GuestMemory::RemoveSlot(SlotId id) {
  const std::lock_guard lock(write_mutex_);
  auto next = std::make_shared<Table>(*Current());
  std::erase_if(next->slots, [&](const Slot& slot) { return slot.id == id; });
  Swap(std::move(next));
}

void GuestMemory::RemoveAll() {
  const std::lock_guard lock(write_mutex_);
  Swap(std::make_shared<const Table>());
}

MemFault GuestMemory::Snapshot(GuestPhysAddr from, std::span<std::byte> out) const {
  const std::shared_ptr<const Table> table = Current();
  VTEE_PIECE_COPIER PieceCopier<CopyDirection::kFromGuest> copier(out.data());
  const MemFault fault = table->Walk(
      from.value(), out.size(), [&](const Slot& slot, std::uint64_t offset, std::uint64_t piece) {
        return copier.Copy(*slot.mapping, offset, piece) ? MemFault::kNone : MemFault::kVanished;
      });
  if (fault != MemFault::kNone) return fault;
  return copier.Flush() ? MemFault::kNone : MemFault::kVanished;
}

MemFault GuestMemory::Publish(GuestPhysAddr to, std::span<const std::byte> bytes) const {
  const std::shared_ptr<const Table> table = Current();
  const MemFault refused =
      table->Walk(to.value(), bytes.size(), [](const Slot& slot, std::uint64_t, std::uint64_t) {
        return slot.read_only ? MemFault::kReadOnly : MemFault::kNone;
      });
  if (refused != MemFault::kNone) return refused;
  VTEE_PIECE_COPIER PieceCopier<CopyDirection::kToGuest> copier(bytes.data());
  const MemFault fault = table->Walk(
      to.value(), bytes.size(), [&](const Slot& slot, std::uint64_t offset, std::uint64_t piece) {
        return copier.Copy(*slot.mapping, offset, piece) ? MemFault::kNone : MemFault::kVanished;
      });
  if (fault != MemFault::kNone) return fault;
  return copier.Flush() ? MemFault::kNone : MemFault::kVanished;
}

MemFault GuestMemory::Resolve(GuestPhysAddr base, std::uint64_t size,
                              std::vector<FileRun>& runs) const {
  return Current()->Walk(base.value(), size,
                         [&](const Slot& slot, std::uint64_t offset, std::uint64_t piece) {
                           AppendRun(slot, offset, piece, runs);
                           return MemFault::kNone;
                         });
}

MemFault GuestMemory::ResolvePages(std::span<const GuestPhysAddr> pages,
                                   std::vector<FileRun>& runs) const {
  const std::shared_ptr<const Table> table = Current();
  for (const GuestPhysAddr page : pages) {
    if (page.value() % kPageSize != 0) return MemFault::kBadList;
    // Slots are whole pages, so a page lies in one slot.
    const MemFault fault = table->Walk(
        page.value(), kPageSize, [&](const Slot& slot, std::uint64_t offset, std::uint64_t piece) {
          AppendRun(slot, offset, piece, runs);
          return MemFault::kNone;
        });
    if (fault != MemFault::kNone) return fault;
  }
  return MemFault::kNone;
}

}  // namespace vtee::guest
