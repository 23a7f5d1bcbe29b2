// SPDX-License-Identifier: BSD-3-Clause
// SecretBytes: bytes that are wiped when they are freed or outgrown, and kept where they are
// neither swapped nor dumped as far as there is room (base/locked_memory.h): a key's worth, not a
// file's. A value; any thread.
#pragma once

#include <openssl/crypto.h>

#include <cstddef>
#include <new>
#include <span>
#include <vector>

#include "base/locked_memory.h"

namespace vtee::ta {

template <typename T>
struct WipingAllocator {
  using value_type = T;
  WipingAllocator() = default;
  template <typename U>
  WipingAllocator(const WipingAllocator<U>&) {}  // NOLINT: rebinding
  T* allocate(std::size_t count) {
    void* locked = AllocateLocked(count * sizeof(T));
    return static_cast<T*>(locked != nullptr ? locked : ::operator new(count * sizeof(T)));
  }
  void deallocate(T* memory, std::size_t count) {
    OPENSSL_cleanse(memory, count * sizeof(T));
    if (!FreeLocked(memory, count * sizeof(T))) ::operator delete(memory);
  }
  template <typename U>
  bool operator==(const WipingAllocator<U>&) const {
    return true;
  }
};

using SecretBytes = std::vector<std::byte, WipingAllocator<std::byte>>;

using ConstBytes = std::span<const std::byte>;
using MutableBytes = std::span<std::byte>;

inline SecretBytes Secret(ConstBytes bytes) { return {bytes.begin(), bytes.end()}; }

// OpenSSL's idea of bytes.
inline const unsigned char* In(ConstBytes bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}
inline unsigned char* Out(MutableBytes bytes) {
  return reinterpret_cast<unsigned char*>(bytes.data());
}

}  // namespace vtee::ta
