// SPDX-License-Identifier: BSD-3-Clause
// Makes a TA's system calls calls of the runner: in each wrapper `movz x8, #n; svc #0; ret` of its
// code, the svc becomes a branch to the thunk (runner/channel.h).
//
// This is speed, not security: a TA may still execute an svc of its own making, which ends its
// process. Words of other shapes are left alone, since code segments hold data as well.
// Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace vtee::ta {

// `code`: the memory of an executable segment that begins at `address`. Returns how many wrappers
// were found; nothing is written that does not reach `thunk` (128 MiB).
std::size_t PatchSvcWrappers(std::span<std::byte> code, std::uint64_t address, std::uint64_t thunk);
// Undoes that in a copy of such code, which is then the same wherever it was loaded.
void RestoreSvcWrappers(std::span<std::byte> code, std::uint64_t address, std::uint64_t thunk);

}  // namespace vtee::ta
