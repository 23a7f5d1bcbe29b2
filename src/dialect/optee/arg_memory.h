// SPDX-License-Identifier: BSD-3-Clause
// ArgMemory: where in guest memory one message (struct optee_msg_arg) lives.
//
// Either a physical address (CALL_WITH_ARG, CALL_WITH_RPC_ARG, an RPC ALLOC) or an offset into a
// buffer the guest registered (CALL_WITH_REGD_ARG). Reads fetch each byte once. Memory that is
// not valid() can be neither read nor written.
// Threading: a value; use by one thread at a time. Keeps a registered buffer alive.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "guest/guest_buffer.h"
#include "guest/guest_memory.h"

namespace vtee::optee {

class ArgMemory {
 public:
  ArgMemory() = default;
  ArgMemory(const guest::GuestMemory& memory, guest::GuestPhysAddr address)
      : memory_(&memory), address_(address.value()) {}
  ArgMemory(std::shared_ptr<const guest::GuestBuffer> buffer, std::uint64_t offset)
      : buffer_(std::move(buffer)), address_(offset) {}

  bool valid() const { return memory_ != nullptr || buffer_ != nullptr; }

  [[nodiscard]] bool Read(std::uint64_t offset, std::span<std::byte> out) const {
    if (buffer_) return buffer_->Read(address_ + offset, out);
    return memory_ != nullptr && memory_->Snapshot(guest::GuestPhysAddr(address_ + offset), out) ==
                                     guest::MemFault::kNone;
  }
  [[nodiscard]] bool Write(std::uint64_t offset, std::span<const std::byte> bytes) const {
    if (buffer_) return buffer_->Write(address_ + offset, bytes);
    return memory_ != nullptr && memory_->Publish(guest::GuestPhysAddr(address_ + offset), bytes) ==
                                     guest::MemFault::kNone;
  }
  template <typename T>
  [[nodiscard]] bool ReadObject(std::uint64_t offset, T& out) const {
    return Read(offset, std::as_writable_bytes(std::span(&out, 1)));
  }
  template <typename T>
  [[nodiscard]] bool WriteObject(std::uint64_t offset, const T& value) const {
    return Write(offset, std::as_bytes(std::span(&value, 1)));
  }

  // The same memory, `offset` bytes further on.
  ArgMemory At(std::uint64_t offset) const {
    ArgMemory other = *this;
    other.address_ += offset;
    return other;
  }

 private:
  const guest::GuestMemory* memory_ = nullptr;
  std::shared_ptr<const guest::GuestBuffer> buffer_;
  std::uint64_t address_ = 0;
};

}  // namespace vtee::optee
