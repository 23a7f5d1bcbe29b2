// SPDX-License-Identifier: BSD-3-Clause
// ProgramServer: serves programs (libteec) rather than a VM: accepts, and knows who is there.
//
// Threading: one thread; programs run on threads of their own. Ownership: borrows the TEE.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/program.h"

namespace vtee::daemon {

class ProgramServer {
 public:
  // Listens on `path` (mode 0600: programs of the same user).
  static Result<std::unique_ptr<ProgramServer>> Create(const std::string& path,
                                                       tee::SessionTee& sessions,
                                                       const mediator::Policy& policy);
  // Waits for the threads of all programs: end the TEE's calls before.
  ~ProgramServer();
  ProgramServer(const ProgramServer&) = delete;
  ProgramServer& operator=(const ProgramServer&) = delete;

  int listener() const { return listener_.get(); }
  // The listener is readable: takes one program in. Failures are logged and concern it alone.
  void Accept();
  // Nobody new; those who are here lose their connection, and their calls are asked to stop.
  void Stop();

 private:
  ProgramServer(std::string path, UniqueFd listener, tee::SessionTee& sessions,
                const mediator::Policy& policy);
  void Begin(UniqueFd socket, ProgramIdentity identity);

  static constexpr std::size_t kMaxPrograms = 256;
  const std::string path_;
  UniqueFd listener_;
  ProgramTee tee_;
  std::vector<std::weak_ptr<Program>> programs_;
  ServerThreads threads_;  // last: its destructor waits for those who use the rest
};

}  // namespace vtee::daemon
