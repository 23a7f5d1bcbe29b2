// SPDX-License-Identifier: BSD-3-Clause
#include "dialect/optee/commands.h"

#include <cstring>

#include "base/log.h"
#include "base/memory.h"
#include "dialect/optee/rpc_engine.h"
#include "dialect/optee/ta_params.h"
#include "guest/page_list.h"

namespace vtee::optee {
namespace {

constexpr tee::Outcome FromTee(std::uint32_t code) { return {code, tee::Origin::kTee}; }

tee::Uuid UuidOf(const MsgParam& param) {
  tee::Uuid uuid;
  std::memcpy(uuid.octets.data(), param.u, uuid.octets.size());
  return uuid;
}

}  // namespace

Commands::Commands(const guest::GuestMemory& memory, tee::SessionTee& tee,
                   const mediator::Policy& policy, Notifier& notifier, const GuestSetup& setup)
    : memory_(memory),
      tee_(tee),
      policy_(policy),
      setup_(setup),
      notifier_(notifier),
      shm_(policy),
      pseudo_memory_(policy),
      sessions_(policy.max_sessions),
      enumeration_(tee, policy),
      random_(enumeration_),
      operations_(CallSlots::Count(policy.max_calls)) {}

std::uint32_t Commands::Execute(CallSlot& slot, const MsgHeader& header, const ArgMemory& arg) {
  std::array<MsgParam, kMaxUsedParams> params{};
  if (header.num_params > params.size()) {
    // Inside the ABI's bound but more than any command takes: the message's own error.
    const Answer answer{FromTee(tee::code::kBadParameters)};
    return Publish(slot, arg, answer) ? ret::kOk : ret::kBadAddress;
  }
  const auto used = std::span(params).first(header.num_params);
  if (!arg.Read(sizeof(MsgHeader), std::as_writable_bytes(used))) return ret::kBadAddress;
  std::uint32_t a0 = ret::kOk;
  if (WithinMemory([&] { a0 = Dispatch(slot, header, used, arg); })) return a0;
  LogGuest(LogLevel::kWarning, "call.memory", {{"cmd", header.cmd}});
  const Answer answer{FromTee(tee::code::kOutOfMemory), 0, header.cmd == cmd::kOpenSession};
  return Publish(slot, arg, answer) ? ret::kOk : ret::kBadAddress;
}

// As an OP-TEE that was built without what the profile leaves out.
bool Commands::Offers(std::uint32_t command) const {
  switch (command) {
    case cmd::kRegisterShm:
    case cmd::kUnregisterShm:
      return !setup_.profile->window;
    case cmd::kDoBottomHalf:
    case cmd::kStopAsyncNotif:
      return setup_.profile->notifications;
    default:
      return command <= cmd::kCancel;  // the commands of protected memory are not
  }
}

std::uint32_t Commands::Dispatch(CallSlot& slot, const MsgHeader& header, MsgParams params,
                                 const ArgMemory& arg) {
  if (!Offers(header.cmd)) {
    LogGuest(LogLevel::kInfo, "message.unknown", {{"cmd", header.cmd}});
    return ret::kBadCommand;
  }
  Answer answer;
  switch (header.cmd) {
    case cmd::kOpenSession:
      answer = OpenSession(slot, params, arg);
      break;
    case cmd::kInvokeCommand:
      answer = Invoke(slot, header, params, arg);
      break;
    case cmd::kCloseSession:
      answer = CloseSession(slot, header, params);
      break;
    case cmd::kCancel:
      answer = Cancel(header, params);
      break;
    case cmd::kRegisterShm:
      answer.outcome = FromTee(RegisterShm(slot, params));
      break;
    case cmd::kUnregisterShm:
      answer.outcome = FromTee(UnregisterShm(slot, params));
      break;
    case cmd::kDoBottomHalf:
      break;  // vtee has no bottom half of its own; acknowledged as OP-TEE does
    case cmd::kStopAsyncNotif:
      notifier_.Enable(false);
      break;
    default:
      return ret::kBadCommand;
  }
  return Publish(slot, arg, answer) ? ret::kOk : ret::kBadAddress;
}

bool Commands::Publish(CallSlot& slot, const ArgMemory& arg, const Answer& answer) {
  bool written = true;
  slot.call->WhileGuestIsThere([&] {
    const std::array<std::uint32_t, 2> result{answer.outcome.code,
                                              static_cast<std::uint32_t>(answer.outcome.origin)};
    if (answer.has_session) {
      written = arg.WriteObject(offsetof(MsgHeader, session), answer.session);
    }
    written = written && arg.WriteObject(offsetof(MsgHeader, ret), result);
  });
  return written;
}

Commands::Answer Commands::OpenSession(CallSlot& slot, MsgParams params, const ArgMemory& arg) {
  constexpr std::uint64_t kMetaValue = attr::kMeta | attr::kValueIn;
  Answer answer{FromTee(tee::code::kBadParameters), 0, true};
  if (params.size() < 2 || params[0].attr != kMetaValue || params[1].attr != kMetaValue) {
    return answer;
  }
  tee::OpenRequest request;
  request.application = UuidOf(params[0]);
  request.client = UuidOf(params[1]);
  request.login = static_cast<tee::Login>(params[1].u[2] & 0xFFFFFFFF);
  InternalApplication* internal = Internal(slot, request.application);
  if (internal != nullptr) return OpenInternal(slot, request.application, *internal);
  if (request.application == kDeviceEnumerationPta) {
    answer.outcome = FromTee(tee::code::kItemNotFound);
    return answer;
  }
  if (!policy_.MayOpen(request.application)) {
    LogGuest(LogLevel::kWarning, "policy.denied", {{"ta", tee::ToString(request.application)}});
    answer.outcome = FromTee(tee::code::kAccessDenied);
    return answer;
  }
  TaParams ta;
  answer.outcome.code = ta.Decode(params.subspan(2), memory_, setup_, shm_, tee_);
  if (!answer.outcome.ok()) return answer;
  SessionTable::Place place = sessions_.Reserve();
  if (!place) {
    LogGuest(LogLevel::kWarning, "session.quota", {{"limit", policy_.max_sessions}});
    answer.outcome = FromTee(tee::code::kOutOfMemory);
    return answer;
  }
  Session session{request.application, nullptr, {}};
  answer.outcome = OpenInTee(slot, request, ta.params(), session.backend);
  bool kept = false;
  slot.call->WhileGuestIsThere([&] {
    static_cast<void>(ta.WriteBack(arg.At(MsgSize(2))));
    if (!answer.outcome.ok()) return;
    answer.session = place.Keep(session).value();
    kept = true;
  });
  if (!kept && answer.outcome.ok()) EndOrphan(session);  // its guest has restarted meanwhile
  return answer;
}

tee::Outcome Commands::OpenInTee(CallSlot& slot, const tee::OpenRequest& request,
                                 tee::Params& params, tee::SessionId& session) {
  const auto mapped = pseudo_memory_.Take(request.application, params);
  if (!mapped) return FromTee(tee::code::kOutOfMemory);
  RpcEngine rpc(slot, memory_, setup_);
  tee::CallContext context{&rpc, slot.operation};
  const OperationTable::Inside inside(operations_, slot.call->index(), slot.operation);
  return tee_.OpenSession(context, request, params, session);
}

tee::Outcome Commands::InvokeInTee(CallSlot& slot, const Session& session, std::uint32_t command,
                                   tee::Params& params) {
  const auto mapped = pseudo_memory_.Take(session.application, params);
  if (!mapped) return FromTee(tee::code::kOutOfMemory);
  RpcEngine rpc(slot, memory_, setup_);
  tee::CallContext context{&rpc, slot.operation};
  return tee_.Invoke(context, session.backend, command, params);
}

InternalApplication* Commands::Internal(CallSlot& slot, const tee::Uuid& application) {
  if (policy_.denied_applications.contains(application)) return nullptr;
  tee::CallContext context{nullptr, slot.operation};
  // An allow-list need not name the enumeration: what it lists is filtered anyway.
  if (application == kDeviceEnumerationPta && enumeration_.Answers(context)) return &enumeration_;
  if (application == kRngPta && policy_.MayOpen(application) && random_.Answers(context)) {
    return &random_;
  }
  return nullptr;
}

Commands::Answer Commands::OpenInternal(CallSlot& slot, const tee::Uuid& uuid,
                                        InternalApplication& application) {
  Answer answer{FromTee(tee::code::kSuccess), 0, true};
  SessionTable::Place place = sessions_.Reserve();
  if (!place) {
    answer.outcome = FromTee(tee::code::kOutOfMemory);
    return answer;
  }
  slot.call->WhileGuestIsThere([&] {
    answer.session = place.Keep({uuid, &application, {}}).value();
  });
  return answer;
}

Commands::Answer Commands::Invoke(CallSlot& slot, const MsgHeader& header, MsgParams params,
                                  const ArgMemory& arg) {
  Answer answer{FromTee(tee::code::kBadParameters)};
  TaParams ta;
  answer.outcome.code = ta.Decode(params, memory_, setup_, shm_, tee_);
  if (!answer.outcome.ok()) return answer;
  {
    const SessionUse use(*this, slot, header);
    if (!use.session()) {
      answer.outcome = FromTee(tee::code::kBadParameters);
      return answer;
    }
    const Session& session = *use.session();
    if (session.internal != nullptr) {
      RpcEngine rpc(slot, memory_, setup_);
      tee::CallContext context{&rpc, slot.operation};
      answer.outcome = session.internal->Invoke(context, header.func, ta);
    } else {
      answer.outcome = InvokeInTee(slot, session, header.func, ta.params());
    }
  }
  slot.call->WhileGuestIsThere([&] { static_cast<void>(ta.WriteBack(arg.At(sizeof(MsgHeader)))); });
  return answer;
}

Commands::SessionUse::SessionUse(Commands& commands, const CallSlot& slot, const MsgHeader& header)
    : commands_(commands), id_(header.session) {
  const std::lock_guard lock(commands_.life_mutex_);
  session_ = commands_.sessions_.Find(id_);
  if (session_ && session_->internal == nullptr) {
    inside_.emplace(commands_.operations_, slot.call->index(),
                    OperationTable::Key{header.session, header.cancel_id}, slot.operation,
                    session_->backend);
  }
}

Commands::SessionUse::~SessionUse() {
  if (!inside_) return;
  inside_.reset();
  {
    const std::lock_guard lock(commands_.life_mutex_);
    if (commands_.operations_.Runs(session_->backend)) return;
    if (!commands_.sessions_.TakeForgotten(id_)) return;
  }
  commands_.EndOrphan(*session_);
  commands_.sessions_.Closed(id_);
}

Commands::Answer Commands::CloseSession(CallSlot& slot, const MsgHeader& header, MsgParams params) {
  if (!params.empty()) return {FromTee(tee::code::kBadParameters)};
  const auto session = sessions_.Remove(GuestSessionId(header.session));
  if (!session) return {FromTee(tee::code::kItemNotFound)};
  if (session->internal != nullptr) return {};
  RpcEngine rpc(slot, memory_, setup_);
  tee::CallContext context{&rpc, slot.operation};
  return {tee_.CloseSession(context, session->backend)};
}

Commands::Answer Commands::Cancel(const MsgHeader& header, MsgParams params) {
  if (!params.empty()) return {FromTee(tee::code::kBadParameters)};
  const auto session = sessions_.Find(GuestSessionId(header.session));
  if (!session) return {FromTee(tee::code::kBadParameters)};
  // Nothing to cancel: it has ended meanwhile, which OP-TEE too reports as success.
  tee::Outcome outcome = FromTee(tee::code::kSuccess);
  operations_.ForEachInvocation({header.session, header.cancel_id},
                                [&](const OperationTable::Operation& operation) {
                                  outcome = tee_.RequestCancel(operation.session, operation.id);
                                });
  return {outcome};
}

std::uint32_t Commands::RegisterShm(CallSlot& slot, MsgParams params) {
  if (params.size() != 1 || params[0].attr != (attr::kTmemOut | attr::kNonContiguous)) {
    return tee::code::kBadParameters;
  }
  const std::uint64_t address = params[0].u[0];
  const std::uint64_t size = params[0].u[1];
  const ShmCookie cookie(params[0].u[2]);
  const std::uint64_t offset = address % guest::kPageSize;
  if (size == 0) return tee::code::kBadParameters;
  ShmRegistry::Charge charge = shm_.Take(size);
  if (!charge) return tee::code::kOutOfMemory;
  std::vector<guest::GuestPhysAddr> pages;
  guest::MemFault fault =
      guest::WalkPageList(memory_, guest::GuestPhysAddr(address - offset), offset, size,
                          policy_.max_shm_bytes / guest::kPageSize + 1, pages);
  std::shared_ptr<const guest::GuestBuffer> buffer;
  if (fault == guest::MemFault::kNone) {
    fault = guest::GuestBuffer::FromPages(memory_, pages, offset, size, buffer);
  }
  if (fault != guest::MemFault::kNone) {
    LogGuest(LogLevel::kInfo, "shm.refused",
             {{"list", Hex(address)}, {"size", size}, {"fault", guest::MemFaultName(fault)}});
    return tee::code::kBadParameters;
  }
  std::uint32_t added = tee::code::kBadState;
  slot.call->WhileGuestIsThere(
      [&] { added = shm_.Add(cookie, std::move(buffer), std::move(charge)); });
  return added;
}

std::uint32_t Commands::UnregisterShm(const CallSlot& slot, MsgParams params) {
  if (params.size() != 1 || params[0].attr != attr::kRmemIn) return tee::code::kBadParameters;
  // The buffer this very message lies in: waiting for its users would be for ever.
  if (slot.arg_cookie == params[0].u[2]) return tee::code::kBadParameters;
  return shm_.Remove(ShmCookie(params[0].u[2]));
}

void Commands::CancelOperation(const OperationTable::Operation& operation) {
  static_cast<void>(operation.opening ? tee_.RequestCancelOpen(operation.id)
                                      : tee_.RequestCancel(operation.session, operation.id));
}

void Commands::EndOrphan(const Session& session) {
  if (session.internal != nullptr) return;
  tee::CallContext context{};  // nobody is there to answer upcalls
  static_cast<void>(
      WithinMemory([&] { static_cast<void>(tee_.CloseSession(context, session.backend)); }));
}

void Commands::CancelCall(tee::OperationId operation) {
  operations_.ForEach([&](const OperationTable::Operation& running) {
    if (running.id == operation) CancelOperation(running);
  });
}

Commands::Left Commands::EndLife() {
  Left left;
  {
    const std::lock_guard lock(life_mutex_);
    operations_.ForsakeAll();
    left.sessions = sessions_.Forget();
  }
  left.buffers = shm_.Clear();
  enumeration_.Forget();
  return left;
}

void Commands::TidyUp() {
  operations_.ForEach([this](const OperationTable::Operation& running) {
    if (running.forsaken) CancelOperation(running);
  });
  shm_.GiveBack();
  while (const auto forgotten = TakeIdleSession()) {
    EndOrphan(forgotten->session);
    sessions_.Closed(forgotten->id);
  }
}

std::optional<SessionTable::Forgotten> Commands::TakeIdleSession() {
  const std::lock_guard lock(life_mutex_);
  return sessions_.TakeForgotten([this](const Session& session) {
    return session.internal != nullptr || !operations_.Runs(session.backend);
  });
}

}  // namespace vtee::optee
