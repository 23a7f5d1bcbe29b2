// SPDX-License-Identifier: BSD-3-Clause
// VmLink: one VM's connection to its vteed: attach, memory slots, interrupt, life events, and the
// call ports of its vCPUs. Both front ends, the KVM shim and include/vtee/vmm.h, are thin layers
// over it.
//
// Threading: any thread may call any method; requests on the control socket are serialised. A call
// port belongs to one thread at a time. Ownership: the link owns the control socket and the ring;
// ports live as long as the link. Destroying it closes the socket, which tells vteed that the VM
// is gone; no thread may be inside the link then.
// Not supported: reconnecting to another vteed.
#pragma once

#include <cstdint>

#include "vmm/call_port.h"
#include "vmm/control.h"
#include "vmm/memory_server.h"
#include "vmm/own_fd.h"
#include "vmm/peer_health.h"
#include "vmm/protocol.h"
#include "vmm/runtime.h"

namespace vtee::vmm {

class VmLink {
 public:
  static constexpr std::uint32_t kDefaultAttachTimeoutMs = 30'000;

  // Says hello over `control` and waits for vteed's answer. nullptr: `error` holds a sentence.
  // Free the link with Destroy().
  static VmLink* Attach(OwnFd control, std::uint32_t vcpus, const MessageSink& sink,
                        std::uint32_t timeout_ms, Text& error);
  static void Destroy(VmLink* link);
  VmLink(const VmLink&) = delete;
  VmLink& operator=(const VmLink&) = delete;

  const FilterRange* ranges() const { return hello_.ranges; }
  std::uint32_t range_count() const { return hello_.range_count; }
  // The range that a call's function id lies in; nullptr: the call is not vteed's.
  const FilterRange* FindRange(std::uint32_t function) const;
  std::int32_t interrupt_gsi() const { return hello_.interrupt_gsi; }
  // The one slot that vteed wants to be told, to be made outside of the guest's RAM; size 0: all.
  std::uint64_t window_base() const { return hello_.window_base; }
  std::uint64_t window_size() const { return hello_.window_size; }
  std::uint32_t vcpu_capacity() const { return vcpus_; }
  PeerHealth& health() { return health_; }
  int control_fd() const { return control_.get(); }

  // kRefused: vteed lives but said no. kDead: it is (now) dead, and the person has been told.
  enum class Answer { kDone, kRefused, kDead };
  Answer SetSlot(const SlotBody& slot, int fd);  // fd -1: memory that cannot be shared
  Answer RemoveSlot(std::uint32_t slot);
  // For memory without a file: vteed has its bytes copied. True: the memory channel is open. False:
  // this vteed knows none, or it cannot be made. With a thread, the copies need nobody's help;
  // without, somebody serves memory().
  bool OpenMemory(bool with_thread);
  // After OpenMemory(). The bytes are at `address` in this process, until RemoveSlot() returns or
  // another slot of the same number has been set.
  Answer SetCopiedSlot(SlotBody slot, std::uint64_t address);
  MemoryServer& memory() { return memory_; }
  Answer SetInterrupt(int eventfd);
  Answer SendLife(LifeKind kind);

  // nullptr when vcpu >= vcpu_capacity().
  CallPort* port(std::uint32_t vcpu) { return vcpu < vcpus_ ? &ports_[vcpu] : nullptr; }

 private:
  VmLink(OwnFd control, std::uint32_t vcpus, const MessageSink& sink);
  ~VmLink();

  bool MakeRing(Text& error);
  bool SayHello(std::uint32_t timeout_ms, Text& error);
  bool JudgeReply(const HelloReplyBody& reply, std::uint16_t major, std::uint16_t minor,
                  Text& error);
  Answer Request(const ControlMessage& message, int fd, std::uint32_t timeout_ms);
  Answer FailRequest(ControlResult result);

  OwnFd control_;
  OwnFd ring_fd_;
  std::uint32_t vcpus_ = 0;
  void* ring_ = nullptr;
  CallPort* ports_ = nullptr;
  HelloReplyBody hello_ = {};
  PeerHealth health_;
  SpinLimit spinners_{1};
  MemoryServer memory_{health_};
  std::uint16_t vteed_minor_ = 0;
  bool memory_open_ = false;  // under request_mutex_
  Mutex request_mutex_;
};

}  // namespace vtee::vmm
