// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/program_lane.h"

#include <algorithm>

#include "base/checked.h"
#include "base/log.h"
#include "daemon/program_memory.h"
#include "daemon/program_upcalls.h"

namespace vtee::daemon {
namespace {

namespace code = tee::code;
using program::Message;
using program::MessageType;
using program::ParamBody;

tee::Outcome Refused(std::uint32_t why) { return {why, tee::Origin::kComms}; }

class Lane {
 public:
  Lane(Program& program, int socket) : program_(program), upcalls_(socket) {}

  // What the program gets for a request; an error ends the lane.
  Result<Message> Answer(program::Received& request);

 private:
  tee::Outcome TakeMemory(program::Received& request);
  tee::Outcome ToParams(const Message& message, tee::Params& params) const;
  static void FromParams(const tee::Params& params, Message& reply);
  tee::Outcome Open(const Message& request, Message& reply);
  tee::Outcome Invoke(const Message& request, Message& reply);
  tee::Outcome Close(const Message& request);

  tee::SessionTee& tee() { return program_.tee().sessions; }
  tee::CallContext Context(const Program::Running& running) {
    return tee::CallContext{&upcalls_, running.operation()};
  }

  Program& program_;
  ProgramUpcalls upcalls_;
  std::uint64_t memory_size_ = 0;
  std::unique_ptr<tee::RegisteredMemory> memory_;
};

tee::Outcome Lane::TakeMemory(program::Received& request) {
  if (!request.fd) return {};
  memory_.reset();
  memory_size_ = 0;
  if (request.message.memory == 0 || request.message.memory > program_.tee().policy.max_shm_bytes) {
    return Refused(code::kOutOfMemory);
  }
  auto memory = ProgramMemory::Take(std::move(request.fd), request.message.memory);
  if (!memory.ok()) {
    LogGuest(LogLevel::kWarning, "program.memory", {{"error", memory.error().message}});
    return Refused(code::kBadParameters);
  }
  auto registered = tee().RegisterMemory(std::move(memory).value());
  if (!registered.ok()) return Refused(code::kOutOfMemory);
  memory_ = std::move(registered).value();
  memory_size_ = request.message.memory;
  return {};
}

tee::Outcome Lane::ToParams(const Message& message, tee::Params& params) const {
  using Kind = tee::Param::Kind;
  for (std::size_t i = 0; i < params.size(); ++i) {
    const ParamBody& body = message.params[i];
    if (body.kind == static_cast<std::uint32_t>(Kind::kNone)) continue;
    if (body.kind > static_cast<std::uint32_t>(Kind::kMemory) || body.direction < 1 ||
        body.direction > 3) {
      return Refused(code::kBadParameters);
    }
    tee::Param& param = params[i];
    param.kind = static_cast<Kind>(body.kind);
    param.direction = static_cast<tee::Direction>(body.direction);
    if (param.kind == Kind::kValue) {
      param.a = body.a;
      param.b = body.b;
      param.c = body.c;
      continue;
    }
    param.size = body.b;
    if (body.c == program::kIsNull) continue;
    if (memory_ == nullptr || !RangeInside(body.a, body.b, memory_size_)) {
      return Refused(code::kBadParameters);
    }
    param.memory = memory_.get();
    param.offset = body.a;
  }
  return {};
}

void Lane::FromParams(const tee::Params& params, Message& reply) {
  for (std::size_t i = 0; i < params.size(); ++i) {
    const bool memory = params[i].kind == tee::Param::Kind::kMemory;
    reply.params[i].a = memory ? 0 : params[i].a;
    reply.params[i].b = memory ? params[i].size : params[i].b;
    reply.params[i].c = memory ? 0 : params[i].c;
  }
}

tee::Outcome Lane::Open(const Message& request, Message& reply) {
  tee::OpenRequest open;
  std::copy(std::begin(request.application), std::end(request.application),
            open.application.octets.begin());
  open.login = static_cast<tee::Login>(request.login);
  if (const auto login = ClientUuid(program_.identity(), request.login, request.group, open.client);
      !login.ok()) {
    return login;
  }
  if (!program_.tee().policy.MayOpen(open.application)) {
    LogGuest(LogLevel::kWarning, "policy.denied", {{"ta", tee::ToString(open.application)}});
    return {code::kAccessDenied, tee::Origin::kTee};
  }
  tee::Params params{};
  if (const tee::Outcome wrong = ToParams(request, params); !wrong.ok()) return wrong;
  const Program::Running running(program_, {});
  if (!running.may_begin()) return Refused(code::kCancel);
  tee::CallContext context = Context(running);
  tee::SessionId session{};
  const tee::Outcome outcome = tee().OpenSession(context, open, params, session);
  FromParams(params, reply);
  if (!outcome.ok()) return outcome;
  reply.session = program_.AddSession(session);
  if (reply.session != 0) return outcome;
  tee().CloseSession(context, session);
  return {code::kOutOfMemory, tee::Origin::kTee};
}

tee::Outcome Lane::Invoke(const Message& request, Message& reply) {
  tee::SessionId session{};
  if (!program_.FindSession(request.session, session)) return Refused(code::kBadParameters);
  tee::Params params{};
  if (const tee::Outcome wrong = ToParams(request, params); !wrong.ok()) return wrong;
  const Program::Running running(program_, {request.session, session});
  if (!running.may_begin()) return Refused(code::kCancel);
  tee::CallContext context = Context(running);
  const tee::Outcome outcome = tee().Invoke(context, session, request.command, params);
  FromParams(params, reply);
  return outcome;
}

tee::Outcome Lane::Close(const Message& request) {
  tee::SessionId session{};
  if (!program_.TakeSession(request.session, session)) return Refused(code::kBadParameters);
  const Program::Running running(program_, {});
  tee::CallContext context = Context(running);
  return tee().CloseSession(context, session);
}

Result<Message> Lane::Answer(program::Received& request) {
  Message reply;
  reply.type = MessageType::kResult;
  tee::Outcome outcome = TakeMemory(request);
  if (outcome.ok()) {
    switch (request.message.type) {
      case MessageType::kOpenSession:
        outcome = Open(request.message, reply);
        break;
      case MessageType::kInvoke:
        outcome = Invoke(request.message, reply);
        break;
      case MessageType::kCloseSession:
        outcome = Close(request.message);
        break;
      default:
        return Error{ErrorCode::kProtocol, "a message that is no request"};
    }
  }
  reply.code = outcome.code;
  reply.origin = static_cast<std::uint32_t>(outcome.origin);
  return reply;
}

}  // namespace

void ServeLane(Program& program, int socket) {
  Lane lane(program, socket);
  for (;;) {
    auto request = program::Receive(socket);
    if (!request.ok()) return;
    const auto answer = lane.Answer(*request);
    if (!answer.ok() || !program::Send(socket, *answer).ok()) return;
  }
}

}  // namespace vtee::daemon
