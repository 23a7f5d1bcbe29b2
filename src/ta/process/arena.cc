// SPDX-License-Identifier: BSD-3-Clause
#include "ta/process/arena.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "base/checked.h"

namespace vtee::ta {

Result<Arena> Arena::Create(std::uint64_t size) {
  if (size == 0 || size % runner::kPage != 0 || size > runner::kMaxArenaSize) {
    return Error{ErrorCode::kInvalidArgument, "the memory of a TA is whole pages, 1 GiB at most"};
  }
  UniqueFd fd(memfd_create("vtee-ta", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd.valid()) return ErrnoError(errno, "memfd_create for a TA");
  if (ftruncate(fd.get(), static_cast<off_t>(size)) != 0 ||
      fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return ErrnoError(errno, "sizing the memory of a TA");
  }
  void* base = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd.get(), 0);
  if (base == MAP_FAILED) return ErrnoError(errno, "mapping the memory of a TA");
  // A crash of vteed shall not write a TA's memory to a disk.
  madvise(base, size, MADV_DONTDUMP);
  return Arena(std::move(fd), static_cast<std::byte*>(base), size);
}

Arena::Arena(Arena&& other) noexcept
    : fd_(std::move(other.fd_)),
      base_(std::exchange(other.base_, nullptr)),
      size_(std::exchange(other.size_, 0)) {}

Arena::~Arena() {
  if (base_ != nullptr) munmap(base_, size_);
}

std::span<std::byte> Arena::At(std::uint64_t address, std::uint64_t size) const {
  if (address < runner::kArenaBase || !RangeInside(address - runner::kArenaBase, size, size_)) {
    return {};
  }
  return {base_ + (address - runner::kArenaBase), size};
}

void Arena::Discard(std::uint64_t address, std::uint64_t size) const {
  const auto bytes = At(address, size);
  if (bytes.empty()) return;
  if (fallocate(fd_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                static_cast<off_t>(address - runner::kArenaBase), static_cast<off_t>(size)) != 0) {
    explicit_bzero(bytes.data(), bytes.size());
  }
}

}  // namespace vtee::ta
