// SPDX-License-Identifier: BSD-3-Clause
// PeerHealth: is the vteed behind a link still there? Shared by the link and all its call ports.
//
// Once dead, always dead. The first to notice says one sentence to the message sink; every later
// secure call is answered SMCCC NOT_SUPPORTED without waiting.
// Threading: any thread. Ownership: borrows the control descriptor from the link.
// Not supported: reconnecting.
#pragma once

#include <atomic>
#include <cstdint>

#include "vmm/runtime.h"

namespace vtee::vmm {

class PeerHealth {
 public:
  explicit PeerHealth(const MessageSink& sink) : sink_(sink) {}
  PeerHealth(const PeerHealth&) = delete;
  PeerHealth& operator=(const PeerHealth&) = delete;

  void SetPeer(int control_fd, std::uint32_t vteed_pid) {
    control_fd_ = control_fd;
    vteed_pid_ = vteed_pid;
  }
  bool dead() const { return dead_.load(std::memory_order_acquire); }

  // Asks the kernel whether the peer closed its end (never blocks); false when dead.
  bool Check();
  // Declares the peer dead; when it returns, dead() and sentence() say so. `what` completes "vteed
  // ...", as in "vteed (pid 7) <what>". The sink is told last, so it may look at this object.
  void Fail(const char* what);
  // The sentence of the death, or "" while alive.
  const char* sentence() const { return dead() ? sentence_.bytes : ""; }

 private:
  MessageSink sink_;
  int control_fd_ = -1;
  std::uint32_t vteed_pid_ = 0;
  Mutex mutex_;  // while dying
  std::atomic<bool> dead_{false};
  Text sentence_;
};

}  // namespace vtee::vmm
