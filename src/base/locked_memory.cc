// SPDX-License-Identifier: BSD-3-Clause
#include "base/locked_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
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
    if (wanted >= refused_) return nullptr;
    std::size_t first = FindRun(wanted, next_, taken_.size());
    if (first == kNone) first = FindRun(wanted, 0, std::min(next_ + wanted, taken_.size()));
    if (first != kNone) {
      Mark(first, wanted, true);
      next_ = (first + wanted) % taken_.size();
      return base_ + first * kUnit;
    }
    refused_ = wanted;
    return nullptr;
  }

  bool Give(const void* block, std::size_t size) {
    const auto offset =
        reinterpret_cast<std::uintptr_t>(block) - reinterpret_cast<std::uintptr_t>(base_);
    if (offset >= bytes_) return false;
    const std::lock_guard lock(mutex_);
    Mark(offset / kUnit, UnitsOf(size), false);
    refused_ = kNone;
    return true;
  }

 private:
  static constexpr std::size_t kNone = ~std::size_t{0};
  static std::size_t UnitsOf(std::size_t size) { return (size + kUnit - 1) / kUnit; }
  // Looks at the end of each place first: what is taken there rules out all places up to it.
  std::size_t FindRun(std::size_t wanted, std::size_t begin, std::size_t end) const {
    for (std::size_t at = begin; at + wanted <= end;) {
      std::size_t free_from = at + wanted;
      while (free_from > at && !taken_[free_from - 1]) --free_from;
      if (free_from == at) return at;
      at = free_from;
    }
    return kNone;
  }
  void Mark(std::size_t first, std::size_t count, bool taken) {
    for (std::size_t i = first; i < first + count; ++i) taken_[i] = taken;
  }

  std::byte* const base_;
  const std::size_t bytes_;
  std::mutex mutex_;
  std::vector<bool> taken_;  // under mutex_
  std::size_t next_ = 0;
  std::size_t refused_ = kNone;  // so many units are not to be had, which need not be found again
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
