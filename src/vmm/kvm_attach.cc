// SPDX-License-Identifier: BSD-3-Clause
// KvmShim, first KVM_RUN of a VM: find a vteed, claim the function ids, hand over the memory.
#include <fcntl.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstring>
#include <ctime>

#include "base/clock.h"
#include "vmm/backing_file.h"
#include "vmm/kvm_shim.h"

namespace vtee::vmm {
namespace {

constexpr std::uint64_t kEndGraceNs = 5'000'000'000;  // for the VMM to end after end_vmm
constexpr std::uint64_t kSmallSlot = 1 << 20;         // smaller ones are not the guest's RAM

bool ReadOnly(const kvm::MemoryRegion& region) { return (region.flags & kvm::kMemReadOnly) != 0; }

void SayUnshareable(const MessageSink& sink, const kvm::MemoryRegion& region) {
  const std::uint64_t mib = region.memory_size >> 20;
  Text text;
  text.Format(
      "the guest RAM at 0x%" PRIx64 " (%" PRIu64
      " MiB) is private to the VMM, and this vteed cannot have it copied; install vteed and "
      "the VMM side from the same vtee release, or start QEMU with `-object "
      "memory-backend-memfd,id=mem,size=%" PRIu64 "M,share=on -machine memory-backend=mem`",
      region.guest_phys_addr, mib, mib);
  sink.Say(text.bytes);
}

}  // namespace

AttachState KvmShim::EnsureAttached(KvmVm& vm) {
  const AttachState state = vm.state.load(std::memory_order_acquire);
  if (state != AttachState::kNew) return state;
  const MutexLock lock(vm.mutex);
  if (vm.state.load() != AttachState::kNew) return vm.state.load();
  const int saved_errno = errno;
  const AttachState reached = Attach(vm);
  if (reached == AttachState::kFailed) {
    vm.failed_at = MonotonicNanos();
    if (config_.end_vmm != nullptr) config_.end_vmm(config_.end_vmm_context);
  }
  vm.state.store(reached, std::memory_order_release);
  errno = saved_errno;
  return reached;
}

bool KvmShim::BrokerMissing() {
  if (config_.broker_fd < 0 || IsSeqpacketSocket(config_.broker_fd)) return false;
  if (!said_broker_missing_.exchange(true)) {
    Text text;
    text.Format(
        "descriptor %d of VTEE_FD is not the socket of `vtee run` (closed, or not "
        "inherited), so this VM runs without a TEE; start the VMM directly through "
        "`vtee run`",
        config_.broker_fd);
    config_.sink.Say(text.bytes);
  }
  return true;
}

OwnFd KvmShim::OpenControl(Text& error) {
  if (config_.broker_fd < 0) return ConnectToPath(config_.socket_path, error);
  // From now on this process is the VMM, and what it starts has no business with the broker.
  fcntl(config_.broker_fd, F_SETFD, FD_CLOEXEC);
  return ConnectThroughBroker(config_.broker_fd, error);
}

AttachState KvmShim::Attach(KvmVm& vm) {
  if (BrokerMissing()) return AttachState::kOff;
  Text error;
  OwnFd control = OpenControl(error);
  VmLink* link = nullptr;
  if (control.valid()) {
    link = VmLink::Attach(std::move(control), kMaxVcpus, config_.sink, config_.attach_timeout_ms,
                          error);
  }
  if (link == nullptr) {
    config_.sink.Say(error.bytes);
    return AttachState::kFailed;
  }
  const AttachState filtered = InstallFilter(vm, *link);
  if (filtered != AttachState::kAttached || !InstallWindow(vm, *link)) {
    VmLink::Destroy(link);
    return filtered == AttachState::kAttached ? AttachState::kFailed : filtered;
  }
  vm.link = link;
  // Before the slots: their acknowledgements then tell that vteed has the interrupt, too.
  ConnectInterrupt(vm);
  if (vm.window.valid()) {
    SendWindow(vm);
  } else {
    SendSlots(vm);
  }
  return AttachState::kAttached;
}

void KvmShim::SendSlots(KvmVm& vm) {
  const KvmSlot* largest = nullptr;
  for (KvmSlot& slot : vm.slots) {
    SendSlot(vm, slot);
    if (ReadOnly(slot.region)) continue;
    if (largest == nullptr || slot.region.memory_size > largest->region.memory_size) {
      largest = &slot;
    }
  }
  if (largest != nullptr && !largest->reachable && largest->region.memory_size > kSmallSlot) {
    vm.warned_unshareable = true;
    SayUnshareable(config_.sink, largest->region);
  }
}

AttachState KvmShim::InstallFilter(KvmVm& vm, const VmLink& link) {
  const int vm_fd = vm.fd.load();
  for (std::uint32_t i = 0; i < link.range_count(); ++i) {
    const FilterRange range = link.ranges()[i];
    if (range.count == 0) continue;
    kvm::SmcccFilter filter{};
    filter.base = range.base;
    filter.nr_functions = range.count;
    filter.action = kvm::kSmcccForward;
    kvm::DeviceAttr attr{};
    attr.group = kvm::kSmcccCtrl;
    attr.attr = kvm::kSmcccFilter;
    attr.addr = reinterpret_cast<std::uintptr_t>(&filter);
    if (config_.ioctl(vm_fd, kvm::kSetDeviceAttr, &attr) == 0) {
      // Noted one by one: what is installed must be answered even if the next one fails.
      vm.ranges[vm.range_count++] = range;
      continue;
    }
    const std::uint32_t last = range.base + (range.count - 1);
    Text text;
    if (errno == EEXIST) {
      text.Format(
          "the VMM itself handles secure calls within 0x%08x..0x%08x, so this VM runs "
          "without a vtee TEE; turn the VMM's own TEE or SMCCC support off",
          range.base, last);
      config_.sink.Say(text.bytes);
      return AttachState::kOff;
    }
    text.Format(
        "KVM does not forward the secure calls 0x%08x..0x%08x to userspace (%s); the host "
        "needs Linux 6.4 or newer on arm64, and the VM must not be a protected one",
        range.base, last, strerror(errno));
    config_.sink.Say(text.bytes);
    return AttachState::kFailed;
  }
  return AttachState::kAttached;
}

void KvmShim::ConnectInterrupt(KvmVm& vm) {
  const std::int32_t gsi = vm.link->interrupt_gsi();
  if (gsi < 0) return;
  OwnFd event(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  kvm::Irqfd irqfd{};
  irqfd.fd = static_cast<std::uint32_t>(event.get());
  irqfd.gsi = static_cast<std::uint32_t>(gsi);
  if (!event.valid() || config_.ioctl(vm.fd.load(), kvm::kIrqfd, &irqfd) != 0) {
    Text text;
    text.Format(
        "cannot raise interrupt SPI %d in the guest (%s), so its TEE works without "
        "asynchronous notifications; give the VM an in-kernel interrupt controller",
        gsi, strerror(errno));
    config_.sink.Say(text.bytes);
    return;
  }
  vm.link->SetInterrupt(event.get());
  vm.interrupt = std::move(event);
}

void KvmShim::SendSlot(KvmVm& vm, KvmSlot& slot) {
  const kvm::MemoryRegion& region = slot.region;
  const BackingFile backing =
      FindBackingFile(region.userspace_addr, region.memory_size, !ReadOnly(region));
  const bool shared = backing.fd.valid();
  if (!shared && ReadOnly(region)) return;  // a ROM of the VMM's own; no TEE needs it
  SlotBody body{};
  body.slot = region.slot;
  body.flags = ReadOnly(region) ? kSlotReadOnly : 0;
  body.guest_phys = region.guest_phys_addr;
  body.size = region.memory_size;
  body.file_offset = shared ? backing.file_offset : 0;
  const bool copied = !shared && vm.link->OpenMemory(/*with_thread=*/true);
  slot.reachable = shared || copied;
  const VmLink::Answer answer = copied ? vm.link->SetCopiedSlot(body, region.userspace_addr)
                                       : vm.link->SetSlot(body, backing.fd.get());
  slot.sent = answer == VmLink::Answer::kDone;
}

// Updates the table and, once attached, vteed. False: no memory.
bool KvmShim::NoteSlot(KvmVm& vm, const kvm::MemoryRegion& region) {
  std::size_t index = 0;
  while (index < vm.slots.size() && vm.slots[index].region.slot != region.slot) ++index;
  const bool known = index < vm.slots.size();
  if (known) {
    const kvm::MemoryRegion old = vm.slots[index].region;
    const bool same =
        old.guest_phys_addr == region.guest_phys_addr && old.memory_size == region.memory_size &&
        old.userspace_addr == region.userspace_addr && ReadOnly(old) == ReadOnly(region);
    vm.slots[index].region = region;
    if (same) return true;  // dirty logging was switched
    if (vm.slots[index].sent) vm.link->RemoveSlot(region.slot);
    vm.slots.RemoveAt(index);
  }
  if (region.memory_size == 0) return true;
  if (!vm.slots.Push(KvmSlot{region, false, false})) return false;
  if (vm.link == nullptr || vm.window.valid()) return true;
  KvmSlot& slot = vm.slots[vm.slots.size() - 1];
  SendSlot(vm, slot);
  if (slot.reachable || ReadOnly(region) || vm.warned_unshareable) return true;
  // Hot-plugged RAM is worth a word; the frame buffer of an emulated card is not.
  for (const KvmSlot& other : vm.slots) {
    if (other.reachable && other.region.memory_size >= region.memory_size) return true;
  }
  if (region.memory_size > kSmallSlot) {
    vm.warned_unshareable = true;
    SayUnshareable(config_.sink, region);
  }
  return true;
}

// The person asked for a TEE and there is none. Failing KVM_RUN at once makes QEMU dump registers
// and hang about as "internal-error"; so the VMM is asked to end in its own good order, and its
// vCPUs make no progress meanwhile. One that does not end gets the error.
int KvmShim::FailRun(KvmVm& vm) {
  if (config_.end_vmm == nullptr || MonotonicNanos() - vm.failed_at > kEndGraceNs) {
    errno = EACCES;
    return -1;
  }
  const timespec pause{0, 10'000'000};
  nanosleep(&pause, nullptr);
  errno = EINTR;
  return -1;
}

}  // namespace vtee::vmm
