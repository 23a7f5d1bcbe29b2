// SPDX-License-Identifier: BSD-3-Clause
// FdTable: which object a file descriptor stands for. A look-up is two loads, without a lock,
// because it happens on every ioctl of the VMM.
//
// Threading: Get() any thread, also in signal handlers; Set() any thread. What the pointers point
// to must be type-stable memory (never freed), see kvm_shim.h. Ownership: borrows the objects.
// Not supported: descriptors from kMaxFd on (they are never tracked), freeing of the table.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdlib>

namespace vtee::vmm {

template <typename T>
class FdTable {
 public:
  static constexpr int kChunk = 1024;
  static constexpr int kChunks = 1024;
  static constexpr int kMaxFd = kChunk * kChunks;

  constexpr FdTable() = default;
  FdTable(const FdTable&) = delete;
  FdTable& operator=(const FdTable&) = delete;

  T* Get(int fd) const {
    if (static_cast<unsigned>(fd) >= static_cast<unsigned>(kMaxFd)) return nullptr;
    const Chunk* chunk = chunks_[fd / kChunk].load(std::memory_order_acquire);
    return chunk == nullptr ? nullptr : chunk->entries[fd % kChunk].load();
  }

  // False when fd is out of range or there is no memory.
  bool Set(int fd, T* object) {
    if (static_cast<unsigned>(fd) >= static_cast<unsigned>(kMaxFd)) return object == nullptr;
    std::atomic<Chunk*>& place = chunks_[fd / kChunk];
    Chunk* chunk = place.load(std::memory_order_acquire);
    if (chunk == nullptr) {
      if (object == nullptr) return true;
      auto* fresh = static_cast<Chunk*>(std::calloc(1, sizeof(Chunk)));
      if (fresh == nullptr) return false;
      if (place.compare_exchange_strong(chunk, fresh)) {
        chunk = fresh;
      } else {
        std::free(static_cast<void*>(fresh));
      }
    }
    chunk->entries[fd % kChunk].store(object);
    return true;
  }

  // Some descriptor other than `except` that stands for `object`, or -1.
  int Find(const T* object, int except) const {
    for (int fd = 0; fd < kMaxFd; ++fd) {
      if (chunks_[fd / kChunk].load(std::memory_order_acquire) == nullptr) {
        fd += kChunk - 1;
      } else if (fd != except && Get(fd) == object) {
        return fd;
      }
    }
    return -1;
  }

  void Clear() {
    for (auto& place : chunks_) {
      Chunk* chunk = place.load(std::memory_order_acquire);
      if (chunk == nullptr) continue;
      for (auto& entry : chunk->entries) entry.store(nullptr);
    }
  }

 private:
  struct Chunk {
    std::atomic<T*> entries[kChunk];
  };
  std::atomic<Chunk*> chunks_[kChunks] = {};
};

}  // namespace vtee::vmm
