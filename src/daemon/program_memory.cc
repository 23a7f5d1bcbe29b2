// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/program_memory.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "base/checked.h"
#include "program/memory_file.h"

namespace vtee::daemon {

Result<std::shared_ptr<ProgramMemory>> ProgramMemory::Take(UniqueFd fd, std::uint64_t size) {
  struct stat status {};
  // Only files of memory have seals.
  if (fcntl(fd.get(), F_GET_SEALS) < 0 || fstat(fd.get(), &status) != 0 || status.st_size < 0 ||
      static_cast<std::uint64_t>(status.st_size) < size) {
    return Error{ErrorCode::kInvalidArgument,
                 "a program's memory is no memfd, or smaller than it says"};
  }
  return std::shared_ptr<ProgramMemory>(new ProgramMemory(std::move(fd), size));
}

bool ProgramMemory::Read(std::uint64_t offset, std::span<std::byte> out) const {
  return RangeInside(offset, out.size(), size_) &&
         program::ReadAt(fd_.get(), offset, out.data(), out.size());
}

bool ProgramMemory::Write(std::uint64_t offset, std::span<const std::byte> bytes) const {
  return RangeInside(offset, bytes.size(), size_) &&
         program::WriteAt(fd_.get(), offset, bytes.data(), bytes.size());
}

Result<std::unique_ptr<tee::MappedWindow>> ProgramMemory::Map() const {
  return Error{ErrorCode::kUnsupported, "the memory of a program is copied, not mapped"};
}

}  // namespace vtee::daemon
