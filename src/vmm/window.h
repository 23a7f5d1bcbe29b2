// SPDX-License-Identifier: BSD-3-Clause
// Window: memory of the VMM side's own that guest and TEE share, where the guest's RAM is none of
// the TEE's business: a sealed memfd, mapped here because KVM wants an address.
//
// Threading: as a plain value; the guest and vteed write it at any time. Ownership: owns file and
// mapping. KVM must have forgotten the slot, or be about to, when it is destroyed.
#pragma once

#include <cstdint>

#include "vmm/own_fd.h"
#include "vmm/runtime.h"

namespace vtee::vmm {

class Window {
 public:
  Window() = default;
  Window(Window&& other) noexcept;
  Window& operator=(Window&& other) noexcept;
  Window(const Window&) = delete;
  Window& operator=(const Window&) = delete;
  ~Window();

  // `bytes` zeroed ones. Invalid, and a sentence in `error`, when the system has none.
  static Window Make(std::uint64_t bytes, Text& error);

  bool valid() const { return memory_ != nullptr; }
  int fd() const { return fd_.get(); }
  std::uint64_t address() const { return reinterpret_cast<std::uintptr_t>(memory_); }
  std::uint64_t size() const { return size_; }
  // All bytes to zero.
  void Clear() const;

 private:
  OwnFd fd_;
  void* memory_ = nullptr;
  std::uint64_t size_ = 0;
};

}  // namespace vtee::vmm
