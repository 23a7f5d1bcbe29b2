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

#include "base/adaptive_spin.h"
#include "base/result.h"
#include "base/unique_fd.h"
#include "daemon/server_threads.h"
#include "daemon/wait_times.h"
#include "mediator/dialect.h"
#include "vmm/protocol.h"

namespace vtee::daemon {

class MailboxServer {
 public:
  // `ring`: a memfd sealed against shrinking, with `vcpus` mailboxes (RingBytes()).
  static Result<std::unique_ptr<MailboxServer>> Create(const UniqueFd& ring, std::uint32_t vcpus,
                                                       mediator::Dialect& dialect,
                                                       const WaitTimes& times);
  ~MailboxServer();
  MailboxServer(const MailboxServer&) = delete;
  MailboxServer& operator=(const MailboxServer&) = delete;

  Status Start();
  // Waits until no thread serves a mailbox. Calls that are inside the TEE must end first.
  void Stop();

 private:
  class Port;
  // Unmaps the ring, after the threads that use it have ended.
  struct Mapping {
    void* base;
    std::size_t bytes;
    Mapping(void* at, std::size_t size) : base(at), bytes(size) {}
    Mapping(const Mapping&) = delete;
    Mapping& operator=(const Mapping&) = delete;
    ~Mapping();
  };

  MailboxServer(void* base, std::size_t bytes, std::uint32_t vcpus, mediator::Dialect& dialect,
                const WaitTimes& times);
  void ParkLoop();
  void RingPark();

  vmm::RingHeader& header() const { return *static_cast<vmm::RingHeader*>(ring_.base); }

  const Mapping ring_;  // first: outlives the threads
  mediator::Dialect& dialect_;
  const WaitTimes times_;
  SpinLimit spinners_;
  std::atomic<bool> stopping_{false};
  std::vector<std::unique_ptr<Port>> ports_;
  std::thread park_thread_;
  ServerThreads threads_;  // last: its destructor joins the threads that use the rest
};

}  // namespace vtee::daemon
