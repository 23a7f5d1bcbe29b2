// SPDX-License-Identifier: BSD-3-Clause
#include "guest/slot_mapping.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <cerrno>
#include <utility>

#include "base/checked.h"

namespace vtee::guest {

Result<std::shared_ptr<const SlotMapping>> SlotMapping::Create(const SlotSpec& spec,
                                                               UniqueFd file) {
  const std::uint32_t id = spec.id.value();
  struct stat info {};
  if (fstat(file.get(), &info) != 0) {
    return ErrnoError(errno, fmt::format("memory slot {}: fstat of its file", id));
  }
  if (!S_ISREG(info.st_mode)) {
    return Error{ErrorCode::kUnsupported,
                 fmt::format("memory slot {}: its file is no regular file; back the guest's "
                             "memory with a shared memfd",
                             id)};
  }
  if (!RangeInside(spec.file_offset, spec.size, static_cast<std::uint64_t>(info.st_size))) {
    return Error{ErrorCode::kInvalidArgument,
                 fmt::format("memory slot {}: its file has {} bytes, too few for {} bytes from "
                             "offset {}; make the file as large as the guest's memory",
                             id, info.st_size, spec.size, spec.file_offset)};
  }
  std::shared_ptr<SlotMapping> mapping(new SlotMapping);  // first: it unmaps what it is given
  const int protection = spec.read_only ? PROT_READ : PROT_READ | PROT_WRITE;
  void* const address = mmap(nullptr, spec.size, protection, MAP_SHARED | MAP_NORESERVE, file.get(),
                             static_cast<off_t>(spec.file_offset));
  if (address == MAP_FAILED) {
    return ErrnoError(
        errno, fmt::format("memory slot {}: cannot map {} bytes of its file", id, spec.size));
  }
  madvise(address, spec.size, MADV_DONTDUMP);  // a core dump must not hold the guest's secrets

  mapping->file_ = std::move(file);
  mapping->data_ = static_cast<std::byte*>(address);
  mapping->size_ = spec.size;
  mapping->file_offset_ = spec.file_offset;
  mapping->device_ = info.st_dev;
  mapping->inode_ = info.st_ino;
  mapping->read_only_ = spec.read_only;
  return std::shared_ptr<const SlotMapping>(std::move(mapping));
}

std::shared_ptr<const SlotMapping> SlotMapping::CreateRemote(const SlotSpec& spec,
                                                             std::shared_ptr<RemoteMemory> remote,
                                                             std::uint64_t region) {
  std::shared_ptr<SlotMapping> mapping(new SlotMapping);
  mapping->size_ = spec.size;
  mapping->read_only_ = spec.read_only;
  mapping->remote_ = std::move(remote);
  mapping->region_ = region;
  return mapping;
}

SlotMapping::~SlotMapping() {
  if (data_ != nullptr) munmap(data_, size_);
}

}  // namespace vtee::guest
