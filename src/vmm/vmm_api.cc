// SPDX-License-Identifier: BSD-3-Clause
// The C ABI of include/vtee/vmm.h over VmLink. Checks arguments and versions, and no more.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "vmm/vm_link.h"
#include "vtee/vmm.h"

#define VTEE_EXPORT extern "C" __attribute__((visibility("default")))

static_assert(VTEE_CALL_REGISTERS == vtee::vmm::kCallRegisters);
static_assert(VTEE_MAX_VCPUS == vtee::vmm::kMaxVcpus);
static_assert(VTEE_MAX_FILTER_RANGES == vtee::vmm::kMaxFilterRanges);
static_assert(VTEE_CONDUIT_SMC == vtee::vmm::kConduitSmc);
static_assert(VTEE_SLOT_READ_ONLY == vtee::vmm::kSlotReadOnly);
static_assert(VTEE_EVENT_RESUMED == static_cast<int>(vtee::vmm::LifeKind::kResumed));

namespace {

using vtee::vmm::CallPort;
using vtee::vmm::CallRegisters;
using vtee::vmm::OwnFd;
using vtee::vmm::StopCheck;
using vtee::vmm::Text;
using vtee::vmm::VmLink;

// The opaque vtee_vm is the link itself.
VmLink* Link(vtee_vm* vm) { return reinterpret_cast<VmLink*>(vm); }
VmLink* Link(const vtee_vm* vm) { return reinterpret_cast<VmLink*>(const_cast<vtee_vm*>(vm)); }

// A copy of a caller's struct as this library knows it: what an older caller lacks is zero.
template <typename T>
bool CopyVersioned(const T* from, std::size_t smallest, T& to) {
  if (from == nullptr || from->size < smallest) return false;
  std::memset(static_cast<void*>(&to), 0, sizeof to);
  std::memcpy(static_cast<void*>(&to), from, std::min<std::size_t>(from->size, sizeof to));
  return true;
}

int ToErrno(VmLink::Answer answer) {
  switch (answer) {
    case VmLink::Answer::kDone:
      return 0;
    case VmLink::Answer::kRefused:
      return -EINVAL;
    case VmLink::Answer::kDead:
      break;
  }
  return -EPIPE;
}

// Sending what is no descriptor fails as a lost vteed does, and must not be taken for one.
bool IsOpen(int fd) { return fcntl(fd, F_GETFD) != -1; }

int Fail(const vtee_attach& attach, int error, const char* sentence) {
  if (attach.error != nullptr && attach.error_size > 0) {
    std::snprintf(attach.error, attach.error_size, "%s", sentence);
  }
  return error;
}

constexpr std::size_t kFirstAttachSize = sizeof(vtee_attach);
constexpr std::size_t kFirstSlotSize = offsetof(vtee_slot, host_address);
static_assert(kFirstSlotSize == 40);
constexpr std::size_t kFirstCallSize = sizeof(vtee_call);

int WaitForReply(CallPort& port, vtee_call& call) {
  const StopCheck stop{[](void* context, bool interrupted) {
                         const auto* asked = static_cast<const vtee_call*>(context);
                         return asked->should_stop != nullptr &&
                                asked->should_stop(asked->stop_context, interrupted ? 1 : 0) != 0;
                       },
                       &call};
  CallRegisters reply;
  switch (port.Wait(stop, reply)) {
    case CallPort::Outcome::kStopped:
      return -EINTR;
    case CallPort::Outcome::kIdle:
      return -ENOENT;
    case CallPort::Outcome::kReplied:
      break;
  }
  std::memcpy(call.x, reply.x, sizeof call.x);
  call.reply_count = reply.count;
  return 0;
}

}  // namespace

VTEE_EXPORT int vtee_vm_attach(const vtee_attach* attach, vtee_vm** vm) {
  vtee_attach given;
  if (vm == nullptr || !CopyVersioned(attach, kFirstAttachSize, given)) return -EINVAL;
  *vm = nullptr;
  if (given.vcpus == 0 || given.vcpus > VTEE_MAX_VCPUS) {
    return Fail(given, -EINVAL, "vcpus must be 1 to 512");
  }
  const std::uint32_t timeout =
      given.timeout_ms != 0 ? given.timeout_ms : VmLink::kDefaultAttachTimeoutMs;
  Text error;
  OwnFd control;
  if (given.socket_path != nullptr) {
    control = vtee::vmm::ConnectToPath(given.socket_path, error, timeout);
    if (!control.valid()) return Fail(given, -ECONNREFUSED, error.bytes);
  } else {
    if (!vtee::vmm::IsSeqpacketSocket(given.control_fd)) {
      return Fail(given, -EINVAL, "control_fd is not a Unix SOCK_SEQPACKET socket");
    }
    // A duplicate, so that a failed attach leaves the caller's own as it was.
    control.Reset(fcntl(given.control_fd, F_DUPFD_CLOEXEC, 3));
    if (!control.valid()) return Fail(given, -errno, "cannot duplicate control_fd");
  }
  VmLink* link = VmLink::Attach(std::move(control), given.vcpus,
                                {given.message, given.message_context}, timeout, error);
  if (link == nullptr) return Fail(given, -ECONNREFUSED, error.bytes);
  if (given.socket_path == nullptr) close(given.control_fd);
  *vm = reinterpret_cast<vtee_vm*>(link);
  return 0;
}

VTEE_EXPORT void vtee_vm_detach(vtee_vm* vm) { VmLink::Destroy(Link(vm)); }

VTEE_EXPORT uint32_t vtee_vm_filter_ranges(const vtee_vm* vm, vtee_filter_range* ranges,
                                           uint32_t capacity) {
  const VmLink* link = Link(vm);
  for (std::uint32_t i = 0; i < std::min(capacity, link->range_count()); ++i) {
    const vtee::vmm::FilterRange& range = link->ranges()[i];
    ranges[i] = {range.base, range.count, range.registers};
  }
  return link->range_count();
}

VTEE_EXPORT uint32_t vtee_vm_call_registers(const vtee_vm* vm, uint32_t function_id) {
  const vtee::vmm::FilterRange* range = Link(vm)->FindRange(function_id);
  return range != nullptr ? range->registers : 0;
}

VTEE_EXPORT int32_t vtee_vm_interrupt(const vtee_vm* vm) { return Link(vm)->interrupt_gsi(); }

VTEE_EXPORT int vtee_vm_set_interrupt(vtee_vm* vm, int eventfd) {
  if (!IsOpen(eventfd)) return -EINVAL;
  return ToErrno(Link(vm)->SetInterrupt(eventfd));
}

VTEE_EXPORT int vtee_vm_window(const vtee_vm* vm, vtee_window* window) {
  if (window == nullptr || window->size < sizeof *window) return -EINVAL;
  window->guest_phys = Link(vm)->window_base();
  window->bytes = Link(vm)->window_size();
  return window->bytes != 0 ? 1 : 0;
}

VTEE_EXPORT int vtee_vm_set_slot(vtee_vm* vm, const vtee_slot* slot) {
  vtee_slot given;
  if (!CopyVersioned(slot, kFirstSlotSize, given)) return -EINVAL;
  const bool aligned = given.bytes % 4096 == 0 && given.guest_phys % 4096 == 0;
  if (given.bytes == 0 || !aligned || (given.flags & ~VTEE_SLOT_READ_ONLY) != 0) return -EINVAL;
  if (given.fd >= 0 && !IsOpen(given.fd)) return -EINVAL;
  vtee::vmm::SlotBody body{};
  body.slot = given.slot;
  body.flags = given.flags;
  body.guest_phys = given.guest_phys;
  body.size = given.bytes;
  body.file_offset = given.file_offset;
  if (given.fd >= 0 || given.host_address == nullptr) {
    return ToErrno(Link(vm)->SetSlot(body, given.fd));
  }
  if (!Link(vm)->OpenMemory(/*with_thread=*/false)) {
    return Link(vm)->health().dead() ? -EPIPE : -EOPNOTSUPP;
  }
  return ToErrno(
      Link(vm)->SetCopiedSlot(body, reinterpret_cast<std::uintptr_t>(given.host_address)));
}

VTEE_EXPORT int vtee_vm_memory_fd(const vtee_vm* vm) { return Link(vm)->memory().fd(); }

VTEE_EXPORT int vtee_vm_serve_memory(vtee_vm* vm) {
  switch (Link(vm)->memory().Serve()) {
    case vtee::vmm::MemoryServer::Served::kOne:
      return 1;
    case vtee::vmm::MemoryServer::Served::kNone:
      return 0;
    case vtee::vmm::MemoryServer::Served::kEnded:
      break;
  }
  return -EPIPE;
}

VTEE_EXPORT int vtee_vm_remove_slot(vtee_vm* vm, uint32_t slot) {
  return ToErrno(Link(vm)->RemoveSlot(slot));
}

VTEE_EXPORT int vtee_vm_event(vtee_vm* vm, vtee_event event) {
  if (event < VTEE_EVENT_RESET || event > VTEE_EVENT_RESUMED) return -EINVAL;
  return ToErrno(Link(vm)->SendLife(static_cast<vtee::vmm::LifeKind>(event)));
}

VTEE_EXPORT int vtee_vm_call(vtee_vm* vm, uint32_t vcpu, vtee_call* call) {
  CallPort* port = Link(vm)->port(vcpu);
  if (port == nullptr || call == nullptr || call->size < kFirstCallSize) return -EINVAL;
  if (call->conduit > VTEE_CONDUIT_SMC) return -EINVAL;
  if (!port->Submit(call->conduit, call->x, VTEE_CALL_REGISTERS)) return -EBUSY;
  return WaitForReply(*port, *call);
}

VTEE_EXPORT int vtee_vm_resume(vtee_vm* vm, uint32_t vcpu, vtee_call* call) {
  CallPort* port = Link(vm)->port(vcpu);
  if (port == nullptr || call == nullptr || call->size < kFirstCallSize) return -EINVAL;
  if (!port->pending()) return -ENOENT;
  return WaitForReply(*port, *call);
}

VTEE_EXPORT void vtee_vm_abandon(vtee_vm* vm, uint32_t vcpu) {
  if (CallPort* port = Link(vm)->port(vcpu)) port->Abandon();
}

VTEE_EXPORT int vtee_vm_pending(const vtee_vm* vm, uint32_t vcpu) {
  const CallPort* port = Link(vm)->port(vcpu);
  return port != nullptr && port->pending() ? 1 : 0;
}

VTEE_EXPORT int vtee_vm_alive(vtee_vm* vm) { return Link(vm)->health().Check() ? 1 : 0; }

VTEE_EXPORT int vtee_vm_hangup_fd(const vtee_vm* vm) { return Link(vm)->control_fd(); }

VTEE_EXPORT const char* vtee_vm_error(const vtee_vm* vm) { return Link(vm)->health().sentence(); }
