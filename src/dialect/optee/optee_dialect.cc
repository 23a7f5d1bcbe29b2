// SPDX-License-Identifier: BSD-3-Clause
#include "dialect/optee/optee_dialect.h"

#include <algorithm>
#include <chrono>
#include <utility>

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

// How long a new life waits for what the old one left inside the TEE, and how often it asks again.
constexpr auto kLifePatience = std::chrono::seconds(2);
constexpr auto kAskAgain = std::chrono::milliseconds(100);

// How long a parked guest sleeps before it is asked whether its process lives: ticks of its own
// timer (Linux takes the number as jiffies: 0.25 s to 2.5 s).
constexpr std::uint64_t kWaitTicks = 250;
// And the naps that a signal shortens: each as long again as the one before, since on a machine
// that is busy a guest may be back late from one that it did not take.
constexpr auto kFirstNap = std::chrono::milliseconds(50);
constexpr auto kLongestNap = std::chrono::milliseconds(400);

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

// To a vCPU that waits for a call of a driver that is gone.
RegisterReply Farewell() { return Done(ret::kResume); }

}  // namespace

OpteeDialect::OpteeDialect(const guest::GuestMemory& memory, tee::Backend& backend,
                           const mediator::Policy& policy, const GuestSetup& setup)
    : memory_(memory),
      backend_(backend),
      policy_(policy),
      setup_(setup),
      commands_(memory, *backend.sessions(), policy, notifier_, setup_),
      slots_(*this, policy.max_calls) {}

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

RegisterReply OpteeDialect::ExchangeCapabilities(std::uint32_t nsec_caps) {
  if ((nsec_caps & ~kNsecCapUniprocessor) != 0) return Reply(ret::kNotAvailable);
  if (policy_.one_driver) EndLife(/*replaced=*/true);
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

void OpteeDialect::YieldingCall(const SecureCall& call, mediator::Responder responder) {
  CallSlot* slot = slots_.Acquire();
  if (slot == nullptr) return responder.Reply(Reply(ret::kThreadLimit));
  slot->UseRpcArg(ArgMemory());
  slot->arg_cookie.reset();
  slot->wait = {};
  // The slot's call outlives the slot's next use by other threads: nothing of `slot` is touched
  // after Finish().
  const std::shared_ptr<mediator::YieldingCall> running = slot->call;
  running->Begin(std::move(responder));
  // An end of the driver's life that came before Begin() found nothing to abort.
  if (!slots_.IsCurrent(*slot)) running->Abort(Farewell());
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
  CallSlot* slot = slots_.Find(token);
  if (slot == nullptr || !slot->call->Resume(call, responder)) {
    LogGuest(LogLevel::kInfo, "resume.refused", {{"token", token}});
    responder.Reply(Reply(ret::kResume));
  }
}

// ---- what a parked guest is told ------------------------------------------------------------
//
// To wait for a notification, if it can. That wait is deaf to signals in Linux, even to SIGKILL
// (optee_notif_wait), so it is given a time; when it was in vain, the guest is asked for a nap
// (SUSPEND: msleep_interruptible), which a pending signal of any kind shortens. Only then comes a
// request for the supplicant that nobody knows: its wait ends with COMMUNICATION if the signal
// kills (optee_supp_thrd_req), else the supplicant says NOT_SUPPORTED. Without a supplicant it
// would last for ever, so one must have been seen. docs/optee-abi.md, "A killed process".

RegisterReply OpteeDialect::SayNotYet(mediator::YieldingCall& call, bool may_sleep,
                                      bool& guest_sleeps) {
  CallSlot& slot = slots_[call.index()];
  guest_sleeps = false;
  if (may_sleep) return AskAway(slot, GuestWait::Asked::kWait, guest_sleeps);
  return Reply(ret::kRpcForeignInterrupt, 0, 0, call.index());
}

RegisterReply OpteeDialect::AskAway(CallSlot& slot, GuestWait::Asked what, bool& guest_sleeps) {
  const std::uint32_t token = slot.call->index();
  const RegisterReply spin = Reply(ret::kRpcForeignInterrupt, 0, 0, token);
  guest_sleeps = false;
  slot.wait.asked = GuestWait::Asked::kNothing;
  if (slot.wait.refused || !slot.rpc_arg.valid() || !notifier_.enabled()) return spin;
  struct {
    MsgHeader header;
    MsgParam param;
  } ask{};
  ask.header.ret = tee::code::kGeneric;
  ask.header.num_params = 1;
  ask.param.attr = attr::kValueIn;
  switch (what) {
    case GuestWait::Asked::kNap:
      ask.header.cmd = rpc::kSuspend;
      slot.wait.nap = std::clamp(2 * slot.wait.nap, kFirstNap, kLongestNap);
      ask.param.u[0] = static_cast<std::uint64_t>(slot.wait.nap.count());
      break;
    case GuestWait::Asked::kNobody:
      ask.header.cmd = rpc::kNobodys;
      break;
    default:
      ask.header.cmd = rpc::kNotification;
      ask.param.u[0] = rpc::kNotificationWait;
      ask.param.u[1] = NotificationValue(token);
      if (policy_.notice_kill && commands_.supplicant_seen()) ask.param.u[2] = kWaitTicks;
      guest_sleeps = true;
      break;
  }
  if (!slot.rpc_arg.WriteObject(0, ask)) {
    guest_sleeps = false;
    return spin;
  }
  slot.wait.asked = what;
  slot.wait.since = std::chrono::steady_clock::now();
  return Reply(ret::kRpcCommand, Low(slot.rpc_arg_cookie >> 32), Low(slot.rpc_arg_cookie), token);
}

bool OpteeDialect::SendAway(mediator::YieldingCall& call, RegisterReply& reply,
                            bool& guest_sleeps) {
  using Asked = GuestWait::Asked;
  CallSlot& slot = slots_[call.index()];
  const Asked asked = std::exchange(slot.wait.asked, Asked::kNothing);
  if (asked == Asked::kNothing) return false;
  MsgHeader answer{};
  if (!slot.rpc_arg.ReadObject(0, answer)) answer.ret = tee::code::kGeneric;
  Asked next = Asked::kWait;
  if (asked == Asked::kWait) {
    if (answer.ret != tee::code::kTimeout) {
      slot.wait.refused = answer.ret != tee::code::kSuccess;
      return false;
    }
    if (policy_.notice_kill && commands_.supplicant_seen()) next = Asked::kNap;
  } else if (asked == Asked::kNap) {
    const bool cut_short = std::chrono::steady_clock::now() - slot.wait.since < slot.wait.nap;
    if (answer.ret == tee::code::kSuccess && cut_short) next = Asked::kNobody;
  } else if (answer.ret == tee::code::kCommunication) {
    LogGuest(LogLevel::kInfo, "call.killed", {{"token", call.index()}});
    chores_.Add([this, operation = slot.operation] { commands_.CancelCall(operation); });
  }
  reply = AskAway(slot, next, guest_sleeps);
  return true;
}

void OpteeDialect::Ring(mediator::YieldingCall& call) {
  notifier_.Raise(NotificationValue(call.index()));
}

// ---- the driver's life ----------------------------------------------------------------------

void OpteeDialect::Reset() { EndLife(/*replaced=*/false); }

void OpteeDialect::EndLife(bool replaced) {
  if (replaced && slots_.in_use() == 0 && !notifier_.enabled() && session_count() == 0 &&
      shm_count() == 0) {
    return;  // a machine's first driver, or one whose predecessor has tidied up
  }
  notifier_.Enable(false);
  const std::size_t calls = slots_.BeginLife(Farewell());
  const Commands::Left left = commands_.EndLife();
  TidyUp();
  if (replaced) {
    LogGuest(LogLevel::kInfo, "driver.replaced",
             {{"calls", std::uint64_t{calls}},
              {"sessions", std::uint64_t{left.sessions}},
              {"buffers", std::uint64_t{left.buffers}}});
  }
  const auto deadline = std::chrono::steady_clock::now() + kLifePatience;
  bool gone = false;
  while (!gone && std::chrono::steady_clock::now() < deadline) {
    gone = slots_.WaitForOld(std::min(deadline, std::chrono::steady_clock::now() + kAskAgain));
    if (!gone && chores_.WaitUntilDone(std::chrono::steady_clock::now())) TidyUp();
  }
  if (chores_.WaitUntilDone(deadline) && gone) return;
  // Nothing of them reaches the guest through vtee. A TA that runs on can still write to the
  // buffers it was given, as it could without vtee.
  LogGuest(LogLevel::kWarning, "driver.calls_left", {{"calls", std::uint64_t{slots_.old()}}});
}

// Not here: a cancellation takes a thread of the TEE, and all of them may be with these calls.
void OpteeDialect::TidyUp() {
  if (tidying_.exchange(true)) return;  // it has not begun yet
  chores_.Add([this] {
    tidying_ = false;
    commands_.TidyUp();
  });
}

}  // namespace vtee::optee
