// SPDX-License-Identifier: BSD-3-Clause
// MailboxServer: vteed's end of the shared-memory mailboxes (vmm/protocol.h).
//
// Each vCPU that has called once has a thread that waits for its calls, spinning first, and runs
// the dialect on them. When a call is parked another thread takes over the mailbox. One more
// thread sleeps on the park doorbell and asks for parking on the VMM side's behalf.
// Threading: Create, Start and Stop from the control thread. Ownership: maps the ring; borrows
// the dialect, which must outlive it. The VMM side is not trusted to keep the ring's contents
// sane: every word is read once.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/server_threads.h"
#include "mediator/dialect.h"
#include "vmm/protocol.h"

namespace vtee::daemon {

class MailboxServer {
 public:
  // `ring`: a memfd sealed against shrinking, with `vcpus` mailboxes (RingBytes()).
  static Result<std::unique_ptr<MailboxServer>> Create(const UniqueFd& ring, std::uint32_t vcpus,
                                                       mediator::Dialect& dialect,
                                                       std::uint32_t park_after_us);
  ~MailboxServer();
  MailboxServer(const MailboxServer&) = delete;
  MailboxServer& operator=(const MailboxServer&) = delete;

  void Start();
  // Waits until no thread serves a mailbox. Calls that are inside the TEE must end first.
  void Stop();

 private:
  class Port;

  MailboxServer(void* base, std::size_t bytes, std::uint32_t vcpus, mediator::Dialect& dialect,
                std::uint32_t park_after_us);
  void ParkLoop();
  void RingPark();

  vmm::RingHeader& header() const { return *static_cast<vmm::RingHeader*>(base_); }

  void* base_;
  std::size_t bytes_;
  mediator::Dialect& dialect_;
  std::atomic<bool> stopping_{false};
  std::vector<std::unique_ptr<Port>> ports_;
  std::thread park_thread_;
  ServerThreads threads_;  // last: its destructor joins the threads that use the rest
};

}  // namespace vtee::daemon
