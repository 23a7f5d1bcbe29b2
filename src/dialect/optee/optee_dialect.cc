// SPDX-License-Identifier: BSD-3-Clause
#include "dialect/optee/optee_dialect.h"

#include <chrono>

#include "base/checked.h"
#include "base/log.h"

namespace vtee::optee {
namespace {

using mediator::RegisterReply;
using mediator::SecureCall;

// OP-TEE's std and fast calls, and the trusted OS's queries. One dialect per VM: other TEEs use
// the same numbers. A return from an RPC carries values in a1, a2, a4 and a5 and the token in a3
// (optee_smc.h); the other calls take a1 to a3 at most.
constexpr std::array<mediator::FunctionRange, 5> kRanges = {{
    {0x32000000, smc::kReturnFromRpc - 0x32000000, 4},
    {smc::kReturnFromRpc, 1, 6},
    {smc::kReturnFromRpc + 1, 0x32010000 - (smc::kReturnFromRpc + 1), 4},
    {0xB2000000, 0x10000, 4},
    {0xBF000000, 0x10000, 1},
}};

// What a guest is told when the backend does not know its TEE's revision: the ABI this dialect
// implements, which is that of OP-TEE 4.5.
constexpr std::uint32_t kAbiMajor = 4;
constexpr std::uint32_t kAbiMinor = 5;

// How long a restart waits for calls that are inside the TEE.
constexpr auto kResetPatience = std::chrono::seconds(2);

// All of the ABI's functions are SMC32: only the low halves of registers mean anything.
constexpr std::uint32_t Low(std::uint64_t x) { return static_cast<std::uint32_t>(x); }
constexpr std::uint64_t Pair(std::uint64_t hi, std::uint64_t lo) {
  return std::uint64_t{Low(hi)} << 32 | Low(lo);
}

RegisterReply Reply(std::uint64_t a0, std::uint32_t a1 = 0, std::uint32_t a2 = 0,
                    std::uint32_t a3 = 0) {
  RegisterReply reply;
  reply.count = 4;
  reply.x[0] = a0;
  reply.x[1] = a1;
  reply.x[2] = a2;
  reply.x[3] = a3;
  return reply;
}

// A yielding call's last return: "a1-3 Not used" (optee_smc.h), so the guest's stay as they are.
RegisterReply Done(std::uint32_t a0) {
  RegisterReply reply;
  reply.count = 1;
  reply.x[0] = a0;
  return reply;
}

}  // namespace

OpteeDialect::OpteeDialect(const guest::GuestMemory& memory, tee::Backend& backend,
                           const mediator::Policy& policy, const GuestSetup& setup)
    : memory_(memory),
      backend_(backend),
      policy_(policy),
      setup_(setup),
      commands_(memory, *backend.sessions(), policy, notifier_, setup_) {
  GuestTongue& tongue = *this;
  for (std::uint32_t i = 0; i < policy.max_calls; ++i) {
    auto slot = std::make_unique<CallSlot>();
    slot->call = std::make_shared<mediator::YieldingCall>(tongue, i);
    slots_.push_back(std::move(slot));
    free_slots_.push_back(policy.max_calls - 1 - i);
  }
}

OpteeDialect::~OpteeDialect() = default;

std::span<const mediator::FunctionRange> OpteeDialect::ranges() const { return kRanges; }

void OpteeDialect::Handle(const SecureCall& call, mediator::Responder responder) {
  switch (Low(call.x[0])) {
    case smc::kCallWithRpcArg:
    case smc::kCallWithRegdArg:
      // As an OP-TEE that is older than these two.
      if (!setup_.profile->rpc_arg) return responder.Reply(Done(ret::kBadCommand));
      [[fallthrough]];
    case smc::kCallWithArg:
      return YieldingCall(call, std::move(responder));
    case smc::kReturnFromRpc:
      if (recorder_) recorder_->Record(call);
      return ReturnFromRpc(call, std::move(responder));
    default:
      if (recorder_) recorder_->Record(call);
      return responder.Reply(FastCall(call));  // allocates nothing: log lines are left out
  }
}

RegisterReply OpteeDialect::FastCall(const SecureCall& call) {
  switch (Low(call.x[0])) {
    case smc::kCallsCount:
      return Reply(kCallsCountValue);
    case smc::kCallsUid:
      return Reply(kApiUid[0], kApiUid[1], kApiUid[2], kApiUid[3]);
    case smc::kCallsRevision:
      return Reply(kApiRevisionMajor, kApiRevisionMinor);
    case smc::kGetOsUuid:
      return Reply(kOsUuid[0], kOsUuid[1], kOsUuid[2], kOsUuid[3]);
    case smc::kGetOsRevision: {
      const tee::BackendCapabilities& backend = backend_.capabilities();
      if (backend.os_revision_major == 0) return Reply(kAbiMajor, kAbiMinor);
      return Reply(backend.os_revision_major, backend.os_revision_minor);
    }
    case smc::kGetShmConfig:
      return ShmConfig();
    case smc::kExchangeCapabilities:
      return ExchangeCapabilities(Low(call.x[1]));
    case smc::kDisableShmCache:
      return Reply(ret::kNotAvailable);  // empty: ends the guest's loop
    case smc::kEnableShmCache:
      return Reply(ret::kOk);
    case smc::kGetThreadCount:
      return Reply(ret::kOk, policy_.max_calls);
    case smc::kEnableAsyncNotif:
      if (!notifier_.available()) return Reply(ret::kUnknownFunction);
      notifier_.Enable(true);
      return Reply(ret::kOk);
    case smc::kGetAsyncNotifValue:
      if (!setup_.profile->notifications) return Reply(ret::kUnknownFunction);
      return TakeNotification();
    default:
      LogGuest(LogLevel::kInfo, "smc.unknown", {{"id", Hex(call.x[0])}});
      return Reply(ret::kUnknownFunction);
  }
}

RegisterReply OpteeDialect::ExchangeCapabilities(std::uint32_t nsec_caps) const {
  if ((nsec_caps & ~kNsecCapUniprocessor) != 0) return Reply(ret::kNotAvailable);
  const Profile& profile = *setup_.profile;
  std::uint32_t caps =
      profile.window ? kSecCapReservedShm : kSecCapUnregisteredShm | kSecCapDynamicShm;
  if (backend_.capabilities().null_memref) caps |= kSecCapMemrefNull;
  std::uint32_t max_notification = 0;
  if (notifier_.available()) {
    caps |= kSecCapAsyncNotif;
    max_notification = Notifier::kMaxValue;
  }
  if (!profile.rpc_arg) return Reply(ret::kOk, caps, max_notification);
  return Reply(ret::kOk, caps | kSecCapRpcArg, max_notification, kRpcParams);
}

RegisterReply OpteeDialect::ShmConfig() const {
  if (!setup_.profile->window) return Reply(ret::kNotAvailable);  // shared memory is dynamic
  std::byte probe{};
  if (memory_.SnapshotObject(guest::GuestPhysAddr(setup_.window.base), probe) !=
      guest::MemFault::kNone) {
    LogGuest(LogLevel::kWarning, "window.missing",
             {{"base", Hex(setup_.window.base)},
              {"remedy", "the VMM must give vteed the window's memory slot (vtee_vm_window)"}});
    return Reply(ret::kNotAvailable);
  }
  // Below 4 GiB by configuration: these are 32-bit registers.
  return Reply(ret::kOk, Low(setup_.window.base), Low(setup_.window.size), kShmCached);
}

void OpteeDialect::SetInterrupt(UniqueFd eventfd) {
  if (setup_.profile->notifications) notifier_.SetInterrupt(std::move(eventfd));
}

RegisterReply OpteeDialect::TakeNotification() {
  std::uint32_t value = 0;
  bool more = false;
  if (!notifier_.Take(value, more)) return Reply(ret::kOk);
  return Reply(ret::kOk, value, kAsyncNotifValid | (more ? kAsyncNotifPending : 0));
}

CallSlot* OpteeDialect::AcquireSlot(std::uint32_t& epoch) {
  const std::lock_guard lock(slots_mutex_);
  epoch = epoch_;
  if (free_slots_.empty()) return nullptr;
  CallSlot* slot = slots_[free_slots_.back()].get();
  free_slots_.pop_back();
  slot->operation = tee::OperationId(++last_operation_);
  return slot;
}

bool OpteeDialect::ResetSince(std::uint32_t epoch) {
  const std::lock_guard lock(slots_mutex_);
  return epoch_ != epoch;
}

void OpteeDialect::OnFree(mediator::YieldingCall& call) {
  const std::lock_guard lock(slots_mutex_);
  free_slots_.push_back(call.index());
  slot_freed_.notify_all();
}

void OpteeDialect::YieldingCall(const SecureCall& call, mediator::Responder responder) {
  std::uint32_t epoch = 0;
  CallSlot* slot = AcquireSlot(epoch);
  if (slot == nullptr) return responder.Reply(Reply(ret::kThreadLimit));
  slot->UseRpcArg(ArgMemory());
  slot->arg_cookie.reset();
  slot->wait_refused = false;
  // The slot's call outlives the slot's next use by other threads: nothing of `slot` is touched
  // after Finish().
  const std::shared_ptr<mediator::YieldingCall> running = slot->call;
  running->Begin(std::move(responder));
  // A reset that came before Begin() found nothing to abort.
  if (ResetSince(epoch)) running->Abort();
  const std::uint32_t a0 = RunCall(*slot, call);
  running->Finish(Done(a0));
}

std::uint32_t OpteeDialect::LocateArg(const SecureCall& call, ArgMemory& arg, std::uint64_t& room,
                                      ShmRegistry::Use& use) {
  const std::uint64_t where = Pair(call.x[1], call.x[2]);
  if (Low(call.x[0]) != smc::kCallWithRegdArg) {
    if (setup_.profile->window) {
      // Anywhere in the window, as in OP-TEE's own static area.
      if (where % 8 != 0 || !setup_.window.Contains(where, sizeof(MsgHeader))) {
        return ret::kBadAddress;
      }
      arg = ArgMemory(memory_, guest::GuestPhysAddr(where));
      room = setup_.window.base + setup_.window.size - where;
      return ret::kOk;
    }
    // One page, from its start, as OP-TEE demands outside its own static area.
    if (where % guest::kPageSize != 0) return ret::kBadAddress;
    arg = ArgMemory(memory_, guest::GuestPhysAddr(where));
    room = guest::kPageSize;
    return ret::kOk;
  }
  use = commands_.shm().Find(ShmCookie(where));
  const std::uint64_t offset = Low(call.x[3]);
  if (!use || offset % 8 != 0 || offset >= use->buffer()->size()) return ret::kBadAddress;
  arg = ArgMemory(use->buffer(), offset);
  room = std::min<std::uint64_t>(use->buffer()->size() - offset, guest::kPageSize);
  return ret::kOk;
}

std::uint32_t OpteeDialect::RunCall(CallSlot& slot, const SecureCall& call) {
  ArgMemory arg;
  std::uint64_t room = 0;
  ShmRegistry::Use use;  // keeps a registered argument buffer from being unregistered
  const std::uint32_t located = LocateArg(call, arg, room, use);
  if (located != ret::kOk) return located;
  if (use) slot.arg_cookie = Pair(call.x[1], call.x[2]);

  MsgHeader header{};
  if (!RangeInside(0, sizeof header, room) || !arg.ReadObject(0, header) ||
      header.num_params > kMaxMsgParams) {
    return ret::kBadAddress;
  }
  std::uint64_t needed = MsgSize(header.num_params);
  if (Low(call.x[0]) != smc::kCallWithArg) needed += MsgSize(kRpcParams);
  if (needed > room) return ret::kBadAddress;
  if (Low(call.x[0]) != smc::kCallWithArg) {
    // The park thread reads it under the call's lock.
    slot.call->WhileGuestIsThere([&] { slot.UseRpcArg(arg.At(MsgSize(header.num_params))); });
  }
  if (recorder_) recorder_->Record(call, header, arg, memory_);
  return commands_.Execute(slot, header, arg);
}

void OpteeDialect::ReturnFromRpc(const SecureCall& call, mediator::Responder responder) {
  const std::uint32_t token = Low(call.x[3]);
  if (token >= slots_.size() || !slots_[token]->call->Resume(call, responder)) {
    LogGuest(LogLevel::kInfo, "resume.refused", {{"token", token}});
    responder.Reply(Reply(ret::kResume));
  }
}

RegisterReply OpteeDialect::SayNotYet(mediator::YieldingCall& call, bool may_sleep,
                                      bool& guest_sleeps) {
  CallSlot& slot = *slots_[call.index()];
  const RegisterReply spin = Reply(ret::kRpcForeignInterrupt, 0, 0, call.index());
  guest_sleeps = false;
  if (!may_sleep) return spin;
  if (slot.waited) {
    MsgHeader answer{};
    slot.wait_refused = !slot.rpc_arg.ReadObject(0, answer) || answer.ret != tee::code::kSuccess;
    slot.waited = false;
  }
  if (slot.wait_refused || !slot.rpc_arg.valid() || !notifier_.enabled()) {
    return spin;
  }
  struct {
    MsgHeader header;
    MsgParam param;
  } wait{};
  wait.header.cmd = rpc::kNotification;
  wait.header.ret = tee::code::kGeneric;
  wait.header.num_params = 1;
  wait.param.attr = attr::kValueIn;
  wait.param.u[0] = rpc::kNotificationWait;
  wait.param.u[1] = NotificationValue(call.index());
  if (!slot.rpc_arg.WriteObject(0, wait)) return spin;
  slot.waited = true;
  guest_sleeps = true;
  return Reply(ret::kRpcCommand, Low(slot.rpc_arg_cookie >> 32), Low(slot.rpc_arg_cookie),
               call.index());
}

void OpteeDialect::Ring(mediator::YieldingCall& call) {
  notifier_.Raise(NotificationValue(call.index()));
}

void OpteeDialect::Reset() {
  notifier_.Enable(false);
  {
    const std::lock_guard lock(slots_mutex_);
    ++epoch_;
  }
  for (const auto& slot : slots_) slot->call->Abort();
  commands_.CancelAll();
  commands_.ForgetMemory();  // also ends calls that wait to unregister a buffer
  {
    std::unique_lock lock(slots_mutex_);
    if (!slot_freed_.wait_for(lock, kResetPatience,
                              [this] { return free_slots_.size() == slots_.size(); })) {
      // Their results go nowhere and their sessions are closed when they end.
      Log(LogLevel::kWarning, "reset.calls_left",
          {{"calls", static_cast<std::uint64_t>(slots_.size() - free_slots_.size())}});
    }
  }
  commands_.Reset();
}

}  // namespace vtee::optee
