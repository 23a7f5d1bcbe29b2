// SPDX-License-Identifier: BSD-3-Clause
#include "base/locked_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <mutex>
#include <new>
#include <vector>

namespace vtee {
namespace {

constexpr std::size_t kUnit = 64;

// Runs of units, found by going round. What is taken and given back is short-lived and small.
class Pool {
 public:
  Pool(std::byte* base, std::size_t bytes) : base_(base), bytes_(bytes), taken_(bytes / kUnit) {}

  void* Take(std::size_t size) {
    const std::size_t wanted = UnitsOf(size);
    const std::lock_guard lock(mutex_);
    std::size_t run = 0;
    // Once round, and a run that begins before the start again.
    for (std::size_t i = 0; i < taken_.size() + wanted; ++i) {
      const std::size_t at = (next_ + i) % taken_.size();
      if (at == 0) run = 0;
      run = taken_[at] ? 0 : run + 1;
      if (run != wanted) continue;
      const std::size_t first = at + 1 - wanted;
      Mark(first, wanted, true);
      next_ = (at + 1) % taken_.size();
      return base_ + first * kUnit;
    }
    return nullptr;
  }

  bool Give(const void* block, std::size_t size) {
    const auto offset =
        reinterpret_cast<std::uintptr_t>(block) - reinterpret_cast<std::uintptr_t>(base_);
    if (offset >= bytes_) return false;
    const std::lock_guard lock(mutex_);
    Mark(offset / kUnit, UnitsOf(size), false);
    return true;
  }

 private:
  static std::size_t UnitsOf(std::size_t size) { return (size + kUnit - 1) / kUnit; }
  void Mark(std::size_t first, std::size_t count, bool taken) {
    for (std::size_t i = first; i < first + count; ++i) taken_[i] = taken;
  }

  std::byte* const base_;
  const std::size_t bytes_;
  std::mutex mutex_;
  std::vector<bool> taken_;  // under mutex_
  std::size_t next_ = 0;
};

// Of the process, as its heap is: allocators have no state of their own. Never freed, so that
// what is destroyed last finds it.
std::atomic<Pool*> pool{nullptr};

}  // namespace

LockedMemory ReserveLockedMemory(std::size_t bytes) {
  const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  bytes = (bytes + page - 1) / page * page;
  void* base = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (base == MAP_FAILED) return {};
  std::size_t kept = bytes;
  bool locked = false;
  while (kept >= page && !(locked = ::mlock(base, kept) == 0)) kept = kept / 2 / page * page;
  if (!locked) kept = bytes;
  if (kept < bytes) ::munmap(static_cast<std::byte*>(base) + kept, bytes - kept);
  ::madvise(base, kept, MADV_DONTDUMP);
  ::madvise(base, kept, MADV_DONTFORK);
  Pool* made = nullptr;
  try {
    made = new Pool(static_cast<std::byte*>(base), kept);
  } catch (const std::bad_alloc&) {
    ::munmap(base, kept);
    return {};
  }
  pool.store(made, std::memory_order_release);
  return {kept, locked};
}

void* AllocateLocked(std::size_t size) {
  Pool* here = pool.load(std::memory_order_acquire);
  if (here == nullptr || size == 0 || size > kMostLockedBlock) return nullptr;
  return here->Take(size);
}

bool FreeLocked(void* block, std::size_t size) {
  Pool* here = pool.load(std::memory_order_acquire);
  return here != nullptr && here->Give(block, size);
}

}  // namespace vtee
