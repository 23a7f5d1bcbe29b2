// SPDX-License-Identifier: BSD-3-Clause
#include "backend/host/host_memory.h"

#include <unistd.h>

#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include "backend/host/host_errors.h"
#include "backend/host/tee_uapi.h"
#include "base/checked.h"

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

HostMemory::HostMemory(std::shared_ptr<MemoryRegistry> registry, ShmResource resource,
                       std::shared_ptr<const tee::SharedMemory> guest)
    : registry_(std::move(registry)),
      resource_(resource),
      guest_(std::move(guest)),
      size_(guest_->size()) {}

HostMemory::~HostMemory() { registry_->Remove(this); }

bool HostMemory::CopyIn(std::uint64_t offset, std::uint64_t size) const {
  if (!copies() || size == 0) return true;
  return guest_->Read(offset, std::span(resource_.bounce + offset, size));
}

bool HostMemory::CopyOut(std::uint64_t offset, std::uint64_t size) const {
  if (!copies() || size == 0) return true;
  return guest_->Write(offset, std::span(resource_.bounce + offset, size));
}

MemoryRegistry::MemoryRegistry(std::shared_ptr<TeeDevice> device, Modes modes)
    : device_(std::move(device)), modes_(modes) {}

Result<std::unique_ptr<tee::RegisteredMemory>> MemoryRegistry::Register(
    std::shared_ptr<const tee::SharedMemory> memory) {
  if (memory == nullptr || memory->size() == 0) {
    return Error{ErrorCode::kInvalidArgument, "memory of no bytes cannot be registered"};
  }
  bool try_copy = true;
  Result<ShmResource> resource = Error{ErrorCode::kUnsupported, "zero copy is off"};
  if (modes_.zero_copy && modes_.register_supported) resource = RegisterWindow(*memory, try_copy);
  if (!resource.ok() && try_copy) resource = MakeBounce(memory->size());
  if (!resource.ok()) return Error(resource.error());

  auto registered =
      std::make_unique<HostMemory>(shared_from_this(), resource.value(), std::move(memory));
  const std::lock_guard lock(mutex_);
  live_.insert(registered.get());
  return std::unique_ptr<tee::RegisteredMemory>(std::move(registered));
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
    try_copy = window.error().code == ErrorCode::kUnsupported;
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
    for (HostMemory* memory : live_) {
      resources.push_back(std::exchange(memory->resource_, ShmResource{}));
    }
    live_.clear();
  }
  for (const ShmResource& resource : resources) Free(resource);
}

std::size_t MemoryRegistry::count() const {
  const std::lock_guard lock(mutex_);
  return live_.size();
}

}  // namespace vtee::backend
