// SPDX-License-Identifier: BSD-3-Clause
// What vteed (the core) and vtee-ta (the runner) of one TA instance share: an arena of memory.
//
// The arena is a memfd that both map whole, the runner at kArenaBase. It begins with the page of
// the system call thunk and the Channel; the TA's modules, stack and parameters follow. The core
// writes a TA's memory and says which of it the runner may read, write and execute.
//
// The two take turns: whoever has the turn reads and writes the Channel, then hands over. Only the
// runner's side runs code of the TA, so nothing that the core reads from the arena can be trusted:
// it copies what it decides on. What the runner answers by itself (check_access) is for speed: the
// core checks again what it is asked to touch.
// Fixed-width fields, one layout for both; only lock-free atomics. Not supported: several threads
// in one instance, which OP-TEE does not have either.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace vtee::runner {

inline constexpr std::uint64_t kPage = 0x1000;
inline constexpr std::uint64_t kArenaBase = 0x40000000;
inline constexpr std::uint64_t kMaxArenaSize = 0x40000000;
inline constexpr int kArenaFd = 3;  // of the runner

// `b` reaches 128 MiB: modules lie closer to the thunk than that.
inline constexpr std::uint64_t kThunkAddress = kArenaBase;
inline constexpr std::uint64_t kChannelAddress = kArenaBase + kPage;
inline constexpr std::uint64_t kChannelPages = 3;
inline constexpr std::uint64_t kFirstFreeAddress = kChannelAddress + kChannelPages * kPage;
inline constexpr std::uint64_t kModulesEnd = kArenaBase + (112u << 20);

enum class Turn : std::uint32_t { kCore = 0, kRunner = 1 };

// What the core wants when it gives the turn to the runner.
enum class Request : std::uint32_t {
  kEnter = 1,    // args: pc, sp, x0, x1, x2, x3; answered by an Event when the TA stops
  kResult = 2,   // args[0]: the result of the system call; the TA goes on
  kProtect = 3,  // args[0]: how many of `protections` to set; answered by kDone
};

// What happened when the runner gives it back.
enum class Event : std::uint32_t {
  kReady = 1,    // started, waiting
  kSyscall = 2,  // regs: x0 to x8; ta_sp, ta_fp, ta_lr; of a panic stop_regs, too
  kReturn = 3,   // regs[0]: the result of the entry
  kFault = 4,    // signal, fault_address, stop_regs
  kDone = 5,     // args[0]: 0, or an errno
};

// Memory of the TA, for answers to check_access.
struct Region {
  std::uint64_t start;
  std::uint64_t end;
  std::uint32_t flags;
  std::uint32_t reserved;
};
inline constexpr std::uint32_t kRegionRead = 1;
inline constexpr std::uint32_t kRegionWrite = 2;
inline constexpr std::uint32_t kRegionExecute = 4;
inline constexpr std::uint32_t kRegionPrivate = 8;     // of the TA alone: no parameter, not shared
inline constexpr std::uint32_t kRegionNonSecure = 16;  // the guest's
inline constexpr std::size_t kMaxRegions = 256;

// Pages and their new protection (PROT_*).
struct Protection {
  std::uint64_t start;
  std::uint64_t size;
  std::uint64_t protection;
};
inline constexpr std::size_t kMaxProtections = 64;

struct Channel {
  std::atomic<std::uint32_t> turn;  // Turn; a futex
  std::atomic<std::uint32_t> runner_sleeps;
  std::atomic<std::uint32_t> core_sleeps;
  // How many times the runner looks before it sleeps: for the answer to a system call, and for the
  // next entry.
  std::uint32_t answer_looks;
  std::uint32_t entry_looks;
  std::uint32_t request;
  std::uint32_t event;
  std::uint64_t args[8];

  std::uint64_t regs[9];
  std::uint64_t ta_sp;
  std::uint64_t ta_fp;
  std::uint64_t ta_lr;

  std::uint32_t signal;
  std::uint32_t region_count;
  std::uint64_t fault_address;
  // x0 to x30, sp, pc, pstate. Of a panic, x16 and x17 are lost, pc is where the system call would
  // return to, and pstate has the flags alone.
  std::uint64_t stop_regs[34];

  Region regions[kMaxRegions];  // sorted by address
  Protection protections[kMaxProtections];
};
static_assert(std::atomic<std::uint32_t>::is_always_lock_free);
static_assert(offsetof(Channel, args) == 32);
static_assert(offsetof(Channel, regs) == 96);
static_assert(offsetof(Channel, regions) == 480);
static_assert(offsetof(Channel, protections) == 6624);
static_assert(sizeof(Channel) <= kChannelPages * kPage);

}  // namespace vtee::runner
