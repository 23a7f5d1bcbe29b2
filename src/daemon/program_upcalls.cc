// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/program_upcalls.h"

#include <ctime>

#include "base/checked.h"
#include "program/memory_file.h"
#include "program/packet.h"

namespace vtee::daemon {
namespace {

namespace code = tee::code;
using Kind = tee::UpcallParam::Kind;

bool IsBytes(const tee::UpcallParam& param) { return param.kind >= Kind::kBytesIn; }
bool GoesIn(const tee::UpcallParam& param) {
  return param.kind == Kind::kBytesIn || param.kind == Kind::kBytesInOut;
}
bool ComesOut(const tee::UpcallParam& param) {
  return param.kind == Kind::kBytesOut || param.kind == Kind::kBytesInOut;
}

tee::Outcome NoAnswer() { return {code::kCommunication, tee::Origin::kComms}; }

// value out {seconds, nanoseconds}
tee::Outcome TellTime(tee::Upcall& upcall) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  upcall.params[0].a = static_cast<std::uint64_t>(now.tv_sec);
  upcall.params[0].b = static_cast<std::uint64_t>(now.tv_nsec);
  return {};
}

// Lays the buffers out one after another; false: there is no memory for them.
bool Write(const tee::Upcall& upcall, program::Message& message, UniqueFd& file) {
  std::uint64_t end = 0;
  for (std::size_t i = 0; i < upcall.params.size(); ++i) {
    const tee::UpcallParam& param = upcall.params[i];
    program::ParamBody& body = message.params[i];
    body.kind = static_cast<std::uint32_t>(param.kind);
    body.a = IsBytes(param) ? end : param.a;
    body.b = IsBytes(param) ? param.bytes.size() : param.b;
    body.c = param.c;
    if (IsBytes(param)) end += param.bytes.size();
  }
  if (end == 0) return true;
  file = program::MakeMemoryFile(end);
  if (!file) return false;
  for (std::size_t i = 0; i < upcall.params.size(); ++i) {
    const tee::UpcallParam& param = upcall.params[i];
    if (GoesIn(param) && !program::WriteAt(file.get(), message.params[i].a, param.bytes.data(),
                                           param.bytes.size())) {
      return false;
    }
  }
  return true;
}

bool ReadBack(const program::Message& reply, const program::Message& asked, int file,
              tee::Upcall& upcall) {
  for (std::size_t i = 0; i < upcall.params.size(); ++i) {
    tee::UpcallParam& param = upcall.params[i];
    if (param.kind == Kind::kValueOut || param.kind == Kind::kValueInOut) {
      param.a = reply.params[i].a;
      param.b = reply.params[i].b;
      param.c = reply.params[i].c;
    } else if (ComesOut(param)) {
      param.size = reply.params[i].b;
      if (!param.bytes.empty() &&
          !program::ReadAt(file, asked.params[i].a, param.bytes.data(), param.bytes.size())) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace

tee::Outcome ProgramUpcalls::Call(tee::Upcall& upcall) {
  switch (upcall.kind) {
    case tee::UpcallKind::kGetTime:
      return TellTime(upcall);
    case tee::UpcallKind::kSocket:
    case tee::UpcallKind::kPlugin:
      return AskProgram(upcall);
    case tee::UpcallKind::kLoadTa:
      return {code::kItemNotFound, tee::Origin::kComms};
    default:
      return {code::kNotSupported, tee::Origin::kComms};
  }
}

tee::Outcome ProgramUpcalls::AskProgram(tee::Upcall& upcall) const {
  program::Message message;
  message.type = program::MessageType::kUpcall;
  message.command = static_cast<std::uint32_t>(upcall.kind);
  UniqueFd file;
  if (!Write(upcall, message, file)) return {code::kOutOfMemory, tee::Origin::kComms};
  if (!program::Send(lane_, message, file.get()).ok()) return NoAnswer();
  const auto reply = program::Receive(lane_);
  if (!reply.ok() || reply->message.type != program::MessageType::kUpcallReply ||
      !ReadBack(reply->message, message, file.get(), upcall)) {
    return NoAnswer();
  }
  return {reply->message.code, tee::Origin::kTee};
}

}  // namespace vtee::daemon
