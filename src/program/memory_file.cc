// SPDX-License-Identifier: BSD-3-Clause
#include "program/memory_file.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

namespace vtee::program {
namespace {

// One loop for both directions: `step` moves up to `size` bytes at an offset, as pread does.
template <typename Step>
bool Whole(std::uint64_t size, Step step) {
  for (std::uint64_t done = 0; done < size;) {
    const ssize_t moved = step(done);
    if (moved < 0 && errno == EINTR) continue;
    if (moved <= 0) return false;
    done += static_cast<std::uint64_t>(moved);
  }
  return true;
}

}  // namespace

UniqueFd MakeMemoryFile(std::uint64_t size) {
  UniqueFd fd(memfd_create("vtee-program", MFD_CLOEXEC));
  if (fd && ftruncate(fd.get(), static_cast<off_t>(size)) != 0) fd.Reset();
  return fd;
}

bool ReadAt(int fd, std::uint64_t offset, void* to, std::uint64_t size) {
  return Whole(size, [&](std::uint64_t done) {
    return pread(fd, static_cast<std::byte*>(to) + done, size - done,
                 static_cast<off_t>(offset + done));
  });
}

bool WriteAt(int fd, std::uint64_t offset, const void* from, std::uint64_t size) {
  return Whole(size, [&](std::uint64_t done) {
    return pwrite(fd, static_cast<const std::byte*>(from) + done, size - done,
                  static_cast<off_t>(offset + done));
  });
}

}  // namespace vtee::program
