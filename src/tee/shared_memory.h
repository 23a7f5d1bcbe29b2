// SPDX-License-Identifier: BSD-3-Clause
// Memory that a guest shares with a TEE, as a backend sees it: bytes to copy, or a window to map.
//
// The guest may change the bytes at any time. A backend that decides anything on them copies
// them once with Read(). Threading: implementations are safe from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"

namespace vtee::tee {

// A mapping of shared memory as one contiguous range of this process, for zero copy. Unmapped on
// destruction. bytes().data() keeps the buffer's offset into its first page. Dereference it only
// by handing it to a kernel: the guest can make its pages vanish.
class MappedWindow {
 public:
  virtual ~MappedWindow() = default;
  virtual std::span<std::byte> bytes() const = 0;
};

class SharedMemory {
 public:
  virtual ~SharedMemory() = default;
  virtual std::uint64_t size() const = 0;  // bytes

  // Copies each byte once. False: out of range, or the memory has vanished.
  [[nodiscard]] virtual bool Read(std::uint64_t offset, std::span<std::byte> out) const = 0;
  [[nodiscard]] virtual bool Write(std::uint64_t offset,
                                   std::span<const std::byte> bytes) const = 0;

  // How many kernel mappings Map() takes, about: what it costs.
  virtual std::uint64_t pieces() const { return 1; }
  // Maps the whole of it. kUnsupported when its memory cannot be mapped: copy instead.
  virtual Result<std::unique_ptr<MappedWindow>> Map() const = 0;
};

}  // namespace vtee::tee
