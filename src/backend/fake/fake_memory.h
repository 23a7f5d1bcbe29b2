// SPDX-License-Identifier: BSD-3-Clause
// FakeMemory: guest memory remembered by the fake backend; it copies through SharedMemory.
// Threading: const methods, any thread. Tells its backend when it is dropped.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>

#include "tee/session_tee.h"
#include "tee/shared_memory.h"

namespace vtee::backend {

// Outlives the backend when memory does.
struct FakeMemoryCounts {
  std::atomic<std::size_t> memories = 0;
  std::atomic<std::uint64_t> bytes = 0;
};

class FakeMemory final : public tee::RegisteredMemory {
 public:
  FakeMemory(std::shared_ptr<const tee::SharedMemory> guest,
             std::shared_ptr<FakeMemoryCounts> counts)
      : guest_(std::move(guest)), counts_(std::move(counts)), size_(guest_->size()) {
    ++counts_->memories;
    counts_->bytes += size_;
  }
  ~FakeMemory() override {
    --counts_->memories;
    counts_->bytes -= size_;
  }
  FakeMemory(const FakeMemory&) = delete;
  FakeMemory& operator=(const FakeMemory&) = delete;

  std::uint64_t size() const override { return size_; }
  const tee::SharedMemory& guest() const { return *guest_; }

 private:
  std::shared_ptr<const tee::SharedMemory> guest_;
  std::shared_ptr<FakeMemoryCounts> counts_;
  std::uint64_t size_;
};

}  // namespace vtee::backend
