// SPDX-License-Identifier: BSD-3-Clause
// TestRemote: guest memory behind RemoteMemory for tests: regions of plain bytes, with counters.
// Threading: any thread. Not for production code.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <map>
#include <mutex>
#include <span>
#include <vector>

#include "base/checked.h"
#include "guest/remote_memory.h"

namespace vtee::guest {

class TestRemote final : public RemoteMemory {
 public:
  std::vector<std::byte>& Add(std::uint64_t region, std::size_t size) {
    const std::lock_guard lock(mutex_);
    return regions_[region] = std::vector<std::byte>(size);
  }
  void Remove(std::uint64_t region) {
    const std::lock_guard lock(mutex_);
    regions_.erase(region);
  }
  int requests() const { return requests_.load(); }
  std::size_t most_pieces() const { return most_pieces_.load(); }
  bool too_large() const { return too_large_.load(); }

  bool Read(std::span<const RemotePiece> pieces, std::span<std::byte> out) override {
    return Each(pieces, out.size(), [&](std::byte* here, std::size_t done, std::size_t size) {
      std::memcpy(out.data() + done, here, size);
    });
  }
  bool Write(std::span<const RemotePiece> pieces, std::span<const std::byte> bytes) override {
    return Each(pieces, bytes.size(), [&](std::byte* here, std::size_t done, std::size_t size) {
      std::memcpy(here, bytes.data() + done, size);
    });
  }

 private:
  template <typename Visit>
  bool Each(std::span<const RemotePiece> pieces, std::size_t bytes, Visit visit) {
    const std::lock_guard lock(mutex_);
    ++requests_;
    most_pieces_ = std::max(most_pieces_.load(), pieces.size());
    std::size_t done = 0;
    for (const RemotePiece& piece : pieces) {
      const auto region = regions_.find(piece.region);
      if (region == regions_.end() || piece.size == 0 ||
          !RangeInside(piece.offset, piece.size, region->second.size()) ||
          !RangeInside(done, piece.size, bytes)) {
        return false;
      }
      visit(region->second.data() + piece.offset, done, piece.size);
      done += piece.size;
    }
    if (bytes > kMaxBytes || pieces.size() > kMaxPieces || pieces.empty()) too_large_ = true;
    return done == bytes;
  }

  std::mutex mutex_;
  std::map<std::uint64_t, std::vector<std::byte>> regions_;
  std::atomic<int> requests_{0};
  std::atomic<std::size_t> most_pieces_{0};
  std::atomic<bool> too_large_{false};
};

}  // namespace vtee::guest
