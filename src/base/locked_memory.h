// SPDX-License-Identifier: BSD-3-Clause
// A place in memory for keys: never swapped, in no core dump, and not in children.
//
// One for the process, once it has been reserved; there is none before. Small and bounded (what a
// process may lock is, too), so that who asks must have another place when it is full.
// Threading: any thread, after ReserveLockedMemory(). Nothing here throws.
// Not supported: hibernation, which writes all of memory; hypervisors below this one.
#pragma once

#include <cstddef>

namespace vtee {

inline constexpr std::size_t kMostLockedBlock = 4096;

struct LockedMemory {
  std::size_t bytes = 0;  // 0: none, the system gives no memory
  bool locked = false;    // false: the system does not let it be locked, the rest holds
};
// Takes `bytes`, or as much less as the process may lock. Once, before there are other threads.
LockedMemory ReserveLockedMemory(std::size_t bytes);

// nullptr: there is no room, or none was reserved, or `size` is above kMostLockedBlock or 0.
void* AllocateLocked(std::size_t size);
// False: `block` is not from there. The size is that of the allocation. Wiping it is the owner's.
bool FreeLocked(void* block, std::size_t size);

}  // namespace vtee
