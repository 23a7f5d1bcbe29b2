// SPDX-License-Identifier: BSD-3-Clause
// PrivateMemory: bytes of the mediator's own that it passes to a TEE, where no guest can see or
// change them (for calls vtee makes on its own behalf).
// Threading: the owner and the TEE take turns, as with any call parameter.
#pragma once

#include <sys/mman.h>

#include <cstring>
#include <memory>

#include "base/checked.h"
#include "tee/shared_memory.h"

namespace vtee::mediator {

class PrivateMemory final : public tee::SharedMemory {
 public:
  // `size` bytes, zeroed. Null when the system has no memory left.
  static std::shared_ptr<PrivateMemory> Make(std::uint64_t size) {
    std::shared_ptr<PrivateMemory> memory(new PrivateMemory);  // first: it unmaps what it is given
    void* base = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED) return nullptr;
    memory->bytes_ = {static_cast<std::byte*>(base), static_cast<std::size_t>(size)};
    return memory;
  }
  ~PrivateMemory() override {
    if (!bytes_.empty()) munmap(bytes_.data(), bytes_.size());
  }

  std::uint64_t size() const override { return bytes_.size(); }
  bool Read(std::uint64_t offset, std::span<std::byte> out) const override {
    if (!RangeInside(offset, out.size(), bytes_.size())) return false;
    if (!out.empty()) std::memcpy(out.data(), bytes_.data() + offset, out.size());
    return true;
  }
  bool Write(std::uint64_t offset, std::span<const std::byte> in) const override {
    if (!RangeInside(offset, in.size(), bytes_.size())) return false;
    if (!in.empty()) std::memcpy(bytes_.data() + offset, in.data(), in.size());
    return true;
  }
  Result<std::unique_ptr<tee::MappedWindow>> Map() const override {
    return std::unique_ptr<tee::MappedWindow>(new Window(bytes_));
  }

 private:
  class Window final : public tee::MappedWindow {
   public:
    explicit Window(std::span<std::byte> bytes) : bytes_(bytes) {}
    std::span<std::byte> bytes() const override { return bytes_; }

   private:
    std::span<std::byte> bytes_;
  };

  PrivateMemory() = default;
  std::span<std::byte> bytes_;
};

}  // namespace vtee::mediator
