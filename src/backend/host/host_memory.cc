// SPDX-License-Identifier: BSD-3-Clause
#include "backend/host/host_memory.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "backend/host/host_errors.h"
#include "backend/host/tee_uapi.h"
#include "base/checked.h"
#include "base/log.h"
#include "base/memory.h"

namespace vtee::backend {
namespace {

std::optional<std::uint64_t> RoundToPages(std::uint64_t size) {
  return CheckedRoundUp<std::uint64_t>(size, static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));
}

Error MemoryError(int err, std::string_view what) {
  Error error = ErrnoError(err, what);
  if (err == ENOMEM || err == ENOSPC) error.code = ErrorCode::kResourceExhausted;
  return error;
}

}  // namespace

HostMemory::HostMemory(std::shared_ptr<MemoryRegistry> registry,
                       std::shared_ptr<const tee::SharedMemory> guest)
    : registry_(std::move(registry)),
      guest_(std::move(guest)),
      size_(guest_->size()),
      scattered_(guest_->pieces() >= kScatteredPieces &&
                 size_ / guest_->pieces() < kScatteredPieceBytes) {}

HostMemory::~HostMemory() { registry_->Remove(this); }

std::uint32_t HostMemory::EnsureResource() const {
  if (made_.load(std::memory_order_acquire)) return tee::code::kSuccess;
  const std::lock_guard lock(making_);
  if (made_.load(std::memory_order_relaxed)) return tee::code::kSuccess;
  auto resource = registry_->MakeResource(*guest_);
  if (!resource.ok()) {
    LogGuest(LogLevel::kWarning, "host.register",
             {{"bytes", size_}, {"error", resource.error().message}});
    return tee::code::kOutOfMemory;
  }
  if (!registry_->Keep(*this, resource.value())) return tee::code::kBadParameters;
  return tee::code::kSuccess;
}

std::uint32_t HostMemory::Place(std::uint64_t offset, std::uint64_t size, std::size_t slot,
                                CopySlots& slots, Placement& place) const {
  if (PlaceCopy(size, slot, slots, place)) return tee::code::kSuccess;
  const std::uint32_t made = EnsureResource();
  place = {resource_.id, offset, nullptr};
  return made;
}

// A copy for this call only, if that is the quicker way. False: not, or there is no room.
bool HostMemory::PlaceCopy(std::uint64_t size, std::size_t slot, CopySlots& slots,
                           Placement& place) const {
  const bool small = size < registry_->modes_.copy_below;
  if (made_.load(std::memory_order_acquire) || !(small || (scattered_ && registry_->Lazy()))) {
    return false;
  }
  const std::uint32_t limit = small ? kCopiesBeforeSharing : kLargeCopiesBeforeSharing;
  if (uses_.fetch_add(1, std::memory_order_relaxed) >= limit) return false;
  if (!small) {
    const auto [bytes, id] = slots.Borrow(registry_, slot, size);
    place = {id, 0, bytes.data()};
    return !bytes.empty();
  }
  if (!slots.Obtain(registry_)) return false;
  place = {slots.shm_id(), CopySlots::Offset(slot), slots.Use(slot, size).data()};
  return true;
}

// The TEE's copy of the guest's byte at `offset`; null: it sees the guest's own.
std::byte* HostMemory::Copy(const Placement& place, std::uint64_t offset) const {
  if (place.copy != nullptr) return place.copy;
  return copies() ? resource_.bounce + offset : nullptr;
}

bool HostMemory::CopyIn(const Placement& place, std::uint64_t offset, std::uint64_t size) const {
  std::byte* copy = Copy(place, offset);
  return copy == nullptr || size == 0 || guest_->Read(offset, std::span(copy, size));
}

bool HostMemory::CopyOut(const Placement& place, std::uint64_t offset, std::uint64_t size) const {
  const std::byte* copy = Copy(place, offset);
  return copy == nullptr || size == 0 || guest_->Write(offset, std::span(copy, size));
}

CopySlots::~CopySlots() {
  if (lender_ != nullptr) {
    for (const ShmResource& resource : borrowed_) lender_->Free(resource);
  }
  if (registry_ == nullptr) return;
  // The next call that gets these pages may be for another TA.
  for (std::size_t slot = 0; slot < used_.size(); ++slot) {
    explicit_bzero(set_.bounce + Offset(slot), used_[slot]);
  }
  registry_->GiveCopySet(set_);
}

bool CopySlots::Obtain(const std::shared_ptr<MemoryRegistry>& registry) {
  if (registry_ != nullptr) return true;
  if (!registry->TakeCopySet(set_)) return false;
  registry_ = registry;
  return true;
}

std::span<std::byte> CopySlots::Use(std::size_t slot, std::uint64_t size) {
  used_[slot] = size;
  return {set_.bounce + Offset(slot), size};
}

std::pair<std::span<std::byte>, std::int32_t> CopySlots::Borrow(
    const std::shared_ptr<MemoryRegistry>& registry, std::size_t slot, std::uint64_t size) {
  auto resource = registry->MakeBounce(size);
  if (!resource.ok()) return {};
  lender_ = registry;
  borrowed_[slot] = resource.value();
  return {{resource.value().bounce, size}, resource.value().id};
}

MemoryRegistry::MemoryRegistry(std::shared_ptr<TeeDevice> device, Modes modes)
    : device_(std::move(device)), modes_(modes) {}

MemoryRegistry::~MemoryRegistry() { FreeCopySets(); }

Result<std::unique_ptr<tee::RegisteredMemory>> MemoryRegistry::Register(
    std::shared_ptr<const tee::SharedMemory> memory) {
  if (memory == nullptr || memory->size() == 0) {
    return Error{ErrorCode::kInvalidArgument, "memory of no bytes cannot be registered"};
  }
  const tee::SharedMemory& shared = *memory;  // `registered` keeps it
  // First what gives the resource back.
  auto registered = std::make_unique<HostMemory>(shared_from_this(), std::move(memory));
  {
    const std::lock_guard lock(mutex_);
    live_.insert(registered.get());
  }
  if (!Lazy()) {
    auto resource = MakeResource(shared);
    if (!resource.ok()) return Error(resource.error());
    Keep(*registered, resource.value());
  }
  return std::unique_ptr<tee::RegisteredMemory>(std::move(registered));
}

Result<ShmResource> MemoryRegistry::MakeResource(const tee::SharedMemory& memory) {
  bool try_copy = true;
  Result<ShmResource> resource = Error{ErrorCode::kUnsupported, "zero copy is off"};
  if (modes_.zero_copy && modes_.register_supported) resource = RegisterWindow(memory, try_copy);
  if (!resource.ok() && try_copy) resource = MakeBounce(memory.size());
  return resource;
}

bool MemoryRegistry::Keep(const HostMemory& memory, const ShmResource& resource) {
  {
    const std::lock_guard lock(mutex_);
    if (memory.valid()) {
      memory.resource_ = resource;
      memory.made_.store(true, std::memory_order_release);
      return true;
    }
  }
  Free(resource);
  return false;
}

bool MemoryRegistry::TakeCopySet(ShmResource& set) {
  {
    const std::lock_guard lock(mutex_);
    if (!copy_sets_.empty()) {
      set = copy_sets_.back();
      copy_sets_.pop_back();
      return true;
    }
  }
  bool exhausted = false;
  auto fresh = AllocateFromTee(tee::kMaxParams * CopySlots::kSlotBytes, exhausted);
  if (!fresh.ok()) return false;
  set = fresh.value();
  return true;
}

void MemoryRegistry::GiveCopySet(const ShmResource& set) {
  const auto keep = [&] {
    const std::lock_guard lock(mutex_);
    copy_sets_.push_back(set);
  };
  if (!WithinMemory(keep)) Free(set);
}

void MemoryRegistry::FreeCopySets() {
  std::vector<ShmResource> sets;
  {
    const std::lock_guard lock(mutex_);
    sets.swap(copy_sets_);
  }
  for (const ShmResource& set : sets) Free(set);
}

int MemoryRegistry::RegisterRange(void* address, std::uint64_t size, ShmResource& resource) {
  tee_ioctl_shm_register_data data{};
  data.addr = reinterpret_cast<std::uintptr_t>(address);
  data.length = size;
  data.id = -1;
  const int fd = IoctlRetrying(*device_, TEE_IOC_SHM_REGISTER, &data);
  if (fd < 0) return -fd;
  resource.fd = fd;
  resource.id = data.id;
  return 0;
}

Result<ShmResource> MemoryRegistry::RegisterWindow(const tee::SharedMemory& memory,
                                                   bool& try_copy) {
  auto window = memory.Map();
  if (!window.ok()) {
    const ErrorCode code = window.error().code;
    try_copy = code == ErrorCode::kUnsupported || code == ErrorCode::kResourceExhausted;
    if (code == ErrorCode::kResourceExhausted) {
      const auto so_far = copied_for_mappings_.fetch_add(1, std::memory_order_relaxed) + 1;
      LogGuest(LogLevel::kWarning, "host.copied",
               {{"bytes", memory.size()}, {"buffers", so_far}, {"why", window.error().message}});
    }
    return Error(window.error());
  }
  const std::span<std::byte> bytes = window.value()->bytes();
  ShmResource resource;
  const int err = RegisterRange(bytes.data(), bytes.size(), resource);
  if (err == 0) return resource;
  // EFAULT: pages that cannot be pinned for writing. EINVAL: not what the driver takes for normal
  // memory. Both can still be copied.
  try_copy = err == EFAULT || err == EINVAL || err == EOPNOTSUPP || err == kKernelNotSupported;
  return MemoryError(err, "registering guest memory with the TEE");
}

Result<ShmResource> MemoryRegistry::MakeBounce(std::uint64_t size) {
  bool exhausted = false;
  auto resource = AllocateFromTee(size, exhausted);
  // The TEE driver's own buffers are physically contiguous; ours need not be.
  if (!resource.ok() && exhausted && modes_.register_supported) return RegisterOwnMemory(size);
  return resource;
}

Result<ShmResource> MemoryRegistry::AllocateFromTee(std::uint64_t size, bool& exhausted) {
  const std::optional<std::uint64_t> padded = RoundToPages(size);
  if (!padded) return Error{ErrorCode::kResourceExhausted, "shared memory of absurd size"};
  tee_ioctl_shm_alloc_data data{};
  data.size = *padded;
  data.id = -1;
  const int fd = IoctlRetrying(*device_, TEE_IOC_SHM_ALLOC, &data);
  if (fd < 0) {
    exhausted = fd == -ENOMEM;
    return MemoryError(-fd, "allocating memory that the TEE shares");
  }
  ShmResource resource;
  resource.fd = fd;
  resource.id = data.id;
  if (data.size < size) {
    Free(resource);
    return Error{ErrorCode::kProtocol, "the TEE driver gave less shared memory than asked for"};
  }
  resource.bounce = static_cast<std::byte*>(device_->MapBuffer(fd, *padded));
  resource.bounce_size = *padded;
  if (resource.bounce == nullptr) {
    Free(resource);
    return Error{ErrorCode::kResourceExhausted, "mapping memory that the TEE shares failed"};
  }
  return resource;
}

Result<ShmResource> MemoryRegistry::RegisterOwnMemory(std::uint64_t size) {
  const std::optional<std::uint64_t> padded = RoundToPages(size);
  if (!padded) return Error{ErrorCode::kResourceExhausted, "shared memory of absurd size"};
  ShmResource resource;
  resource.bounce = static_cast<std::byte*>(device_->MapBuffer(-1, *padded));
  resource.bounce_size = *padded;
  if (resource.bounce == nullptr) {
    return Error{ErrorCode::kResourceExhausted, "no memory for a copy buffer"};
  }
  const int err = RegisterRange(resource.bounce, *padded, resource);
  if (err == 0) return resource;
  Free(resource);
  return MemoryError(err, "registering a copy buffer with the TEE");
}

void MemoryRegistry::Free(const ShmResource& resource) {
  if (resource.bounce != nullptr) device_->UnmapBuffer(resource.bounce, resource.bounce_size);
  if (resource.fd >= 0) device_->Close(resource.fd);
}

void MemoryRegistry::Remove(HostMemory* memory) {
  ShmResource resource;
  {
    const std::lock_guard lock(mutex_);
    live_.erase(memory);
    resource = std::exchange(memory->resource_, ShmResource{});
  }
  Free(resource);  // a call into the TEE: not under the lock
}

void MemoryRegistry::RevokeAll() {
  std::vector<ShmResource> resources;
  {
    const std::lock_guard lock(mutex_);
    resources.reserve(live_.size());  // now: none may be lost on the way
    for (HostMemory* memory : live_) {
      memory->revoked_.store(true, std::memory_order_release);
      resources.push_back(std::exchange(memory->resource_, ShmResource{}));
    }
    live_.clear();
  }
  for (const ShmResource& resource : resources) Free(resource);
  FreeCopySets();
}

std::size_t MemoryRegistry::count() const {
  const std::lock_guard lock(mutex_);
  return live_.size();
}

}  // namespace vtee::backend
