// SPDX-License-Identifier: BSD-3-Clause
// HostMemory: guest memory as the host's TEE device knows it.
//
// Zero copy: the guest's pages are mapped as one range, registered (TEE_IOC_SHM_REGISTER pins the
// pages and tells the TEE their physical addresses) and unmapped again: the kernel looks at the
// mapping only while registering (drivers/tee/tee_shm.c; the optee driver's memory-type check is
// then too), the pins live until the descriptor closes. The registration is always read-write.
// Copy: a buffer of the TEE's own, for memory that cannot be mapped or pinned (private to a
// protected VM, read-only, smaller pages than the host's). Each call copies its ranges in before
// and its outputs out after; output ranges go in as well, so that bytes which the TA does not
// write stay what they were, as they do without a copy.
//
// Threading: const methods, any thread. Ownership: a HostMemory owns its device descriptor until
// it is destroyed or its registry revokes it, after which it stands for nothing (valid() false).
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_set>

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

class HostMemory final : public tee::RegisteredMemory {
 public:
  HostMemory(std::shared_ptr<MemoryRegistry> registry, ShmResource resource,
             std::shared_ptr<const tee::SharedMemory> guest);
  ~HostMemory() override;
  HostMemory(const HostMemory&) = delete;
  HostMemory& operator=(const HostMemory&) = delete;

  std::uint64_t size() const override { return size_; }
  bool valid() const { return resource_.fd >= 0; }
  bool copies() const { return resource_.bounce != nullptr; }
  std::int32_t shm_id() const { return resource_.id; }

  // Copy mode only (zero copy: nothing to do, true). The range must lie in the memory. False:
  // the guest's memory has vanished.
  bool CopyIn(std::uint64_t offset, std::uint64_t size) const;
  bool CopyOut(std::uint64_t offset, std::uint64_t size) const;

 private:
  friend class MemoryRegistry;

  std::shared_ptr<MemoryRegistry> registry_;
  ShmResource resource_;  // guarded by the registry for taking it away
  std::shared_ptr<const tee::SharedMemory> guest_;
  std::uint64_t size_;
};

// All memory of one VM on one device: makes it, and can take all of it away at once.
// Threading: any thread; RevokeAll() only when no call of the VM runs.
class MemoryRegistry : public std::enable_shared_from_this<MemoryRegistry> {
 public:
  struct Modes {
    bool zero_copy = true;           // may use TEE_IOC_SHM_REGISTER on guest memory
    bool register_supported = true;  // the TEE has it at all
  };
  MemoryRegistry(std::shared_ptr<TeeDevice> device, Modes modes);

  Result<std::unique_ptr<tee::RegisteredMemory>> Register(
      std::shared_ptr<const tee::SharedMemory> memory);
  void RevokeAll();
  std::size_t count() const;

 private:
  friend class HostMemory;

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
};

}  // namespace vtee::backend
