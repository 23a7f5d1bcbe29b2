// SPDX-License-Identifier: BSD-3-Clause
// OpteeDialect: the OP-TEE SMC ABI, of which a profile (profile.h) says how much.
//
// Fast calls are answered at once. A yielding call takes a slot, runs on the thread that serves
// its vCPU, and is parked when it takes long: the guest thread sleeps on an asynchronous
// notification if it can, else spins through foreign-interrupt returns. EXCHANGE_CAPABILITIES,
// which a driver calls once, when it starts, ends what the driver before it left.
// Threading: see mediator/dialect.h. Not supported: static and dynamic shared memory in one VM,
// the SHM cache, protected memory, FF-A. docs/optee-abi.md has the ABI in prose.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "dialect/optee/call_recorder.h"
#include "dialect/optee/call_slot.h"
#include "dialect/optee/call_slots.h"
#include "dialect/optee/commands.h"
#include "dialect/optee/notifier.h"
#include "dialect/optee/profile.h"
#include "mediator/chores.h"
#include "mediator/dialect.h"
#include "mediator/policy.h"
#include "tee/backend.h"

namespace vtee::optee {

class OpteeDialect final : public mediator::Dialect, private mediator::GuestTongue {
 public:
  // `backend` must offer sessions. A profile with a window needs one in `setup`.
  OpteeDialect(const guest::GuestMemory& memory, tee::Backend& backend,
               const mediator::Policy& policy, const GuestSetup& setup = {});
  ~OpteeDialect() override;

  std::span<const mediator::FunctionRange> ranges() const override;
  void Handle(const mediator::SecureCall& call, mediator::Responder responder) override;
  void SetInterrupt(UniqueFd eventfd) override;
  void Reset() override;

  // Before the first call. Without one, nothing is recorded.
  void SetRecorder(std::unique_ptr<CallRecorder> recorder) { recorder_ = std::move(recorder); }

  std::size_t session_count() const { return commands_.sessions().count(); }
  std::size_t shm_count() { return commands_.shm().count(); }

 private:
  // GuestTongue
  mediator::RegisterReply SayNotYet(mediator::YieldingCall& call, bool may_sleep,
                                    bool& guest_sleeps) override;
  void Ring(mediator::YieldingCall& call) override;
  bool SendAway(mediator::YieldingCall& call, mediator::RegisterReply& reply,
                bool& guest_sleeps) override;
  void OnFree(mediator::YieldingCall& call) override { slots_.Release(call.index()); }

  mediator::RegisterReply FastCall(const mediator::SecureCall& call);
  mediator::RegisterReply ExchangeCapabilities(std::uint32_t nsec_caps);
  mediator::RegisterReply ShmConfig() const;
  mediator::RegisterReply TakeNotification();
  void YieldingCall(const mediator::SecureCall& call, mediator::Responder responder);
  void ReturnFromRpc(const mediator::SecureCall& call, mediator::Responder responder);
  std::uint32_t LocateArg(const mediator::SecureCall& call, ArgMemory& arg, std::uint64_t& room,
                          ShmRegistry::Use& use);
  std::uint32_t RunCall(CallSlot& slot, const mediator::SecureCall& call);
  mediator::RegisterReply AskAway(CallSlot& slot, GuestWait::Asked what, bool& guest_sleeps);
  void EndLife(bool replaced);
  void TidyUp();

  const guest::GuestMemory& memory_;
  tee::Backend& backend_;
  const mediator::Policy& policy_;
  const GuestSetup setup_;
  std::unique_ptr<CallRecorder> recorder_;
  Notifier notifier_;
  Commands commands_;
  CallSlots slots_;
  std::atomic<bool> tidying_ = false;  // a chore that has yet to begin
  mediator::Chores chores_;            // last: they use all of the above
};

}  // namespace vtee::optee
