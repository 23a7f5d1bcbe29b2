// SPDX-License-Identifier: BSD-3-Clause
// Commands: what each message of a yielding call does (OPTEE_MSG_CMD_*).
//
// One object per VM. Execute() runs on the call's worker and may block in the TEE; it fetches the
// message's parameters once, does the work and writes the results back into the message. When
// there is no memory for it, that is the result: OUT_OF_MEMORY; nothing of the call stays behind.
// Not supported: protected memory (no capability is offered for it), refused as OP-TEE without
// the feature refuses it.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <span>

#include "dialect/optee/arg_memory.h"
#include "dialect/optee/call_slots.h"
#include "dialect/optee/device_enumeration.h"
#include "dialect/optee/notifier.h"
#include "dialect/optee/operation_table.h"
#include "dialect/optee/profile.h"
#include "dialect/optee/pseudo_memory.h"
#include "dialect/optee/random_numbers.h"
#include "dialect/optee/session_table.h"
#include "dialect/optee/shm_registry.h"
#include "dialect/optee/wire.h"
#include "mediator/policy.h"
#include "tee/backend.h"

namespace vtee::optee {

class Commands {
 public:
  Commands(const guest::GuestMemory& memory, tee::SessionTee& tee, const mediator::Policy& policy,
           Notifier& notifier, const GuestSetup& setup);

  // Runs the message `header` (already fetched, num_params in bounds) that lies at `arg`.
  // Returns the value for a0.
  std::uint32_t Execute(CallSlot& slot, const MsgHeader& header, const ArgMemory& arg);

  ShmRegistry& shm() { return shm_; }
  const SessionTable& sessions() const { return sessions_; }

  // Asks the TEE to stop one call, if it is there.
  void CancelCall(tee::OperationId operation);

  // The driver is gone and its calls are aborted: forgets its sessions and memory, which
  // allocates nothing. TidyUp() does the rest.
  struct Left {
    std::size_t sessions = 0;
    std::size_t buffers = 0;
  };
  Left EndLife();
  // Cancels what runs of drivers that are gone and gives the TEE back what they had; as long as
  // the TEE likes. May be called again: a TA may look for its cancellation only later. A session
  // whose command still runs is closed by that command's own thread, since a close would wait for
  // it.
  void TidyUp();
  // Has the guest's supplicant ever been there?
  bool supplicant_seen() { return enumeration_.supplicant_seen(); }

 private:
  using MsgParams = std::span<const MsgParam>;
  struct Answer {
    tee::Outcome outcome;
    std::uint32_t session = 0;
    bool has_session = false;
  };

  // An invocation's use of its session. The session is found and its use noted in one step:
  // TidyUp() finds it either forgotten or in use. The last use closes one that was forgotten
  // meanwhile.
  class SessionUse {
   public:
    SessionUse(Commands& commands, const CallSlot& slot, const MsgHeader& header);
    ~SessionUse();
    SessionUse(const SessionUse&) = delete;
    SessionUse& operator=(const SessionUse&) = delete;
    const std::optional<Session>& session() const { return session_; }

   private:
    Commands& commands_;
    const GuestSessionId id_;
    std::optional<Session> session_;
    std::optional<OperationTable::Inside> inside_;
  };

  bool Offers(std::uint32_t command) const;
  std::uint32_t Dispatch(CallSlot& slot, const MsgHeader& header, MsgParams params,
                         const ArgMemory& arg);
  Answer OpenSession(CallSlot& slot, MsgParams params, const ArgMemory& arg);
  tee::Outcome OpenInTee(CallSlot& slot, const tee::OpenRequest& request, tee::Params& params,
                         tee::SessionId& session);
  tee::Outcome InvokeInTee(CallSlot& slot, const Session& session, std::uint32_t command,
                           tee::Params& params);
  InternalApplication* Internal(CallSlot& slot, const tee::Uuid& application);
  Answer OpenInternal(CallSlot& slot, const tee::Uuid& uuid, InternalApplication& application);
  Answer Invoke(CallSlot& slot, const MsgHeader& header, MsgParams params, const ArgMemory& arg);
  Answer CloseSession(CallSlot& slot, const MsgHeader& header, MsgParams params);
  Answer Cancel(const MsgHeader& header, MsgParams params);
  std::uint32_t RegisterShm(CallSlot& slot, MsgParams params);
  std::uint32_t UnregisterShm(const CallSlot& slot, MsgParams params);
  static bool Publish(CallSlot& slot, const ArgMemory& arg, const Answer& answer);
  void CancelOperation(const OperationTable::Operation& operation);
  std::optional<SessionTable::Forgotten> TakeIdleSession();
  void EndOrphan(const Session& session);

  const guest::GuestMemory& memory_;
  tee::SessionTee& tee_;
  const mediator::Policy& policy_;
  const GuestSetup& setup_;
  Notifier& notifier_;
  ShmRegistry shm_;
  PseudoMemory pseudo_memory_;
  SessionTable sessions_;
  DeviceEnumeration enumeration_;
  RandomNumbers random_;
  OperationTable operations_;
  std::mutex life_mutex_;  // makes finding a session and noting its use one step
};

}  // namespace vtee::optee
