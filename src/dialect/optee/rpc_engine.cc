// SPDX-License-Identifier: BSD-3-Clause
#include "dialect/optee/rpc_engine.h"

#include <algorithm>

#include "base/checked.h"
#include "base/log.h"
#include "base/memory.h"
#include "guest/page_list.h"

namespace vtee::optee {
namespace {

constexpr std::uint64_t kPayloadAlignment = 8;
// More than any OP-TEE request needs (a TA image is the largest); bounds what a guest can make
// the host copy on one upcall.
constexpr std::uint64_t kMaxPayload = 64ull << 20;

using Kind = tee::UpcallParam::Kind;

bool IsBytes(Kind kind) {
  return kind == Kind::kBytesIn || kind == Kind::kBytesOut || kind == Kind::kBytesInOut;
}

std::uint64_t RoundUp(std::uint64_t size) {
  return (size + kPayloadAlignment - 1) & ~(kPayloadAlignment - 1);
}

mediator::RegisterReply RpcReply(std::uint32_t function, std::uint64_t value, std::uint32_t token) {
  mediator::RegisterReply reply;
  reply.count = 4;
  reply.x[0] = function;
  reply.x[1] = value >> 32;
  reply.x[2] = value & 0xFFFFFFFF;
  reply.x[3] = token;
  return reply;
}

// Commands that the guest's kernel answers itself; the rest go to its supplicant, which can only
// reach memory of the "application" type.
bool AnsweredByKernel(tee::UpcallKind kind) {
  return kind == tee::UpcallKind::kGetTime || kind == tee::UpcallKind::kSuspend;
}

// Up to the last parameter that is one.
std::size_t UsedParams(const tee::Upcall& upcall) {
  std::size_t used = upcall.params.size();
  while (used > 0 && upcall.params[used - 1].kind == Kind::kNone) --used;
  return used;
}

}  // namespace

bool RpcEngine::EnsureRpcArg() {
  if (slot_.rpc_arg.valid()) return true;
  mediator::RegisterReply request;
  request.count = 4;
  request.x[0] = ret::kRpcAlloc;
  request.x[1] = MsgSize(kRpcParams);
  request.x[3] = slot_.call->index();
  mediator::SecureCall answer;
  if (!slot_.call->AskGuest(request, answer)) return false;
  const auto pair = [&](int hi) { return (answer.x[hi] << 32) | (answer.x[hi + 1] & 0xFFFFFFFF); };
  const std::uint64_t address = pair(1);
  if (address == 0 || address % 8 != 0 || !setup_.MayLie(address, MsgSize(kRpcParams))) {
    LogGuest(LogLevel::kInfo, "rpc.alloc.refused", {{"address", Hex(address)}});
    return false;
  }
  return slot_.call->WhileGuestIsThere(
      [&] { slot_.UseRpcArg(ArgMemory(memory_, guest::GuestPhysAddr(address)), true, pair(4)); });
}

void RpcEngine::ReturnRpcArg() {
  if (!slot_.rpc_arg_allocated) return;
  const std::uint64_t cookie = slot_.rpc_arg_cookie;
  slot_.call->WhileGuestIsThere([&] { slot_.UseRpcArg(ArgMemory()); });
  mediator::SecureCall answer;
  // Nothing to do when the guest does not come back: the memory is its own.
  static_cast<void>(
      slot_.call->AskGuest(RpcReply(ret::kRpcFree, cookie, slot_.call->index()), answer));
}

bool RpcEngine::Exchange(std::uint32_t command, std::span<MsgParam> params, std::uint32_t& result) {
  MsgHeader header{};
  header.cmd = command;
  header.ret = tee::code::kGeneric;  // stays so when the guest does not answer
  header.num_params = static_cast<std::uint32_t>(params.size());
  const auto prepare = [&] {
    // What the memory held about an earlier wait is overwritten.
    slot_.wait.asked = GuestWait::Asked::kNothing;
    return slot_.rpc_arg.WriteObject(0, header) &&
           slot_.rpc_arg.Write(sizeof header, std::as_bytes(params));
  };
  const auto collect = [&](const mediator::SecureCall&) {
    return slot_.rpc_arg.ReadObject(0, header) &&
           slot_.rpc_arg.Read(sizeof header, std::as_writable_bytes(params));
  };
  const auto request = RpcReply(ret::kRpcCommand, slot_.rpc_arg_cookie, slot_.call->index());
  if (!slot_.call->AskGuest(request, prepare, collect)) return false;
  result = header.ret;
  return true;
}

// Finds the memory that the guest has lent.
guest::MemFault RpcEngine::TakePayload(const MsgParam& given, std::uint64_t size,
                                       Payload& payload) {
  const std::uint64_t address = given.u[0];
  if (given.u[1] < size) return guest::MemFault::kBadList;
  if (given.attr == attr::kTmemOut && setup_.MayLie(address, size)) {
    payload.contiguous_at = address;
    return guest::GuestBuffer::FromRange(memory_, guest::GuestPhysAddr(address), size,
                                         payload.buffer);
  }
  if (given.attr != (attr::kTmemOut | attr::kNonContiguous) || setup_.profile->window) {
    return guest::MemFault::kBadList;
  }
  payload.scattered = true;
  const std::uint64_t offset = address % guest::kPageSize;
  std::vector<guest::GuestPhysAddr> pages;
  const guest::MemFault fault =
      guest::WalkPageList(memory_, guest::GuestPhysAddr(address - offset), offset, size,
                          kMaxPayload / guest::kPageSize + 2, pages);
  if (fault != guest::MemFault::kNone) return fault;
  return guest::GuestBuffer::FromPages(memory_, pages, offset, size, payload.buffer);
}

std::uint32_t RpcEngine::AllocatePayload(tee::UpcallKind kind, std::uint64_t size,
                                         Payload& payload) {
  if (size > kMaxPayload) return tee::code::kOutOfMemory;
  payload.type = AnsweredByKernel(kind) ? rpc::kShmTypeKernel : rpc::kShmTypeApplication;
  std::array<MsgParam, 1> params{{{attr::kValueIn, {payload.type, size, kPayloadAlignment}}}};
  std::uint32_t result = 0;
  if (!Exchange(rpc::kShmAlloc, params, result)) return tee::code::kCommunication;
  if (result != tee::code::kSuccess) return result;

  const MsgParam& given = params[0];
  payload.cookie = given.u[2];
  guest::MemFault fault = guest::MemFault::kNone;
  if (!WithinMemory([&] { fault = TakePayload(given, size, payload); })) {
    payload.buffer.reset();
    FreePayload(payload);
    return tee::code::kOutOfMemory;
  }
  if (fault != guest::MemFault::kNone) {
    LogGuest(LogLevel::kWarning, "rpc.shm.bad",
             {{"attr", Hex(given.attr)}, {"fault", guest::MemFaultName(fault)}});
    // An answer of another form names no buffer that could be given back.
    if ((given.attr | attr::kNonContiguous) == (attr::kTmemOut | attr::kNonContiguous)) {
      FreePayload(payload);
    }
    return tee::code::kCommunication;
  }
  return tee::code::kSuccess;
}

void RpcEngine::FreePayload(const Payload& payload) {
  std::array<MsgParam, 1> params{{{attr::kValueIn, {payload.type, payload.cookie, 0}}}};
  std::uint32_t ignored = 0;
  // A guest that does not take its memory back has only itself to blame.
  static_cast<void>(Exchange(rpc::kShmFree, params, ignored));
}

bool RpcEngine::FillParams(const tee::Upcall& upcall, const Payload& payload, Message& message) {
  std::uint64_t offset = 0;
  for (std::size_t i = 0; i < upcall.params.size(); ++i) {
    const tee::UpcallParam& from = upcall.params[i];
    MsgParam& to = message[i];
    to = MsgParam{};
    switch (from.kind) {
      case Kind::kNone:
        break;
      case Kind::kValueIn:
      case Kind::kValueOut:
      case Kind::kValueInOut:
        to.attr = attr::kValueIn + static_cast<std::uint64_t>(from.kind) -
                  static_cast<std::uint64_t>(Kind::kValueIn);
        to.u[0] = from.a;
        to.u[1] = from.b;
        to.u[2] = from.c;
        break;
      case Kind::kBytesIn:
      case Kind::kBytesOut:
      case Kind::kBytesInOut: {
        const std::uint64_t direction =
            static_cast<std::uint64_t>(from.kind) - static_cast<std::uint64_t>(Kind::kBytesIn);
        if (from.bytes.empty()) {  // a size query: no memory
          to.attr = attr::kTmemIn + direction;
          break;
        }
        if (from.kind != Kind::kBytesOut && !payload.buffer->Write(offset, from.bytes)) {
          return false;
        }
        to.attr = (payload.scattered ? attr::kRmemIn : attr::kTmemIn) + direction;
        to.u[0] = payload.scattered ? offset : payload.contiguous_at + offset;
        to.u[1] = from.bytes.size();
        to.u[2] = payload.cookie;
        offset += RoundUp(from.bytes.size());
        break;
      }
    }
  }
  return true;
}

bool RpcEngine::TakeResults(const Message& message, const Payload& payload, tee::Upcall& upcall) {
  std::uint64_t offset = 0;
  for (std::size_t i = 0; i < upcall.params.size(); ++i) {
    tee::UpcallParam& to = upcall.params[i];
    if (to.kind == Kind::kValueOut || to.kind == Kind::kValueInOut) {
      to.a = message[i].u[0];
      to.b = message[i].u[1];
      to.c = message[i].u[2];
    }
    if (!IsBytes(to.kind)) continue;
    to.size = message[i].u[1];
    if (to.bytes.empty()) continue;
    if (to.kind != Kind::kBytesIn) {
      const std::uint64_t used = std::min<std::uint64_t>(to.size, to.bytes.size());
      if (!payload.buffer->Read(offset, to.bytes.first(used))) return false;
    }
    offset += RoundUp(to.bytes.size());
  }
  return true;
}

tee::Outcome RpcEngine::Call(tee::Upcall& upcall) {
  tee::Outcome outcome{tee::code::kOutOfMemory, tee::Origin::kComms};
  static_cast<void>(WithinMemory([&] { outcome = Ask(upcall); }));
  return outcome;
}

tee::Outcome RpcEngine::Ask(tee::Upcall& upcall) {
  const tee::Outcome lost{tee::code::kCommunication, tee::Origin::kComms};
  if (!setup_.profile->upcalls) {
    LogGuest(LogLevel::kInfo, "rpc.none", {{"kind", static_cast<std::uint32_t>(upcall.kind)}});
    return lost;
  }
  if (!EnsureRpcArg()) return lost;

  std::uint64_t total = 0;
  for (const tee::UpcallParam& param : upcall.params) {
    if (!IsBytes(param.kind)) continue;
    const auto sum = CheckedAdd<std::uint64_t>(total, RoundUp(param.bytes.size()));
    if (!sum) return {tee::code::kOutOfMemory, tee::Origin::kComms};
    total = *sum;
  }
  Payload payload;
  if (total > 0) {
    const std::uint32_t code = AllocatePayload(upcall.kind, total, payload);
    if (code != tee::code::kSuccess) return {code, tee::Origin::kComms};
  }
  Message message{};
  std::uint32_t result = tee::code::kCommunication;
  // Guests want the very number that the command has: Linux refuses a GET_TIME with another than
  // one, its supplicant a LOAD_TA with another than two.
  const auto used = std::span(message).first(UsedParams(upcall));
  const bool answered = FillParams(upcall, payload, message) &&
                        Exchange(static_cast<std::uint32_t>(upcall.kind), used, result) &&
                        TakeResults(message, payload, upcall);
  if (payload.buffer) FreePayload(payload);
  if (!answered) return lost;
  return {result, tee::Origin::kTee};
}

}  // namespace vtee::optee
