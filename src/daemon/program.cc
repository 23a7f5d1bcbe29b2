// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/program.h"

#include <fmt/format.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "base/memory.h"
#include "daemon/program_lane.h"

namespace vtee::daemon {

using program::Message;
using program::MessageType;

Program::Program(UniqueFd socket, ProgramIdentity identity, ProgramTee& tee)
    : socket_(std::move(socket)), identity_(std::move(identity)), tee_(tee) {}

Program::~Program() {
  for (const auto& [number, session] : sessions_) {
    tee::CallContext context;
    context.operation = tee::OperationId(tee_.next_operation.fetch_add(1));
    tee_.sessions.CloseSession(context, session);
    tee_.open_sessions.fetch_sub(1);
  }
  LogGuest(LogLevel::kInfo, "program.end", {{"pid", identity_.pid}});
}

void Program::Serve() {
  Status served = Hello();
  while (served.ok()) {
    auto received = program::Receive(socket_.get());
    served = received.ok() ? Handle(std::move(received).value()) : Status(received.error());
  }
  if (served.error().code != ErrorCode::kUnavailable) {
    LogGuest(LogLevel::kWarning, "program.refused",
             {{"pid", identity_.pid}, {"error", served.error().message}});
  }
  Disconnect();
}

Status Program::Hello() {
  VTEE_ASSIGN_OR_RETURN(const program::Received received, program::Receive(socket_.get()));
  Message reply;
  reply.type = MessageType::kHelloReply;
  reply.lanes = tee_.policy.max_calls;
  Status outcome;
  if (received.message.type != MessageType::kHello) {
    outcome = Error{ErrorCode::kProtocol, "a message before the hello"};
  } else if (received.message.major != program::kMajor) {
    outcome =
        Error{ErrorCode::kProtocol,
              fmt::format("the program's libteec speaks version {} of the protocol and this vteed "
                          "version {}; install matching versions",
                          received.message.major, program::kMajor)};
  }
  if (!outcome.ok()) {
    reply.code = tee::code::kNotSupported;
    const std::string& text = outcome.error().message;
    std::memcpy(reply.text, text.data(), std::min(text.size(), sizeof reply.text - 1));
    static_cast<void>(program::Send(socket_.get(), reply));
    return outcome;
  }
  LogGuest(LogLevel::kInfo, "program.start", {{"pid", identity_.pid}, {"uid", identity_.uid}});
  return program::Send(socket_.get(), reply);
}

Status Program::Handle(program::Received received) {
  switch (received.message.type) {
    case MessageType::kLane:
      return AddLane(std::move(received.fd));
    case MessageType::kCancel:
      Cancel(received.message.session);
      return {};
    default:
      return Error{ErrorCode::kProtocol, "a message that does not belong on the first socket"};
  }
}

Status Program::AddLane(UniqueFd socket) {
  if (!socket) return Error{ErrorCode::kProtocol, "a lane without its socket"};
  const int fd = socket.get();
  {
    const std::lock_guard lock(mutex_);
    // The program sees its end closed.
    if (leaving_ || lanes_.size() >= tee_.policy.max_calls) return {};
    lanes_.push_back(fd);
  }
  auto self = shared_from_this();
  auto kept = std::make_shared<UniqueFd>(std::move(socket));
  Status started;
  const bool within_memory = WithinMemory([&] {
    started = tee_.threads.Run([self, kept] {
      static_cast<void>(WithinMemory([&] { ServeLane(*self, kept->get()); }));
      self->RemoveLane(kept->get());
      kept->Reset();
    });
  });
  if (within_memory && started.ok()) return {};
  RemoveLane(fd);
  LogGuest(LogLevel::kWarning, "program.lane",
           {{"pid", identity_.pid},
            {"error", within_memory ? started.error().message : "out of memory"}});
  return {};
}

void Program::RemoveLane(int socket) {
  const std::lock_guard lock(mutex_);
  std::erase(lanes_, socket);
}

void Program::Disconnect() {
  {
    const std::lock_guard lock(mutex_);
    leaving_ = true;
    for (const int lane : lanes_) shutdown(lane, SHUT_RDWR);
  }
  shutdown(socket_.get(), SHUT_RDWR);
  CancelAll();
}

std::uint32_t Program::AddSession(tee::SessionId session) {
  if (tee_.open_sessions.fetch_add(1) >= tee_.policy.max_sessions) {
    tee_.open_sessions.fetch_sub(1);
    LogGuest(LogLevel::kWarning, "session.quota", {{"limit", tee_.policy.max_sessions}});
    return 0;
  }
  const std::lock_guard lock(mutex_);
  while (next_session_ == 0 || sessions_.contains(next_session_)) ++next_session_;
  sessions_[next_session_] = session;
  return next_session_++;
}

bool Program::FindSession(std::uint32_t number, tee::SessionId& session) {
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(number);
  if (found == sessions_.end()) return false;
  session = found->second;
  return true;
}

bool Program::TakeSession(std::uint32_t number, tee::SessionId& session) {
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(number);
  if (found == sessions_.end()) return false;
  session = found->second;
  sessions_.erase(found);
  tee_.open_sessions.fetch_sub(1);
  return true;
}

// The backend is asked under the lock: it only marks its operation, and thus no other call can
// take the operation's place meanwhile.
void Program::Cancel(std::uint32_t session) {
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(session);
  if (found == sessions_.end()) return;
  for (const auto& [operation, of] : running_) {
    if (of == session) tee_.sessions.RequestCancel(found->second, operation);
  }
}

void Program::CancelAll() {
  const std::lock_guard lock(mutex_);
  for (const auto& [operation, session] : running_) {
    const auto found = sessions_.find(session);
    if (found != sessions_.end()) {
      tee_.sessions.RequestCancel(found->second, operation);
    } else {
      tee_.sessions.RequestCancelOpen(operation);
    }
  }
}

Program::Running::Running(Program& program, std::uint32_t session)
    : program_(program), operation_(program.tee_.next_operation.fetch_add(1)) {
  const std::lock_guard lock(program_.mutex_);
  program_.running_[operation_] = session;
}

Program::Running::~Running() {
  const std::lock_guard lock(program_.mutex_);
  program_.running_.erase(operation_);
}

}  // namespace vtee::daemon
