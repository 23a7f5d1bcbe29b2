// SPDX-License-Identifier: BSD-3-Clause
// What all fuzzers share: taking an input apart, and saying that something must hold.
//
// Threading: an Input belongs to one thread. Ownership: borrows the bytes.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <span>
#include <type_traits>

namespace vtee {

// A fuzzer's assertion, also in builds without them.
inline void Require(bool condition) {
  if (!condition) std::abort();
}

// The bytes of one input, taken from the front. What is missing reads as zeros.
class Input {
 public:
  Input(const std::uint8_t* data, std::size_t size) : left_(std::as_bytes(std::span(data, size))) {}

  bool empty() const { return left_.empty(); }
  template <typename T>
  T Take() {
    static_assert(std::is_trivially_copyable_v<T>);
    T value{};
    const std::span<const std::byte> bytes = TakeBytes(sizeof value);
    if (!bytes.empty()) std::memcpy(&value, bytes.data(), bytes.size());
    return value;
  }
  // At most `size` bytes.
  std::span<const std::byte> TakeBytes(std::size_t size) {
    const std::span<const std::byte> bytes = left_.first(std::min(size, left_.size()));
    left_ = left_.subspan(bytes.size());
    return bytes;
  }
  std::span<const std::byte> TakeRest() { return TakeBytes(left_.size()); }

 private:
  std::span<const std::byte> left_;
};

}  // namespace vtee
