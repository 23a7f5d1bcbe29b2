// SPDX-License-Identifier: BSD-3-Clause
// VectorMemory: shared memory that is a vector. For tests only; cannot be mapped. Any thread.
#pragma once

#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/checked.h"
#include "tee/shared_memory.h"

namespace vtee::backend {

class VectorMemory final : public tee::SharedMemory {
 public:
  explicit VectorMemory(std::size_t size) : bytes_(size) {}
  explicit VectorMemory(const std::string& text) : bytes_(text.size()) {
    std::memcpy(bytes_.data(), text.data(), text.size());
  }

  std::uint64_t size() const override { return bytes_.size(); }
  bool Read(std::uint64_t offset, std::span<std::byte> out) const override {
    const std::lock_guard lock(mutex_);
    if (!RangeInside(offset, out.size(), bytes_.size())) return false;
    std::memcpy(out.data(), bytes_.data() + offset, out.size());
    return true;
  }
  bool Write(std::uint64_t offset, std::span<const std::byte> bytes) const override {
    const std::lock_guard lock(mutex_);
    if (!RangeInside(offset, bytes.size(), bytes_.size())) return false;
    std::memcpy(bytes_.data() + offset, bytes.data(), bytes.size());
    return true;
  }
  Result<std::unique_ptr<tee::MappedWindow>> Map() const override {
    return Error{ErrorCode::kUnsupported, "a vector has no pages to map"};
  }

  std::string Text() const {
    const std::lock_guard lock(mutex_);
    return std::string(reinterpret_cast<const char*>(bytes_.data()), bytes_.size());
  }

 private:
  mutable std::mutex mutex_;
  mutable std::vector<std::byte> bytes_;
};

}  // namespace vtee::backend
