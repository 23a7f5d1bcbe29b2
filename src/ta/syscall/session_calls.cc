// SPDX-License-Identifier: BSD-3-Clause
// System calls 5 to 7: a TA as the client of another.
#include <chrono>

#include "ta/core/ta_instance.h"
#include "ta/core/tee_core.h"
#include "ta/loader/tee_uuid.h"
#include "ta/syscall/dispatch.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;
constexpr std::uint32_t kNoTimeout = 0xFFFFFFFF;
constexpr std::size_t kMostSessions = 4096;  // as many as handles of a kind: HandleTable

// Memory of the calling TA. It cannot run meanwhile, so what was checked holds.
class CallerMemory : public MemorySource {
 public:
  CallerMemory() = default;
  CallerMemory(const TaSpace& space, std::uint64_t address) : space_(&space), address_(address) {}
  bool Read(std::uint64_t offset, std::span<std::byte> out) const override {
    return space_->Read(address_ + offset, out);
  }
  bool Write(std::uint64_t offset, std::span<const std::byte> bytes) const override {
    return space_->Write(address_ + offset, bytes);
  }
  bool secure() const override {
    return space_->Allows(runner::kAccessAnyOwner | runner::kAccessSecure, address_, 1);
  }
  std::uint64_t address() const { return address_; }

 private:
  const TaSpace* space_ = nullptr;
  std::uint64_t address_ = 0;
};

// The parameters of a call as the TA has them in memory, and as the callee gets them.
class OutgoingParams {
 public:
  // `private_allowed`: the callee is a pseudo-TA, which borrows the caller's memory.
  std::uint32_t Take(TaInstance& ta, std::uint64_t address, bool private_allowed) {
    address_ = address;
    if (address == 0) return code::kSuccess;
    if (!ta.space().ReadObject(address, raw_)) return code::kAccessDenied;
    if (!SetParamTypes(raw_.types, params)) return code::kBadParameters;
    for (std::size_t i = 0; i < params.size(); ++i) {
      EntryParam& param = params[i];
      param.a = raw_.values[2 * i];
      param.b = raw_.values[2 * i + 1];
      if (!param.is_memory()) continue;
      const std::uint32_t result = TakeMemory(ta, i, private_allowed);
      if (result != code::kSuccess) return result;
    }
    return code::kSuccess;
  }

  std::uint32_t GiveBack(TaInstance& ta) {
    if (address_ == 0) return code::kSuccess;
    for (std::size_t i = 0; i < params.size(); ++i) {
      if (!params[i].comes_out()) continue;
      if (params[i].is_value()) raw_.values[2 * i] = params[i].a;
      if (params[i].is_value()) raw_.values[2 * i + 1] = params[i].b;
      if (params[i].is_memory()) raw_.values[2 * i + 1] = params[i].size;
    }
    return ta.space().WriteObject(address_, raw_) ? code::kSuccess : code::kAccessDenied;
  }

  EntryParams params{};

 private:
  std::uint32_t TakeMemory(TaInstance& ta, std::size_t i, bool private_allowed) {
    EntryParam& param = params[i];
    param.size = param.b;
    if (param.a == 0) return param.size == 0 ? code::kSuccess : code::kBadParameters;
    std::uint64_t wanted = runner::kAccessRead | runner::kAccessAnyOwner;
    if (param.comes_out()) wanted |= runner::kAccessWrite;
    if (!ta.space().Allows(wanted, param.a, param.size)) return code::kAccessDenied;
    if (!private_allowed && param.size != 0 &&
        ta.space().Allows(runner::kAccessRead, param.a, param.size)) {
      return code::kBadParameters;  // libutee has moved what it wants to pass
    }
    memories_[i] = CallerMemory(ta.space(), param.a - param.a % runner::kPage);
    param.memory = &memories_[i];
    param.offset = param.a % runner::kPage;
    return code::kSuccess;
  }

  std::uint64_t address_ = 0;
  UteeParams raw_{};
  std::array<CallerMemory, kParams> memories_;
};

void SetTimeout(Cancellation& cancellation, std::uint64_t millis) {
  if (static_cast<std::uint32_t>(millis) == kNoTimeout) return;
  cancellation.set_deadline(Cancellation::Clock::now() +
                            std::chrono::milliseconds(static_cast<std::uint32_t>(millis)));
}

std::uint32_t GiveOrigin(TaInstance& ta, std::uint64_t address, tee::Origin origin) {
  if (address == 0) return code::kSuccess;  // it does not want to know
  const auto value = static_cast<std::uint32_t>(origin);
  return ta.space().WritePrivate(address, std::as_bytes(std::span(&value, 1)))
             ? code::kSuccess
             : code::kAccessDenied;
}

// (uuid, cancel_ms, params, session, origin)
std::uint32_t OpenSessionCall(TaInstance& ta, const SyscallArgs& args) {
  TeeUuid raw{};
  if (!ta.space().ReadPrivate(args[0], std::as_writable_bytes(std::span(raw)))) {
    return code::kAccessDenied;
  }
  const tee::Uuid uuid = FromTeeUuid(raw);
  OutgoingParams outgoing;
  tee::Outcome outcome{outgoing.Take(ta, args[2], ta.core().IsPseudoTa(uuid)), tee::Origin::kTee};
  std::uint32_t session = 0;
  if (outcome.ok() && ta.sessions().size() >= kMostSessions) outcome.code = code::kOutOfMemory;
  if (outcome.ok()) {
    Cancellation cancellation;
    SetTimeout(cancellation, args[1]);
    outcome = ta.core().OpenSession(ta.call(), cancellation, &ta, {kLoginTrustedApp, ta.uuid()},
                                    uuid, outgoing.params, session);
    if (outcome.code != code::kTargetDead) {
      const std::uint32_t given = outgoing.GiveBack(ta);
      if (outcome.ok() && given != code::kSuccess) outcome = {given, tee::Origin::kTee};
    }
  }
  if (session != 0) ta.sessions().insert(session);
  if (!ta.space().WritePrivate(args[3], std::as_bytes(std::span(&session, 1)))) {
    return code::kAccessDenied;
  }
  const std::uint32_t given = GiveOrigin(ta, args[4], outcome.origin);
  return given == code::kSuccess ? outcome.code : given;
}

std::uint32_t CloseSessionCall(TaInstance& ta, const SyscallArgs& args) {
  const auto session = static_cast<std::uint32_t>(args[0]);
  if (ta.sessions().erase(session) == 0) return code::kItemNotFound;
  static_cast<void>(ta.core().CloseSession(ta.call(), session));
  return code::kSuccess;
}

// (session, cancel_ms, command, params, origin)
std::uint32_t InvokeCall(TaInstance& ta, const SyscallArgs& args) {
  const auto session = static_cast<std::uint32_t>(args[0]);
  if (!ta.sessions().contains(session)) return code::kItemNotFound;
  OutgoingParams outgoing;
  const bool pseudo = ta.core().IsPseudoSession(session);
  tee::Outcome outcome{outgoing.Take(ta, args[3], pseudo), tee::Origin::kTee};
  if (outcome.ok()) {
    Cancellation cancellation;
    SetTimeout(cancellation, args[1]);
    outcome = ta.core().Invoke(ta.call(), cancellation, &ta, session,
                               static_cast<std::uint32_t>(args[2]), outgoing.params);
    if (outcome.code != code::kTargetDead) {
      const std::uint32_t given = outgoing.GiveBack(ta);
      if (outcome.ok() && given != code::kSuccess) outcome = {given, tee::Origin::kTee};
    }
  }
  const std::uint32_t given = GiveOrigin(ta, args[4], outcome.origin);
  return given == code::kSuccess ? outcome.code : given;
}

}  // namespace

void AddSessionCalls(SyscallTable& table) {
  const auto set = [&](SyscallNumber number, Syscall call) {
    table[static_cast<std::size_t>(number)] = call;
  };
  set(SyscallNumber::kOpenTaSession, OpenSessionCall);
  set(SyscallNumber::kCloseTaSession, CloseSessionCall);
  set(SyscallNumber::kInvokeTaCommand, InvokeCall);
}

}  // namespace vtee::ta
