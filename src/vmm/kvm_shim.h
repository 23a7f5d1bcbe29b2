// SPDX-License-Identifier: BSD-3-Clause
// KvmShim: gives the VMs of an unmodified VMM a TEE by watching its KVM ioctls.
//
// It sees every ioctl of the process. KVM_CREATE_VM, KVM_CREATE_VCPU and the memory slots are
// noted; at a VM's first KVM_RUN the VM attaches to a vteed, and from then on the exits for the
// guest's secure calls are answered inside KVM_RUN, so that the VMM never sees them. All else
// passes through untouched. The kernel is reached through a function that tests replace.
//
// Threading: any thread. KVM_RUN and KVM_ARM_VCPU_INIT of one vCPU exclude each other, as in the
// kernel. Ownership: one per process; it owns the links of all VMs.
// Not supported: VMMs that call ioctl by raw system calls; register state that the VMM changes
// while a call is pending other than by KVM_ARM_VCPU_INIT or by moving the program counter.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>

#include "vmm/kvm_objects.h"

namespace vtee::vmm {

using IoctlFunction = int (*)(int fd, unsigned long request, void* argument);

struct ShimConfig {
  int broker_fd = -1;                 // VTEE_FD
  const char* socket_path = nullptr;  // VTEE_SOCKET; must stay valid
  std::uint32_t attach_timeout_ms = VmLink::kDefaultAttachTimeoutMs;
  MessageSink sink;
  IoctlFunction ioctl = nullptr;  // the real one
  // Asks the VMM to end in good order, after a VM could not get its TEE.
  void (*end_vmm)(void* context) = nullptr;
  void* end_vmm_context = nullptr;

  bool active() const { return broker_fd >= 0 || socket_path != nullptr; }
};

class KvmShim {
 public:
  constexpr KvmShim() = default;
  // Before any other thread uses the shim.
  void Configure(const ShimConfig& config);

  // As ioctl(2): -1 and errno on failure.
  int Ioctl(int fd, unsigned long request, void* argument);

  bool Tracks(int fd) const { return objects_.Tracks(fd); }
  // For close(), dup() and their kin, of descriptors for which Tracks() holds. Ignored in
  // processes that merely share this memory (vfork).
  void OnClosing(int fd);
  void OnDuplicated(int from, int to);
  // In the child of a fork.
  void AfterForkInChild();

 private:
  // kvm_shim.cc: what KVM objects exist
  int CreateVm(int fd, void* argument);
  int VmIoctl(int fd, KvmVm& vm, unsigned long request, void* argument);
  int VcpuIoctl(int fd, KvmVcpu& vcpu, unsigned long request, void* argument);
  int CreateVcpu(int fd, KvmVm& vm, void* argument);
  int SetMemoryRegion(int fd, KvmVm& vm, unsigned long request, void* argument);
  int InitVcpu(int fd, KvmVcpu& vcpu, void* argument);

  // kvm_attach.cc: first KVM_RUN of a VM
  AttachState EnsureAttached(KvmVm& vm);
  AttachState Attach(KvmVm& vm);
  AttachState InstallFilter(KvmVm& vm, const VmLink& link);
  void ConnectInterrupt(KvmVm& vm);
  OwnFd OpenControl(Text& error);
  bool BrokerMissing();
  int FailRun(KvmVm& vm);
  void SendSlots(KvmVm& vm);
  void SendSlot(KvmVm& vm, KvmSlot& slot);
  bool NoteSlot(KvmVm& vm, const kvm::MemoryRegion& region);

  // kvm_window.cc: memory of the shim's own
  bool InstallWindow(KvmVm& vm, const VmLink& link);
  void SendWindow(KvmVm& vm);
  bool TakesWindowSlot(KvmVm& vm, const kvm::MemoryRegion& region);
  void SayIfWindowIsInTheWay(KvmVm& vm, const kvm::MemoryRegion& region);

  // kvm_run.cc: secure calls
  int Run(int fd, KvmVcpu& vcpu, void* argument);
  int RunTracked(int fd, KvmVcpu& vcpu, void* argument);
  const FilterRange* Claims(const KvmVm& vm, const kvm::RunPage& run) const;
  bool StartCall(int fd, KvmVcpu& vcpu, const FilterRange& range);
  bool FinishCall(int fd, KvmVcpu& vcpu);
  void SendReset(KvmVm& vm);
  bool ReadRegister(int fd, std::uint64_t id, std::uint64_t& value);
  bool WriteRegister(int fd, std::uint64_t id, std::uint64_t value);

  ShimConfig config_;
  pid_t owner_ = 0;
  std::atomic<bool> said_broker_missing_{false};
  KvmObjects objects_;
};

}  // namespace vtee::vmm
