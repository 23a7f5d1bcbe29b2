// SPDX-License-Identifier: BSD-3-Clause
// Program: one process that uses the TEE through libteec: its sessions and running calls.
//
// Lives as long as its connection or one of its lanes' calls; then its sessions are closed, as the
// kernel closes those of a process that ends. When it leaves, its calls are asked to stop until
// they have, and no other begins. Threading: Serve() on a thread of its own, each lane
// on one, everything else from any thread. Errors of the program end its connection, no other.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/program_identity.h"
#include "daemon/server_threads.h"
#include "mediator/policy.h"
#include "program/packet.h"
#include "tee/session_tee.h"

namespace vtee::daemon {

// What all programs of one vteed share.
struct ProgramTee {
  tee::SessionTee& sessions;
  const mediator::Policy& policy;
  ServerThreads& threads;
  std::atomic<std::uint32_t> open_sessions{0};
  std::atomic<std::uint32_t> next_operation{1};
};

class Program : public std::enable_shared_from_this<Program> {
 public:
  Program(UniqueFd socket, ProgramIdentity identity, ProgramTee& tee);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  // Until the program leaves or breaks the protocol.
  void Serve();
  // Ends the connection and asks the running calls to stop.
  void Disconnect();

  const ProgramIdentity& identity() const { return identity_; }
  ProgramTee& tee() { return tee_; }

  // A session's number for the program; 0: it, or all programs together, have too many.
  std::uint32_t AddSession(tee::SessionId session);
  bool FindSession(std::uint32_t number, tee::SessionId& session);
  // Removes it.
  bool TakeSession(std::uint32_t number, tee::SessionId& session);

  // A call while it runs.
  struct Place {
    std::uint32_t number = 0;  // the program's, of the session; 0: one is opened or closed
    tee::SessionId session{};
  };
  class Running {
   public:
    Running(Program& program, const Place& place);
    ~Running();
    Running(const Running&) = delete;
    Running& operator=(const Running&) = delete;
    // False: the program has left, and the call must not begin.
    bool may_begin() const { return may_begin_; }
    tee::OperationId operation() const { return operation_; }

   private:
    Program& program_;
    tee::OperationId operation_;
    bool may_begin_ = true;
  };

 private:
  Status Hello();
  Status Handle(program::Received received);
  Status AddLane(UniqueFd socket);
  void RemoveLane(int socket);
  void CancelAll();
  void CancelUntilIdle();
  void Cancel(std::uint32_t session);

  const UniqueFd socket_;
  const ProgramIdentity identity_;
  ProgramTee& tee_;
  std::mutex mutex_;
  bool leaving_ = false;
  std::vector<int> lanes_;  // their sockets, to end them
  std::map<std::uint32_t, tee::SessionId> sessions_;
  std::uint32_t next_session_ = 1;
  std::map<tee::OperationId, Place> running_;
  std::condition_variable idle_;  // running_ is empty
};

}  // namespace vtee::daemon
