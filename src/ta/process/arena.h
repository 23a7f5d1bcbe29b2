// SPDX-License-Identifier: BSD-3-Clause
// Arena: the memory of one TA instance, shared with the runner that executes it (runner/channel.h).
//
// A memfd of fixed size, mapped whole into vteed. Sealed against shrinking: reading it never
// faults. Its pages come into being when they are written.
// Threading: the owner of the TA instance, one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/result.h"
#include "base/unique_fd.h"
#include "runner/channel.h"

namespace vtee::ta {

class Arena {
 public:
  // `size`: whole pages, at most runner::kMaxArenaSize.
  static Result<Arena> Create(std::uint64_t size);
  Arena(Arena&& other) noexcept;
  Arena& operator=(Arena&&) = delete;
  ~Arena();

  int fd() const { return fd_.get(); }
  std::uint64_t size() const { return size_; }
  std::uint64_t end() const { return runner::kArenaBase + size_; }
  runner::Channel& channel() const {
    return *reinterpret_cast<runner::Channel*>(base_ +
                                               (runner::kChannelAddress - runner::kArenaBase));
  }
  // The bytes at an address of the runner. Empty: not wholly inside.
  std::span<std::byte> At(std::uint64_t address, std::uint64_t size) const;
  // Gives whole pages back to the machine; they read as zeros afterwards.
  void Discard(std::uint64_t address, std::uint64_t size) const;

 private:
  Arena(UniqueFd fd, std::byte* base, std::uint64_t size)
      : fd_(std::move(fd)), base_(base), size_(size) {}
  UniqueFd fd_;
  std::byte* base_ = nullptr;
  std::uint64_t size_ = 0;
};

}  // namespace vtee::ta
