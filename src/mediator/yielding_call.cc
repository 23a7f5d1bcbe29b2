// SPDX-License-Identifier: BSD-3-Clause
#include "mediator/yielding_call.h"

namespace vtee::mediator {

void YieldingCall::Begin(Responder responder) {
  const std::lock_guard lock(mutex_);
  state_ = State::kRunning;
  guest_sleeps_ = false;
  responder_ = std::move(responder);
  responder_.SetParkTarget(weak_from_this());
}

bool YieldingCall::AskGuest(const RegisterReply& request, SecureCall& answer) {
  return AskGuest(
      request, [] { return true; },
      [&](const SecureCall& from) {
        answer = from;
        return true;
      });
}

// A parked guest must come back before it can be asked anything. It may be parked again before
// this thread has noticed: asking_ then keeps it from going to sleep.
bool YieldingCall::WaitUntilAttached(std::unique_lock<std::mutex>& lock) {
  if (!aborted_ && state_ == State::kParked && guest_sleeps_) tongue_.Ring(*this);
  resumed_.wait(lock, [this] { return aborted_ || state_ == State::kRunning; });
  return !aborted_;
}

bool YieldingCall::WaitForAnswer(std::unique_lock<std::mutex>& lock, const RegisterReply& request) {
  responder_.Detach();
  state_ = State::kWithGuest;
  answered_ = false;
  responder_.Reply(request);
  // Not for kRunning: the guest may be back, and parked again, before this thread wakes.
  resumed_.wait(lock, [this] { return aborted_ || answered_; });
  return !aborted_;
}

void YieldingCall::Finish(const RegisterReply& reply) {
  std::unique_lock lock(mutex_);
  if (state_ == State::kParked && !aborted_) {
    state_ = State::kFinished;
    final_reply_ = reply;
    if (guest_sleeps_) tongue_.Ring(*this);
    return;
  }
  if (!responder_.armed()) return Free(lock);
  // Free the slot first: the guest may call again on another vCPU before Reply() has returned,
  // and must find the thread it was promised.
  Responder responder = std::move(responder_);
  Free(lock);
  responder.Reply(reply);
}

bool YieldingCall::Resume(const SecureCall& call, Responder& responder) {
  std::unique_lock lock(mutex_);
  if (aborted_) return false;
  switch (state_) {
    case State::kFinished: {
      const RegisterReply reply = final_reply_;
      Free(lock);
      responder.Reply(reply);
      return true;
    }
    case State::kParked:
      if (RegisterReply away; !asking_ && tongue_.SendAway(*this, away, guest_sleeps_)) {
        responder.Reply(away);
        return true;
      }
      [[fallthrough]];
    case State::kWithGuest:
      responder_ = std::move(responder);
      responder_.LeaveServerThread();
      responder_.SetParkTarget(weak_from_this());
      if (state_ == State::kWithGuest) {
        answer_ = call;
        answered_ = true;
      }
      guest_sleeps_ = false;
      state_ = State::kRunning;
      resumed_.notify_all();
      return true;
    case State::kFree:
    case State::kRunning:
      return false;
  }
  return false;
}

void YieldingCall::Park(const ReplyPort& port, std::uint32_t sequence) {
  const std::lock_guard lock(mutex_);
  if (state_ != State::kRunning || !responder_.Answers(port, sequence) || aborted_) {
    return;  // answered meanwhile
  }
  const RegisterReply reply = tongue_.SayNotYet(*this, !asking_, guest_sleeps_);
  state_ = State::kParked;
  responder_.Detach();
  responder_.Reply(reply);
}

void YieldingCall::Abort(const RegisterReply& farewell) {
  std::unique_lock lock(mutex_);
  if (state_ == State::kFree || aborted_) return;
  aborted_ = true;
  resumed_.notify_all();
  if (state_ == State::kFinished) return Free(lock);
  if (!responder_.armed()) return;
  // The worker may be inside the TEE for long; its vCPU is not to wait for that.
  state_ = State::kParked;
  responder_.Detach();
  responder_.Reply(farewell);
}

bool YieldingCall::aborted() const {
  const std::lock_guard lock(mutex_);
  return aborted_;
}

void YieldingCall::Free(std::unique_lock<std::mutex>& lock) {
  state_ = State::kFree;
  aborted_ = false;
  guest_sleeps_ = false;
  lock.unlock();
  tongue_.OnFree(*this);
}

}  // namespace vtee::mediator
