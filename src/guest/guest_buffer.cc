// SPDX-License-Identifier: BSD-3-Clause
#include "guest/guest_buffer.h"

#include <algorithm>
#include <utility>

#include "base/checked.h"
#include "guest/mapped_window.h"
#include "guest/piece_copier.h"
#include "guest/slot_mapping.h"

namespace vtee::guest {

GuestBuffer::GuestBuffer(std::vector<FileRun> runs, std::uint64_t size)
    : runs_(std::move(runs)), size_(size) {
  run_start_.reserve(runs_.size());
  std::uint64_t start = 0;
  for (const FileRun& run : runs_) {
    run_start_.push_back(start);
    start += run.size;
  }
}

MemFault GuestBuffer::FromPages(const GuestMemory& memory, std::span<const GuestPhysAddr> pages,
                                std::uint64_t offset, std::uint64_t size,
                                std::shared_ptr<const GuestBuffer>& out) {
  out.reset();
  if (offset >= kPageSize) return MemFault::kBadList;
  if (!RangeInside(offset, size, pages.size() * kPageSize)) return MemFault::kBadList;
  std::vector<FileRun> runs;
  if (size != 0) {
    const std::uint64_t count = (offset + size + kPageSize - 1) / kPageSize;
    const MemFault fault = memory.ResolvePages(pages.first(count), runs);
    if (fault != MemFault::kNone) return fault;
    // Both cuts are shorter than a page, and each run has at least one.
    runs.front().slot_offset += offset;
    runs.front().size -= offset;
    runs.back().size -= count * kPageSize - offset - size;
    runs.shrink_to_fit();
  }
  out.reset(new GuestBuffer(std::move(runs), size));
  return MemFault::kNone;
}

MemFault GuestBuffer::FromRange(const GuestMemory& memory, GuestPhysAddr base, std::uint64_t size,
                                std::shared_ptr<const GuestBuffer>& out) {
  out.reset();
  std::vector<FileRun> runs;
  const MemFault fault = memory.Resolve(base, size, runs);
  if (fault != MemFault::kNone) return fault;
  out.reset(new GuestBuffer(std::move(runs), size));
  return MemFault::kNone;
}

// Calls copy(slot, offset in slot, bytes) for each run's part of the range,
// in order, until it returns false.
template <typename Copy>
bool GuestBuffer::ForEachPiece(std::uint64_t offset, std::uint64_t size, Copy copy) const {
  if (!RangeInside(offset, size, size_)) return false;
  if (size == 0) return true;
  const auto after = std::upper_bound(run_start_.begin(), run_start_.end(), offset);
  auto index = static_cast<std::size_t>(after - run_start_.begin()) - 1;
  for (std::uint64_t done = 0; done < size; ++index) {
    const FileRun& run = runs_[index];
    const std::uint64_t skip = offset + done - run_start_[index];
    const std::uint64_t piece = std::min(size - done, run.size - skip);
    if (!copy(*run.slot, run.slot_offset + skip, piece)) return false;
    done += piece;
  }
  return true;
}

bool GuestBuffer::Read(std::uint64_t offset, std::span<std::byte> out) const {
  VTEE_PIECE_COPIER PieceCopier<CopyDirection::kFromGuest> copier(out.data());
  return ForEachPiece(offset, out.size(),
                      [&](const SlotMapping& slot, std::uint64_t in_slot, std::uint64_t piece) {
                        return copier.Copy(slot, in_slot, piece);
                      }) &&
         copier.Flush();
}

bool GuestBuffer::Write(std::uint64_t offset, std::span<const std::byte> bytes) const {
  const bool writable = ForEachPiece(
      offset, bytes.size(),
      [](const SlotMapping& slot, std::uint64_t, std::uint64_t) { return !slot.read_only(); });
  if (!writable) return false;
  VTEE_PIECE_COPIER PieceCopier<CopyDirection::kToGuest> copier(bytes.data());
  return ForEachPiece(offset, bytes.size(),
                      [&](const SlotMapping& slot, std::uint64_t in_slot, std::uint64_t piece) {
                        return copier.Copy(slot, in_slot, piece);
                      }) &&
         copier.Flush();
}

Result<std::unique_ptr<tee::MappedWindow>> GuestBuffer::Map() const {
  return MapRuns(runs_, size_);
}

}  // namespace vtee::guest
