// SPDX-License-Identifier: BSD-3-Clause
// OwnFd: a descriptor that the VMM side itself owns inside somebody else's process.
//
// Two things set it apart from UniqueFd. It closes by system call, because close() in the shim is
// the shim's own interposer. And it is registered, so that the child of a fork can close all of
// them: a child that kept a control socket open would hide the VMM's end from vteed.
// Threading: as an int. Not supported: more than kMaxOwnFds open at a time (the rest is merely
// not closed in children that do not exec; all are close-on-exec).
#pragma once

#include <cstddef>
#include <utility>

namespace vtee::vmm {

inline constexpr std::size_t kMaxOwnFds = 256;

class OwnFd {
 public:
  OwnFd() = default;
  explicit OwnFd(int fd) { Reset(fd); }
  OwnFd(OwnFd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  OwnFd& operator=(OwnFd&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  OwnFd(const OwnFd&) = delete;
  OwnFd& operator=(const OwnFd&) = delete;
  ~OwnFd() { Reset(); }

  int get() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  void Reset(int fd = -1);

 private:
  int fd_ = -1;
};

// Closes every OwnFd; for the child of a fork. Async-signal-safe.
void CloseOwnFdsInChild();

}  // namespace vtee::vmm
