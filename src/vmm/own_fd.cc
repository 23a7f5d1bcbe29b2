// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/own_fd.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

namespace vtee::vmm {
namespace {

// Process-wide because descriptors are; entries are fd + 1, 0 is free.
constinit std::atomic<int> g_own_fds[kMaxOwnFds];

void Register(int fd) {
  for (auto& entry : g_own_fds) {
    int expected = 0;
    if (entry.compare_exchange_strong(expected, fd + 1)) return;
  }
}

void Unregister(int fd) {
  for (auto& entry : g_own_fds) {
    int expected = fd + 1;
    if (entry.compare_exchange_strong(expected, 0)) return;
  }
}

}  // namespace

void OwnFd::Reset(int fd) {
  if (fd_ >= 0) {
    // In this order, so that a fork in between never closes a reused number.
    Unregister(fd_);
    syscall(SYS_close, fd_);
  }
  fd_ = fd;
  if (fd_ >= 0) Register(fd_);
}

void CloseOwnFdsInChild() {
  for (auto& entry : g_own_fds) {
    const int fd = entry.exchange(0) - 1;
    if (fd >= 0) syscall(SYS_close, fd);
  }
}

}  // namespace vtee::vmm
