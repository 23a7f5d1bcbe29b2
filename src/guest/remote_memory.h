// SPDX-License-Identifier: BSD-3-Clause
// RemoteMemory: guest memory that this process cannot map, read and written by asking whoever can
// (the VMM's process, see daemon/memory_channel.h).
//
// What is read lands in the caller's private memory, so a byte is fetched once here, too. There is
// no promise about words: a word that the guest writes at once may be seen half written.
// Threading: any thread, several at once; a call may wait for the other process.
// Ownership: every slot that is reached through it shares it.
// Not supported: mapping (tee::MappedWindow).
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace vtee::guest {

// A piece of one region. A region is one slot as it was announced once: its number is never used
// again, so that a buffer which outlives its slot cannot reach what took the slot's place.
struct RemotePiece {
  std::uint64_t region;
  std::uint64_t offset;  // bytes from the region's start
  std::uint64_t size;
};

class RemoteMemory {
 public:
  // What one request carries at most; callers cut their copies accordingly.
  static constexpr std::size_t kMaxPieces = 32;
  static constexpr std::size_t kMaxBytes = std::size_t{64} * 1024;

  virtual ~RemoteMemory() = default;
  // Copies the pieces, one after the other, to or from `bytes`, which is as large as their sum.
  // False: a region is gone, its memory is not there, or the other side is gone. A failed read
  // leaves anything in `out`; a failed write may have written a part.
  [[nodiscard]] virtual bool Read(std::span<const RemotePiece> pieces,
                                  std::span<std::byte> out) = 0;
  [[nodiscard]] virtual bool Write(std::span<const RemotePiece> pieces,
                                   std::span<const std::byte> bytes) = 0;
};

}  // namespace vtee::guest
