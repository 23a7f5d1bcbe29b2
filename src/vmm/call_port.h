// SPDX-License-Identifier: BSD-3-Clause
// CallPort: one vCPU's secure calls, over its mailbox in the shared ring.
//
// Submit() hands the guest's registers over, Wait() fetches the reply: it spins for as long as
// spinning has paid off lately, then sleeps on the mailbox. When vteed needs longer than the
// mailbox's park_after_us, Wait() asks vteed to park the call, which bounds every wait. A wait can
// be stopped; the call then stays pending and a later Wait() goes on with it. A pending call that
// nobody wants any more (the vCPU was reset) is abandoned: its reply is awaited and dropped before
// the next request is published.
//
// When vteed is dead (PeerHealth), calls end at once with x0 = 0xFFFFFFFFFFFFFFFF, SMCCC's
// NOT_SUPPORTED.
//
// Threading: one thread at a time per port. Ownership: borrows the ring and the health object.
// Not supported: more than one outstanding call per vCPU.
#pragma once

#include <cstdint>

#include "base/adaptive_spin.h"
#include "vmm/peer_health.h"
#include "vmm/protocol.h"

namespace vtee::vmm {

inline constexpr std::uint64_t kSmcccNotSupported = ~std::uint64_t{0};

struct CallRegisters {
  std::uint64_t x[kCallRegisters] = {};
  std::uint32_t count = 0;  // of a reply: x0..x(count-1) are to be set
};

// Should a wait stop? Asked often, so it must be cheap. `interrupted`: a signal handler has just
// run in this thread.
struct StopCheck {
  bool (*should_stop)(void* context, bool interrupted) = nullptr;
  void* context = nullptr;

  bool Stop(bool interrupted) const {
    return should_stop != nullptr && should_stop(context, interrupted);
  }
};

class CallPort {
 public:
  enum class Outcome {
    kReplied,  // the reply is filled in
    kStopped,  // the call is still pending
    kIdle,     // there was no call
  };

  CallPort() = default;
  CallPort(const CallPort&) = delete;
  CallPort& operator=(const CallPort&) = delete;
  // `spinners` is shared by the VM's ports.
  void Init(RingHeader* header, Mailbox* mailbox, PeerHealth* health, SpinLimit* spinners);

  // False when a call is pending already.
  bool Submit(std::uint32_t conduit, const std::uint64_t* x, unsigned count);
  Outcome Wait(const StopCheck& stop, CallRegisters& reply);
  bool pending() const { return queued_ || (posted_ && !draining_); }
  void Abandon();

 private:
  enum class Await { kAnswered, kStopped, kDead };

  void Post();
  void AskToPark();
  void RingDoorbell();
  bool Answered() const;
  bool SpinForReply(const StopCheck& stop, std::uint64_t at_most_ns, bool& stopped);
  Await AwaitReply(const StopCheck& stop);
  bool LostPeer();
  void TakeReply(CallRegisters& reply);

  RingHeader* header_ = nullptr;
  Mailbox* mailbox_ = nullptr;
  PeerHealth* health_ = nullptr;
  SpinLimit* spinners_ = nullptr;

  std::uint32_t sequence_ = 0;  // of the request posted last
  bool queued_ = false;         // call_ waits to be posted
  bool posted_ = false;         // vteed has request sequence_ and has not answered
  bool draining_ = false;       // ... and nobody wants the answer
  bool park_asked_ = false;
  std::uint64_t posted_at_ = 0;   // ns
  std::uint64_t next_check_ = 0;  // ns, when to see again whether vteed is there
  AdaptiveSpin spin_{0};          // for a reply
  std::uint32_t conduit_ = 0;
  std::uint64_t call_[kCallRegisters] = {};
};

}  // namespace vtee::vmm
