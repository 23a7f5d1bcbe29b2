// SPDX-License-Identifier: BSD-3-Clause
// The KVM objects that the shim tracks: VMs and vCPUs, found by their file descriptors.
//
// Lifetime follows KVM's: a VM lives until its descriptors, their duplicates and those of its
// vCPUs are all closed. Objects are type-stable (recycled, never freed), so that a look-up racing
// with close() only has to pin what it found and look again.
//
// Threading: Pin/Unpin any thread without a lock unless the object is dying; the rest takes the
// store's mutex. Ownership: the store owns all objects.
// Not supported: descriptors that leave or enter the process by SCM_RIGHTS, close_range().
#pragma once

#include <atomic>
#include <cstdint>

#include "vmm/fd_table.h"
#include "vmm/kvm_uapi.h"
#include "vmm/own_fd.h"
#include "vmm/runtime.h"
#include "vmm/vm_link.h"
#include "vmm/window.h"

namespace vtee::vmm {

struct KvmVcpu;

// What a VM's first KVM_RUN leads to.
enum class AttachState : std::uint32_t {
  kNew,       // no vCPU has run
  kAttached,  // has a TEE
  kOff,       // runs without one
  kFailed,    // must not run: the person asked for a TEE and there is none
};

struct KvmObject {
  enum class Kind { kVm, kVcpu };
  Kind kind = Kind::kVm;
  std::atomic<std::uint32_t> users{0};  // threads inside a call on this object
  std::atomic<bool> dying{false};       // nothing holds it any more; the last user recycles it
  std::uint32_t holds = 0;              // descriptors, and a VM's vCPUs; under the store's mutex
  KvmObject* next_free = nullptr;
};

struct KvmSlot {
  kvm::MemoryRegion region;
  bool sent;       // vteed knows it
  bool reachable;  // ... and has its file, or its bytes are copied
};

struct KvmVm : KvmObject {
  std::atomic<int> fd{-1};  // some open descriptor of the VM, -1 when only vCPUs are left
  std::uint32_t vcpu_mmap_size = 0;
  std::atomic<AttachState> state{AttachState::kNew};
  std::atomic<KvmVcpu*> reset_by{nullptr};  // reported a reset that vteed has not heard of yet
  std::atomic<std::uint32_t> resets{0};     // that vteed has heard of

  Mutex mutex;  // guards all below, and the order of slot changes
  PodArray<KvmSlot> slots;
  VmLink* link = nullptr;  // set once, before state becomes kAttached
  OwnFd interrupt;
  Window window;                              // valid: the only memory that vteed sees ...
  kvm::MemoryRegion window_slot = {};         // ... and where KVM has it
  FilterRange ranges[kMaxFilterRanges] = {};  // installed in KVM; fixed once state is not kNew
  std::uint32_t range_count = 0;
  bool warned_unshareable = false;
  bool warned_window = false;
  std::uint64_t failed_at = 0;  // ns
};

struct KvmVcpu : KvmObject {
  KvmVm* vm = nullptr;
  std::uint32_t index = 0;
  std::uint32_t mmap_size = 0;
  kvm::RunPage* run = nullptr;

  Mutex mutex;  // as the kernel's vcpu->mutex: held during KVM_RUN and KVM_ARM_VCPU_INIT
  CallPort* port = nullptr;     // while attached and the index has a mailbox
  std::uint32_t ran_epoch = 0;  // 0: never ran; else 1 + the VM's resets when it last ran
  bool has_parked_pc = false;
  std::uint64_t parked_pc = 0;  // where the guest was when a wait was stopped
  std::atomic<bool> has_signal_mask{false};
  std::atomic<std::uint64_t> signal_mask{0};
};

class KvmObjects {
 public:
  constexpr KvmObjects() = default;
  KvmObjects(const KvmObjects&) = delete;
  KvmObjects& operator=(const KvmObjects&) = delete;

  bool Tracks(int fd) const { return table_.Get(fd) != nullptr; }
  KvmObject* Pin(int fd);
  void Unpin(KvmObject* object);

  // False: no memory, or the descriptor's number is out of range; nothing is tracked then.
  bool AddVm(int fd, std::uint32_t vcpu_mmap_size);
  // Takes over the mapping `run` on success.
  bool AddVcpu(int fd, KvmVm* vm, std::uint32_t index, kvm::RunPage* run);
  void OnDuplicated(int from, int to);
  // To be called before the descriptor is closed, as its number is reused right after.
  void OnClosing(int fd);

  // In the child of a fork: forgets everything, without touching what the parent uses.
  void ForgetAllInChild();

 private:
  struct Garbage;
  KvmObject* TakeFree(KvmObject*& list);
  void Drop(KvmObject* object, Garbage& garbage);
  void RecycleIfUnused(KvmObject* object, Garbage& garbage);

  FdTable<KvmObject> table_;
  Mutex mutex_;
  KvmObject* free_vms_ = nullptr;
  KvmObject* free_vcpus_ = nullptr;
};

// Pins what a descriptor stands for, for the length of a scope.
class PinnedObject {
 public:
  PinnedObject(KvmObjects& objects, int fd) : objects_(objects), object_(objects.Pin(fd)) {}
  ~PinnedObject() {
    if (object_ != nullptr) objects_.Unpin(object_);
  }
  PinnedObject(const PinnedObject&) = delete;
  PinnedObject& operator=(const PinnedObject&) = delete;

  explicit operator bool() const { return object_ != nullptr; }
  KvmVm* vm() const {
    const bool is_vm = object_ != nullptr && object_->kind == KvmObject::Kind::kVm;
    return is_vm ? static_cast<KvmVm*>(object_) : nullptr;
  }
  KvmVcpu* vcpu() const {
    const bool is_vcpu = object_ != nullptr && object_->kind == KvmObject::Kind::kVcpu;
    return is_vcpu ? static_cast<KvmVcpu*>(object_) : nullptr;
  }

 private:
  KvmObjects& objects_;
  KvmObject* object_;
};

}  // namespace vtee::vmm
