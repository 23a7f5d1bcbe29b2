// SPDX-License-Identifier: BSD-3-Clause
// The only code of the project that dereferences guest bytes.
//
// What is guaranteed, by hand-written assembly that no compiler can rearrange:
//  - each guest byte is loaded (or stored) by exactly one instruction, in ascending order;
//  - every naturally aligned 2-, 4- or 8-byte word that lies wholly inside the range moves in one
//    access, so a word that the guest writes at once is seen as it was before or after;
//  - nothing is loaded before or after the range, and nothing is loaded again later.
// Not guaranteed: any consistency between two such words. Copy first, then check the copy.
//
// A fault on the guest's side of a copy (the page was punched out of a hugetlbfs file, the file
// was truncated, the memory is poisoned) makes the copy return false; what had been copied by
// then stays. This needs InstallFaultHandler() (guest/guest_memory.h) and a thread that does not
// block SIGBUS and SIGSEGV. There is no per-thread state: any thread, any nesting, also in
// signal handlers. No allocation, and no system call unless there is a fault.
#pragma once

#include <cstddef>

namespace vtee::guest {

// `guest` must stay mapped for the call; `size` bytes at `out` / `bytes` are private memory.
[[nodiscard]] bool CopyFromGuest(void* out, const void* guest, std::size_t size);
[[nodiscard]] bool CopyToGuest(void* guest, const void* bytes, std::size_t size);

}  // namespace vtee::guest
