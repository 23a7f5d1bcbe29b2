// SPDX-License-Identifier: BSD-3-Clause
// Windows: file runs mapped one after the other into one range of this process's addresses.
//
// Threading: any thread. Ownership: a window keeps its slots' files and its share of the
// process's mapping budget. Only for src/guest; see GuestBuffer::Map() for the contract.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "guest/guest_memory.h"
#include "tee/shared_memory.h"

namespace vtee::guest {

// Maps `runs`, in order. All but the first start at a page of the file, all but the last end at
// one; `size` is the sum of their sizes and not 0.
Result<std::unique_ptr<tee::MappedWindow>> MapRuns(std::span<const FileRun> runs,
                                                   std::uint64_t size);

// How many kernel mappings windows may take, process-wide, and how many they hold now. The first
// call reads /proc: make it before a sandbox forbids that. (GuestMemory's constructor does.)
std::uint64_t WindowMappingLimit();
std::uint64_t WindowMappingsInUse();
// Another limit, for tests. Windows that exceed it already stay.
void SetWindowMappingLimit(std::uint64_t limit);

}  // namespace vtee::guest
