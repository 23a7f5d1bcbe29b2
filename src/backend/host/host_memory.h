// SPDX-License-Identifier: BSD-3-Clause
// HostMemory: guest memory as the host's TEE device knows it.
//
// Zero copy: the guest's pages are mapped as one range, registered (TEE_IOC_SHM_REGISTER pins the
// pages and tells the TEE their physical addresses) and unmapped again: the kernel looks at the
// mapping only while registering (drivers/tee/tee_shm.c; the optee driver's memory-type check is
// then too), the pins live until the descriptor closes. The registration is always read-write.
// Copy: a buffer of the TEE's own, for memory that cannot be mapped or pinned (private to the VMM
// or to a protected VM, read-only, smaller pages than the host's, so scattered that the process has
// no mappings left for it). Each call copies its ranges in before and its outputs out after; output
// ranges go in as well, so that bytes which the TA does not write stay what they were, as they do
// without a copy.
// Copy while small and new: most references are a few bytes of a buffer that a guest registers for
// one call and drops. Registering such a buffer costs two calls into the TEE, each as long as the
// guest's own; copying it costs next to nothing. So with Modes::copy_below, a reference below that
// size is copied through memory that is shared once and for all, until its buffer has been used
// kCopiesBeforeSharing times; then the buffer is registered after all. Larger references are copied
// too if the buffer is scattered: its pages would be mapped one by one, which takes longer than
// copying them a few times. Their copy is a buffer of the TEE's for that one call
// (kLargeCopiesBeforeSharing times). The GlobalPlatform client API allows all of it
// (TEEC_InvokeCommand: contents are synchronised at its begin and end).
//
// Threading: const methods, any thread. Ownership: a HostMemory owns its device descriptor until
// it is destroyed or its registry revokes it, after which it stands for nothing (valid() false).
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <unordered_set>
#include <utility>
#include <vector>

#include "backend/host/tee_device.h"
#include "base/result.h"
#include "tee/session_tee.h"
#include "tee/shared_memory.h"

namespace vtee::backend {

class MemoryRegistry;

// What the kernel gave us for one piece of memory.
struct ShmResource {
  int fd = -1;
  std::int32_t id = -1;
  std::byte* bounce = nullptr;  // null: zero copy
  std::size_t bounce_size = 0;
};

// Room for the memory references of one call that are copied; given back on destruction.
// Threading: one call's own.
class CopySlots {
 public:
  static constexpr std::uint64_t kSlotBytes =
      std::uint64_t{16} * 1024;  // the largest reference that is copied

  CopySlots() = default;
  CopySlots(const CopySlots&) = delete;
  CopySlots& operator=(const CopySlots&) = delete;
  ~CopySlots();

  // Makes room, once. False: the TEE has no memory to share for it.
  bool Obtain(const std::shared_ptr<MemoryRegistry>& registry);
  std::int32_t shm_id() const { return set_.id; }
  static std::uint64_t Offset(std::size_t slot) { return slot * kSlotBytes; }
  // Marks the first `size` bytes of a slot as used: they are wiped in the end.
  std::span<std::byte> Use(std::size_t slot, std::uint64_t size);
  // Makes memory of `size` bytes for one reference, in place of its slot: its bytes and shm id.
  // No bytes: there is none.
  std::pair<std::span<std::byte>, std::int32_t> Borrow(
      const std::shared_ptr<MemoryRegistry>& registry, std::size_t slot, std::uint64_t size);

 private:
  std::shared_ptr<MemoryRegistry> registry_;  // with a set
  ShmResource set_;
  std::array<std::uint64_t, tee::kMaxParams> used_{};
  std::shared_ptr<MemoryRegistry> lender_;  // with anything borrowed
  std::array<ShmResource, tee::kMaxParams> borrowed_{};
};

// Where the TEE finds a call's memory reference.
struct Placement {
  std::int32_t shm_id = -1;
  std::uint64_t offset = 0;
  std::byte* copy = nullptr;  // not null: copied there, for this call only
};

class HostMemory final : public tee::RegisteredMemory {
 public:
  static constexpr std::uint32_t kCopiesBeforeSharing = 8;
  static constexpr std::uint32_t kLargeCopiesBeforeSharing = 4;
  // Scattered: as many pieces, of less than so many bytes on average. Where copying begins to be
  // quicker, docs/performance.md.
  static constexpr std::uint64_t kScatteredPieces = 8;
  static constexpr std::uint64_t kScatteredPieceBytes = std::uint64_t{12} * 1024;

  // Without a resource: it is made when a call needs it, or given by the registry.
  HostMemory(std::shared_ptr<MemoryRegistry> registry,
             std::shared_ptr<const tee::SharedMemory> guest);
  ~HostMemory() override;
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;

  std::uint64_t size() const override { return size_; }
  bool valid() const { return !revoked_.load(std::memory_order_acquire); }
  bool copies() const { return resource_.bounce != nullptr; }
  std::int32_t shm_id() const { return resource_.id; }

  // Decides how a call's range, which must lie in the memory, reaches the TEE; makes what that
  // takes. kOutOfMemory and the like when it cannot.
  std::uint32_t Place(std::uint64_t offset, std::uint64_t size, std::size_t slot, CopySlots& slots,
                      Placement& place) const;
  // Before and after the call; nothing to do and true where the TEE sees the guest's own pages.
  // False: the guest's memory has vanished.
  bool CopyIn(const Placement& place, std::uint64_t offset, std::uint64_t size) const;
  bool CopyOut(const Placement& place, std::uint64_t offset, std::uint64_t size) const;

 private:
  friend class MemoryRegistry;

  std::uint32_t EnsureResource() const;
  std::byte* Copy(const Placement& place, std::uint64_t offset) const;
  bool PlaceCopy(std::uint64_t size, std::size_t slot, CopySlots& slots, Placement& place) const;

  const std::shared_ptr<MemoryRegistry> registry_;
  // Written once under making_, then constant until the registry takes it away.
  mutable ShmResource resource_;
  mutable std::atomic<bool> made_{false};
  mutable std::mutex making_;
  mutable std::atomic<std::uint32_t> uses_{0};
  std::atomic<bool> revoked_{false};  // set under the registry's mutex
  const std::shared_ptr<const tee::SharedMemory> guest_;
  const std::uint64_t size_;
  const bool scattered_;
};

// All memory of one VM on one device: makes it, and can take all of it away at once.
// Threading: any thread; RevokeAll() only when no call of the VM runs.
class MemoryRegistry : public std::enable_shared_from_this<MemoryRegistry> {
 public:
  struct Modes {
    bool zero_copy = true;           // may use TEE_IOC_SHM_REGISTER on guest memory
    bool register_supported = true;  // the TEE has it at all
    // References of fewer bytes are copied while their buffer is new; 0: none,
    // at most CopySlots::kSlotBytes.
    std::uint64_t copy_below = 0;
  };
  MemoryRegistry(std::shared_ptr<TeeDevice> device, Modes modes);
  ~MemoryRegistry();
  MemoryRegistry(const MemoryRegistry&) = delete;
  MemoryRegistry& operator=(const MemoryRegistry&) = delete;

  Result<std::unique_ptr<tee::RegisteredMemory>> Register(
      std::shared_ptr<const tee::SharedMemory> memory);
  void RevokeAll();
  std::size_t count() const;
  // Buffers that are copied because the process had no mappings left for them, so far.
  std::uint64_t copied_for_mappings() const {
    return copied_for_mappings_.load(std::memory_order_relaxed);
  }

 private:
  friend class HostMemory;
  friend class CopySlots;

  bool Lazy() const {
    return modes_.copy_below != 0 && modes_.zero_copy && modes_.register_supported;
  }
  Result<ShmResource> MakeResource(const tee::SharedMemory& memory);
  // Hands a resource made late to its memory; false: it has been revoked meanwhile.
  bool Keep(const HostMemory& memory, const ShmResource& resource);
  bool TakeCopySet(ShmResource& set);
  void GiveCopySet(const ShmResource& set);
  void FreeCopySets();

  Result<ShmResource> RegisterWindow(const tee::SharedMemory& memory, bool& try_copy);
  Result<ShmResource> MakeBounce(std::uint64_t size);
  Result<ShmResource> AllocateFromTee(std::uint64_t size, bool& exhausted);
  Result<ShmResource> RegisterOwnMemory(std::uint64_t size);
  int RegisterRange(void* address, std::uint64_t size, ShmResource& resource);
  void Free(const ShmResource& resource);
  void Remove(HostMemory* memory);

  const std::shared_ptr<TeeDevice> device_;
  const Modes modes_;
  mutable std::mutex mutex_;
  std::unordered_set<HostMemory*> live_;
  std::vector<ShmResource> copy_sets_;  // that no call uses
  std::atomic<std::uint64_t> copied_for_mappings_{0};
};

}  // namespace vtee::backend
