// SPDX-License-Identifier: BSD-3-Clause
// KvmShim, the TEE's shared-memory window: a memory slot of the shim's own beside the VMM's, for
// VMs whose RAM is none of the TEE's business.
#include <cerrno>
#include <cinttypes>
#include <cstring>

#include "vmm/kvm_shim.h"

namespace vtee::vmm {
namespace {

bool Overlap(const kvm::MemoryRegion& a, const kvm::MemoryRegion& b) {
  if (a.memory_size == 0 || b.memory_size == 0) return false;
  return a.guest_phys_addr - b.guest_phys_addr < b.memory_size ||
         b.guest_phys_addr - a.guest_phys_addr < a.memory_size;
}

bool HasSlot(const KvmVm& vm, std::uint32_t number) {
  for (const KvmSlot& slot : vm.slots) {
    if (slot.region.slot == number) return true;
  }
  return false;
}

void SayOverlap(const MessageSink& sink, const kvm::MemoryRegion& window,
                const kvm::MemoryRegion& other) {
  Text text;
  text.Format("the TEE's shared-memory window (0x%" PRIx64 " bytes at 0x%" PRIx64
              ") and the VMM's memory of 0x%" PRIx64 " bytes at 0x%" PRIx64
              " overlap; give `vtee run` another place, as in --window 4M@0xe000000",
              window.memory_size, window.guest_phys_addr, other.memory_size, other.guest_phys_addr);
  sink.Say(text.bytes);
}

}  // namespace

// Makes the window that vteed asks for, if any, before the VM's first instruction. False: it is
// impossible, and the person has been told why.
bool KvmShim::InstallWindow(KvmVm& vm, const VmLink& link) {
  const std::uint64_t size = link.window_size();
  if (size == 0) return true;
  kvm::MemoryRegion region{};
  region.guest_phys_addr = link.window_base();
  region.memory_size = size;
  for (const KvmSlot& slot : vm.slots) {
    if (!Overlap(region, slot.region)) continue;
    SayOverlap(config_.sink, region, slot.region);
    return false;
  }
  // VMMs number their slots from 0 upwards: the last ones are free.
  const int vm_fd = vm.fd.load();
  // NOLINTNEXTLINE(performance-no-int-to-ptr): a number where other requests have a pointer
  void* capability = reinterpret_cast<void*>(kvm::kCapNrMemslots);
  const int slots = config_.ioctl(vm_fd, kvm::kCheckExtension, capability);
  region.slot = static_cast<std::uint32_t>(slots > 0 ? slots : 32);
  do {
    --region.slot;
  } while (region.slot > 0 && HasSlot(vm, region.slot));
  Text error;
  Window window = Window::Make(size, error);
  if (window.valid()) {
    region.userspace_addr = window.address();
    if (config_.ioctl(vm_fd, kvm::kSetUserMemoryRegion, &region) != 0) {
      error.Format("KVM refuses the TEE's shared-memory window of 0x%" PRIx64 " bytes at 0x%" PRIx64
                   " (%s); give `vtee run` another place, as in --window 4M@0xe000000",
                   size, region.guest_phys_addr, strerror(errno));
    }
  }
  if (!error.empty()) {
    config_.sink.Say(error.bytes);
    return false;
  }
  vm.window = std::move(window);
  vm.window_slot = region;
  return true;
}

void KvmShim::SendWindow(KvmVm& vm) {
  SlotBody body{};
  body.slot = vm.window_slot.slot;
  body.guest_phys = vm.window_slot.guest_phys_addr;
  body.size = vm.window_slot.memory_size;
  if (vm.link->SetSlot(body, vm.window.fd()) != VmLink::Answer::kRefused) return;
  config_.sink.Say(
      "vteed refused its own shared-memory window, so the guest has no TEE; see vteed's log");
}

// Would the VMM's own slot take the window's number? KVM would move the window there.
bool KvmShim::TakesWindowSlot(KvmVm& vm, const kvm::MemoryRegion& region) {
  if (!vm.window.valid() || region.slot != vm.window_slot.slot) return false;
  Text text;
  text.Format(
      "memory slot %u is the TEE's shared-memory window; the VMM has to do with the slots "
      "below it",
      region.slot);
  config_.sink.Say(text.bytes);
  return true;
}

// KVM has refused a slot of the VMM's: says so where the window is the reason.
void KvmShim::SayIfWindowIsInTheWay(KvmVm& vm, const kvm::MemoryRegion& region) {
  if (!vm.window.valid() || vm.warned_window || !Overlap(vm.window_slot, region)) return;
  vm.warned_window = true;
  SayOverlap(config_.sink, vm.window_slot, region);
}

}  // namespace vtee::vmm
