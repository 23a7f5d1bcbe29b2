// SPDX-License-Identifier: BSD-3-Clause
// The guest's memory as the VMM lays it out, and the only way to its bytes.
//
// The VMM reports its KVM memory slots; each slot that is a shared file mapping (a memfd) is
// mapped here too, and others are reached through RemoteMemory, which is slower. Everything a guest
// wrote is fetched exactly once through Snapshot() into private memory and only then checked: the
// guest rewrites its memory while it is read, and even a plain struct copy may be re-read by the
// compiler. Publish() is the way back.
//
// Threading: all methods, any thread, also while the VMM changes slots: a reader sees the table
// as it was at one instant, and memory of a removed slot stays mapped until its last user is
// done. Snapshot() and Publish() do not allocate, make no system call of their own unless the slot
// is remote, and hold the table's lock for a pointer copy only. Their thread must not block SIGBUS
// or SIGSEGV.
// Ownership: the object owns its mappings. A page that vanishes (hole punched, file truncated)
// is MemFault::kVanished for that access and harms nothing else; InstallFaultHandler() first.
// Not supported: MMIO.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <type_traits>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "guest/address.h"
#include "guest/remote_memory.h"

namespace vtee::guest {

using SlotId = StrongId<struct SlotIdTag, std::uint32_t>;

struct SlotSpec {
  SlotId id;
  GuestPhysAddr base;
  std::uint64_t size = 0;         // bytes, a multiple of 4 KiB, not 0, at most 2^40
  std::uint64_t file_offset = 0;  // of the slot's first byte in its file
  bool read_only = false;
};

inline constexpr std::uint64_t kMaxSlotBytes = std::uint64_t{1} << 40;
inline constexpr std::uint64_t kMaxGuestPhys = std::uint64_t{1} << 52;  // one past the last IPA
inline constexpr std::size_t kMaxSlots = 32768;                         // KVM's own bound

// The way to one slot's bytes; shared by the table and by every buffer that uses it.
class SlotMapping;

// A run of guest memory that is contiguous in one slot: what a zero-copy window maps.
struct FileRun {
  std::shared_ptr<const SlotMapping> slot;
  std::uint64_t slot_offset = 0;  // bytes from the slot's start
  std::uint64_t size = 0;         // bytes
};

class GuestMemory {
 public:
  GuestMemory();
  ~GuestMemory();
  GuestMemory(const GuestMemory&) = delete;
  GuestMemory& operator=(const GuestMemory&) = delete;

  // Adds the slot, or replaces the one with its id, at once for every reader. `file` may be
  // invalid: then the slot exists but its bytes are kNotMapped. Overlaps with other slots are
  // refused, as KVM refuses them. A refused slot changes nothing.
  Status SetSlot(const SlotSpec& spec, UniqueFd file);
  // The same for a slot whose bytes only `remote` reaches, as its region `region`.
  Status SetRemoteSlot(const SlotSpec& spec, std::shared_ptr<RemoteMemory> remote,
                       std::uint64_t region);
  void RemoveSlot(SlotId id);
  void RemoveAll();

  // Copies out.size() bytes from guest memory, each byte of which is read once (what that means
  // in detail: guest/snapshot_unsafe.h and guest/remote_memory.h). The range may cross adjacent
  // slots. On a fault `out`
  // holds no meaning. Publish() to a range that is not all writable guest memory writes nothing;
  // only kVanished may come after a part was written. Zero bytes anywhere succeed.
  [[nodiscard]] MemFault Snapshot(GuestPhysAddr from, std::span<std::byte> out) const;
  [[nodiscard]] MemFault Publish(GuestPhysAddr to, std::span<const std::byte> bytes) const;

  template <typename T>
  [[nodiscard]] MemFault SnapshotObject(GuestPhysAddr from, T& out) const {
    static_assert(std::is_trivially_copyable_v<T>);
    return Snapshot(from, std::as_writable_bytes(std::span(&out, 1)));
  }

  // Appends the file runs behind [base, base + size) to `runs`, merging neighbours.
  [[nodiscard]] MemFault Resolve(GuestPhysAddr base, std::uint64_t size,
                                 std::vector<FileRun>& runs) const;

  // The same for 4 KiB pages in list order, all against the table of one instant. An address
  // that is not a multiple of 4 KiB is kBadList. After a fault `runs` holds the part before it.
  [[nodiscard]] MemFault ResolvePages(std::span<const GuestPhysAddr> pages,
                                      std::vector<FileRun>& runs) const;

 private:
  struct Table;
  std::shared_ptr<const Table> Current() const;
  void Swap(std::shared_ptr<const Table> next);
  Status Insert(const SlotSpec& spec, std::shared_ptr<const SlotMapping> mapping);

  std::mutex write_mutex_;    // one writer at a time
  mutable std::mutex mutex_;  // table_: held for a pointer copy or swap
  std::shared_ptr<const Table> table_;
};

// Makes accesses to vanished guest pages fail with kVanished instead of killing the process.
// Installs a process-wide SIGBUS/SIGSEGV handler; faults outside Snapshot/Publish/buffer copies
// go to the handler that was there before, or to the default action. Call before the first guest
// access; more calls change nothing. Not supported: threads that block these two signals, and a
// handler installed later that does not pass foreign faults on.
Status InstallFaultHandler();

}  // namespace vtee::guest
