// SPDX-License-Identifier: BSD-3-Clause
// YieldingCall: one call into the TEE that may outlive the SMC that started it.
//
// A worker thread runs the call top to bottom. Meanwhile the guest is either held in its SMC
// ("attached": the call has a Responder), or has got its vCPU back and will return ("parked", or
// "with the guest" when the TEE asked it for something). This class is that state machine; what
// is said to the guest in each case is the dialect's (GuestTongue).
//
//            Begin            AskGuest                    Resume
//   free ----------> running ----------> with the guest ----------> running
//                      | Park                                          ^
//                      v          Resume (attaches again)              |
//                   parked -------------------------------------------+
//                      | Finish (rings the guest)        Resume: reply at once
//                      v
//                   finished --------------------------> free
//
// Threading: Park and Resume from any thread; Begin, AskGuest, Finish from the worker.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <utility>

#include "mediator/secure_call.h"

namespace vtee::mediator {

class YieldingCall;

// What a dialect says to a guest whose call is not done. Called with the call locked: implementors
// must not call back into it.
class GuestTongue {
 public:
  virtual ~GuestTongue() = default;
  // The call takes long: registers that give the guest its vCPU back, and whether the guest now
  // sleeps until it is rung (true) or comes back by itself (false). Unless `may_sleep`, it must
  // come back by itself, and the memory for requests to the guest is in use.
  virtual RegisterReply SayNotYet(YieldingCall& call, bool may_sleep, bool& guest_sleeps) = 0;
  // The guest is back although its call is not done. True: `reply` sends it away again at once,
  // to sleep or not as above. False: it may wait a little for its call.
  virtual bool SendAway(YieldingCall& call, RegisterReply& reply, bool& guest_sleeps) = 0;
  // Wakes the guest that sleeps for this call.
  virtual void Ring(YieldingCall& call) = 0;
  // The call is over and its slot is free again.
  virtual void OnFree(YieldingCall& call) = 0;
};

class YieldingCall final : public ParkTarget, public std::enable_shared_from_this<YieldingCall> {
 public:
  YieldingCall(GuestTongue& tongue, std::uint32_t index) : tongue_(tongue), index_(index) {}

  std::uint32_t index() const { return index_; }  // the call's slot: its resume token

  // Worker: takes the slot for a new call.
  void Begin(Responder responder);
  // Worker: gives the guest `request` and waits for its return; false: the call was aborted.
  // prepare() puts what belongs to the request into guest memory once the guest is there to be
  // asked, and false from it asks nothing; collect(answer) fetches what the guest left there.
  // Both run with the call locked, so that a park at any moment finds that memory in use.
  template <typename Prepare, typename Collect>
  bool AskGuest(const RegisterReply& request, Prepare&& prepare, Collect&& collect) {
    std::unique_lock lock(mutex_);
    asking_ = true;
    const bool asked = WaitUntilAttached(lock) && prepare() && WaitForAnswer(lock, request) &&
                       collect(std::as_const(answer_));
    asking_ = false;
    return asked;
  }
  // The same for a request and an answer that are all in registers.
  bool AskGuest(const RegisterReply& request, SecureCall& answer);
  // Worker: the last thing of a call. The reply reaches the guest now or when it comes back.
  void Finish(const RegisterReply& reply);

  // The guest came back (RETURN_FROM_RPC). False: the call is not one that waits for the guest;
  // the responder is untouched then.
  bool Resume(const SecureCall& call, Responder& responder);

  void Park(const ReplyPort& port, std::uint32_t sequence) override;

  // The guest is gone or starts anew: whoever waits for it stops waiting, and nothing of the call
  // reaches it. A vCPU that is held gets `farewell`.
  void Abort(const RegisterReply& farewell);
  bool aborted() const;

  // Runs `write` (access to guest memory) unless the call was aborted; true if it ran.
  template <typename Fn>
  bool WhileGuestIsThere(Fn&& write) {
    const std::lock_guard lock(mutex_);
    if (aborted_) return false;
    write();
    return true;
  }

 private:
  enum class State : std::uint8_t { kFree, kRunning, kParked, kWithGuest, kFinished };

  bool WaitUntilAttached(std::unique_lock<std::mutex>& lock);
  bool WaitForAnswer(std::unique_lock<std::mutex>& lock, const RegisterReply& request);
  void Free(std::unique_lock<std::mutex>& lock);

  GuestTongue& tongue_;
  const std::uint32_t index_;
  mutable std::mutex mutex_;
  std::condition_variable resumed_;
  State state_ = State::kFree;
  bool aborted_ = false;
  bool guest_sleeps_ = false;
  bool asking_ = false;    // the worker is in AskGuest()
  bool answered_ = false;  // answer_ holds what the worker has yet to take
  Responder responder_;    // armed exactly while attached
  RegisterReply final_reply_;
  SecureCall answer_;
};

}  // namespace vtee::mediator
