// SPDX-License-Identifier: BSD-3-Clause
// Memory that two processes pass each other as a memfd, read and written by system calls.
// Any thread. Addresses that are no memory of the caller's are a failure, not a fault.
#pragma once

#include <cstdint>

#include "base/unique_fd.h"

namespace vtee::program {

// A memfd of `size` bytes of zeros; invalid, with errno, when there is none to be had.
UniqueFd MakeMemoryFile(std::uint64_t size);
// All `size` bytes, or false.
[[nodiscard]] bool ReadAt(int fd, std::uint64_t offset, void* to, std::uint64_t size);
[[nodiscard]] bool WriteAt(int fd, std::uint64_t offset, const void* from, std::uint64_t size);

}  // namespace vtee::program
