// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/program.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include "base/log.h"
#include "base/memory.h"
#include "daemon/program_lane.h"

namespace vtee::daemon {

using program::Message;
using program::MessageType;

namespace {

// A Unix socket for packets whose other end has no name. A connection to a listener is none: were
// it this server's own, nobody else might have it, and it would never be seen to end.
bool IsOfAPair(int socket) {
  int type = 0;
  socklen_t size = sizeof type;
  if (getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_SEQPACKET) {
    return false;
  }
  sockaddr_un peer{};
  size = sizeof peer;
  if (getpeername(socket, reinterpret_cast<sockaddr*>(&peer), &size) != 0) return false;
  return peer.sun_family == AF_UNIX && size == sizeof peer.sun_family;
}

}  // namespace

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
  CancelUntilIdle();
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
  if (!IsOfAPair(socket.get())) {
    return Error{ErrorCode::kProtocol, "a lane that is no end of a pair of sockets"};
  }
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
  if (session == 0) return;
  for (const auto& [operation, place] : running_) {
    if (place.number == session) tee_.sessions.RequestCancel(place.session, operation);
  }
}

// Also of sessions that have been closed meanwhile: they end when their calls do.
void Program::CancelAll() {
  const std::lock_guard lock(mutex_);
  for (const auto& [operation, place] : running_) {
    if (place.number != 0) {
      tee_.sessions.RequestCancel(place.session, operation);
    } else {
      tee_.sessions.RequestCancelOpen(operation);
    }
  }
}

// A TEE does not know a call that is only about to reach it, and a TA may not look for a while.
void Program::CancelUntilIdle() {
  constexpr std::chrono::milliseconds kLongest(1000);
  std::chrono::milliseconds wait(1);
  std::unique_lock lock(mutex_);
  while (!idle_.wait_for(lock, wait, [this] { return running_.empty(); })) {
    lock.unlock();
    CancelAll();
    lock.lock();
    wait = std::min(2 * wait, kLongest);
  }
}

Program::Running::Running(Program& program, const Place& place)
    : program_(program), operation_(program.tee_.next_operation.fetch_add(1)) {
  const std::lock_guard lock(program_.mutex_);
  may_begin_ = !program_.leaving_;
  if (may_begin_) program_.running_[operation_] = place;
}

Program::Running::~Running() {
  const std::lock_guard lock(program_.mutex_);
  program_.running_.erase(operation_);
  if (program_.running_.empty()) program_.idle_.notify_all();
}

}  // namespace vtee::daemon
