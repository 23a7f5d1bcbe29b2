// SPDX-License-Identifier: BSD-3-Clause
// Finds the file behind a range of this process's own memory, so that guest RAM can be shared.
//
// A VMM tells KVM only addresses. The mapping behind an address is looked up in /proc/self/maps,
// and then one of the process's own descriptors for that file in /proc/self/fd.
// Threading: any thread; the answer describes the instant of the call. Allocates.
// Ownership: the caller owns the descriptor returned. Not supported: ranges that mix files, have
// holes, or are not contiguous in their file; private and anonymous mappings.
#pragma once

#include <cstdint>

#include "vmm/own_fd.h"

namespace vtee::vmm {

struct BackingFile {
  OwnFd fd;                       // invalid: the memory cannot be shared
  std::uint64_t file_offset = 0;  // of the range's first byte
};

// `writable`: the mapping and the descriptor must allow writing.
BackingFile FindBackingFile(std::uint64_t address, std::uint64_t size, bool writable);

}  // namespace vtee::vmm
