// SPDX-License-Identifier: BSD-3-Clause
// Vm: one virtual machine as vteed serves it: its memory, dialect, backend and mailboxes, driven
// by the VMM's control messages.
//
// Threading: everything from the control thread, except what mailbox threads do through the
// dialect. Ownership: owns all of it; the destructor ends the VM for the backend too.
#pragma once

#include <memory>

#include "base/result.h"
#include "base/socket.h"
#include "daemon/config.h"
#include "daemon/mailbox_server.h"
#include "daemon/memory_channel.h"
#include "dialect/optee/call_recorder.h"
#include "guest/guest_memory.h"
#include "mediator/dialect.h"
#include "tee/backend.h"
#include "vmm/protocol.h"

namespace vtee::daemon {

class Vm {
 public:
  // `recorder`: of the guest's calls, or null.
  Vm(const Config& config, const WaitTimes& times, std::unique_ptr<tee::Backend> backend,
     std::unique_ptr<optee::CallRecorder> recorder = nullptr);
  ~Vm();
  Vm(const Vm&) = delete;
  Vm& operator=(const Vm&) = delete;

  // Handles one packet from the VMM and answers it on `socket`. An error ends the connection. For
  // want of memory a slot is refused; removing one, and a reset, wait for memory a while, and then
  // there is std::bad_alloc, since neither can be refused.
  Status HandlePacket(int socket, Packet packet);

  // The VM is going away: ends what waits for its memory and gives the TEE back what its guest has
  // there, as a reset does. Takes as long as that; from another thread than HandlePacket().
  void Leave();

 private:
  Status Hello(int socket, const vmm::ControlMessage& message, Packet& packet);
  std::uint32_t SetSlot(const vmm::SlotBody& body, Packet& packet);
  Status HandleRemoveSlot(int socket, const vmm::SlotBody& body);
  std::uint32_t RemoveSlot(const vmm::SlotBody& body);
  Status CheckWindowSlot(const vmm::SlotBody& body) const;
  Status SetMemoryChannel(Packet& packet);
  Status ReachSlot(const guest::SlotSpec& spec, UniqueFd file, std::uint64_t region);
  Status HandleLife(int socket, const vmm::LifeBody& body);
  Status Life(const vmm::LifeBody& body);  // may be called again when it has thrown
  Status Ack(int socket, vmm::ControlType of, std::uint32_t status);

  const Config& config_;
  const WaitTimes times_;
  const tee::VmIdentity identity_;
  std::shared_ptr<MemoryChannel> channel_;  // null: the VMM side has none
  bool said_copied_ = false;
  guest::GuestMemory memory_;
  std::unique_ptr<tee::Backend> backend_;
  std::unique_ptr<mediator::Dialect> dialect_;
  std::unique_ptr<MailboxServer> mailboxes_;
  bool has_window_ = false;
};

}  // namespace vtee::daemon
