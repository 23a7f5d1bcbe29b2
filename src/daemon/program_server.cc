// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/program_server.h"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "base/log.h"
#include "base/memory.h"
#include "base/socket.h"

namespace vtee::daemon {

ProgramServer::ProgramServer(std::string path, UniqueFd listener, tee::SessionTee& sessions,
                             const mediator::Policy& policy)
    : path_(std::move(path)), listener_(std::move(listener)), tee_{sessions, policy, threads_} {}

ProgramServer::~ProgramServer() { Stop(); }

Result<std::unique_ptr<ProgramServer>> ProgramServer::Create(const std::string& path,
                                                             tee::SessionTee& sessions,
                                                             const mediator::Policy& policy) {
  VTEE_ASSIGN_OR_RETURN(UniqueFd listener, ListenUnix(path));
  return std::unique_ptr<ProgramServer>(
      new ProgramServer(path, std::move(listener), sessions, policy));
}

void ProgramServer::Accept() {
  UniqueFd socket(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!socket) {
    LogGuest(LogLevel::kWarning, "program.accept",
             {{"error", ErrnoError(errno, "accept").message}});
    return;
  }
  static_cast<void>(WithinMemory([&] {
    auto identity = IdentityOf(socket.get());
    if (!identity.ok()) {
      LogGuest(LogLevel::kWarning, "program.accept", {{"error", identity.error().message}});
      return;
    }
    std::erase_if(programs_, [](const auto& program) { return program.expired(); });
    if (programs_.size() >= kMaxPrograms) {
      LogGuest(LogLevel::kWarning, "program.quota", {{"limit", kMaxPrograms}});
      return;
    }
    Begin(std::move(socket), std::move(identity).value());
  }));
}

void ProgramServer::Begin(UniqueFd socket, ProgramIdentity identity) {
  auto program = std::make_shared<Program>(std::move(socket), std::move(identity), tee_);
  programs_.push_back(program);
  const Status started = threads_.Run([program] {
    if (!WithinMemory([&] { program->Serve(); })) program->Disconnect();
  });
  if (!started.ok()) {
    LogGuest(LogLevel::kWarning, "program.accept", {{"error", started.error().message}});
  }
}

void ProgramServer::Stop() {
  if (listener_) unlink(path_.c_str());
  listener_.Reset();
  for (const std::weak_ptr<Program>& each : programs_) {
    if (const auto program = each.lock()) program->Disconnect();
  }
}

}  // namespace vtee::daemon
