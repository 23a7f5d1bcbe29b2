// SPDX-License-Identifier: BSD-3-Clause
// Flipper: a guest that rewrites one word of its memory, again and again, while it is read.
//
// The word moves by the copy primitive, as vteed's own accesses do: one store each time, and
// nothing that the thread sanitizer takes for a race of the program's. Threading: a thread of its
// own from construction to destruction.
#pragma once

#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <thread>

#include "dialect/optee/test_ram.h"
#include "guest/snapshot_unsafe.h"

namespace vtee::optee {

class Flipper {
 public:
  // Flips the word at `address` between what it is and `other`.
  Flipper(const TestRam& ram, std::uint64_t address, std::uint64_t other)
      : word_(ram.At(address)), original_(ram.Get<std::uint64_t>(address)), thread_([this, other] {
          while (!stop_.load(std::memory_order_relaxed)) {
            Put(other);
            Put(original_);
            running_.store(true, std::memory_order_relaxed);
          }
        }) {
    while (!running_.load(std::memory_order_relaxed)) std::this_thread::yield();
  }
  ~Flipper() {
    stop_ = true;
    thread_.join();
  }
  Flipper(const Flipper&) = delete;
  Flipper& operator=(const Flipper&) = delete;

 private:
  void Put(std::uint64_t value) const {
    if (!guest::CopyToGuest(word_, &value, sizeof value)) std::abort();
  }

  std::byte* const word_;
  const std::uint64_t original_;
  std::atomic<bool> running_{false};
  std::atomic<bool> stop_{false};
  std::thread thread_;
};

}  // namespace vtee::optee
