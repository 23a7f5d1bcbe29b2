// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/kvm_shim.h"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace vtee::vmm {
namespace {

constexpr std::uint32_t kKvmType = 0xae00;  // the type byte of all KVM ioctls

}  // namespace

void KvmShim::Configure(const ShimConfig& config) {
  config_ = config;
  owner_ = getpid();
}

int KvmShim::Ioctl(int fd, unsigned long request, void* argument) {
  // Callers disagree on the request's width; the kernel looks at 32 bits.
  const auto number = static_cast<std::uint32_t>(request);
  if ((number & 0xff00) != kKvmType || !config_.active()) {
    return config_.ioctl(fd, request, argument);
  }
  if (number == kvm::kCreateVm) return CreateVm(fd, argument);
  const PinnedObject object(objects_, fd);
  if (KvmVcpu* vcpu = object.vcpu()) return VcpuIoctl(fd, *vcpu, request, argument);
  if (KvmVm* vm = object.vm()) return VmIoctl(fd, *vm, request, argument);
  return config_.ioctl(fd, request, argument);
}

void KvmShim::OnClosing(int fd) {
  if (getpid() == owner_) objects_.OnClosing(fd);
}

void KvmShim::OnDuplicated(int from, int to) {
  if (getpid() == owner_) objects_.OnDuplicated(from, to);
}

void KvmShim::AfterForkInChild() {
  CloseOwnFdsInChild();
  objects_.ForgetAllInChild();
  owner_ = getpid();
}

int KvmShim::CreateVm(int fd, void* argument) {
  const int vm_fd = config_.ioctl(fd, kvm::kCreateVm, argument);
  if (vm_fd < 0 || getpid() != owner_) return vm_fd;
  const int saved_errno = errno;
  const int size = config_.ioctl(fd, kvm::kGetVcpuMmapSize, nullptr);
  if (size >= static_cast<int>(sizeof(kvm::RunPage))) {
    objects_.AddVm(vm_fd, static_cast<std::uint32_t>(size));
  }
  errno = saved_errno;
  return vm_fd;
}

int KvmShim::VmIoctl(int fd, KvmVm& vm, unsigned long request, void* argument) {
  switch (static_cast<std::uint32_t>(request)) {
    case kvm::kCreateVcpu:
      return CreateVcpu(fd, vm, argument);
    case kvm::kSetUserMemoryRegion:
    case kvm::kSetUserMemoryRegion2:
      return SetMemoryRegion(fd, vm, request, argument);
    default:
      return config_.ioctl(fd, request, argument);
  }
}

int KvmShim::CreateVcpu(int fd, KvmVm& vm, void* argument) {
  const int vcpu_fd = config_.ioctl(fd, kvm::kCreateVcpu, argument);
  if (vcpu_fd < 0) return vcpu_fd;
  const int saved_errno = errno;
  void* run = mmap(nullptr, vm.vcpu_mmap_size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu_fd, 0);
  const auto index = static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(argument));
  if (run == MAP_FAILED) run = nullptr;
  if (run == nullptr || !objects_.AddVcpu(vcpu_fd, &vm, index, static_cast<kvm::RunPage*>(run))) {
    // A vCPU that the shim cannot see into would hang its guest at the first secure call.
    if (run != nullptr) munmap(run, vm.vcpu_mmap_size);
    syscall(SYS_close, vcpu_fd);
    errno = ENOMEM;
    return -1;
  }
  errno = saved_errno;
  return vcpu_fd;
}

int KvmShim::SetMemoryRegion(int fd, KvmVm& vm, unsigned long request, void* argument) {
  // Under the lock, so that vteed hears of changes in the order in which KVM made them.
  const MutexLock lock(vm.mutex);
  kvm::MemoryRegion region{};
  if (vm.window.valid()) {
    std::memcpy(&region, argument, sizeof region);
    if (TakesWindowSlot(vm, region)) {
      errno = EINVAL;  // as for a number that KVM does not have
      return -1;
    }
  }
  const int rc = config_.ioctl(fd, request, argument);
  const int saved_errno = errno;
  if (rc < 0) {
    SayIfWindowIsInTheWay(vm, region);
    errno = saved_errno;
    return rc;
  }
  std::memcpy(&region, argument, sizeof region);
  NoteSlot(vm, region);
  errno = saved_errno;
  return rc;
}

int KvmShim::VcpuIoctl(int fd, KvmVcpu& vcpu, unsigned long request, void* argument) {
  switch (static_cast<std::uint32_t>(request)) {
    case kvm::kRun:
      return Run(fd, vcpu, argument);
    case kvm::kArmVcpuInit:
      return InitVcpu(fd, vcpu, argument);
    case kvm::kSetSignalMask: {
      const int rc = config_.ioctl(fd, request, argument);
      if (rc < 0) return rc;
      std::uint64_t mask = 0;
      if (argument != nullptr) {
        std::memcpy(&mask, static_cast<char*>(argument) + sizeof(kvm::SignalMask), sizeof mask);
      }
      vcpu.signal_mask.store(mask, std::memory_order_relaxed);
      vcpu.has_signal_mask.store(argument != nullptr, std::memory_order_release);
      return rc;
    }
    default:
      return config_.ioctl(fd, request, argument);
  }
}

int KvmShim::InitVcpu(int fd, KvmVcpu& vcpu, void* argument) {
  const MutexLock lock(vcpu.mutex);
  const int rc = config_.ioctl(fd, kvm::kArmVcpuInit, argument);
  if (rc < 0 || vcpu.ran_epoch == 0) return rc;
  const int saved_errno = errno;
  KvmVm& vm = *vcpu.vm;
  if (vcpu.port != nullptr) vcpu.port->Abandon();
  vcpu.has_parked_pc = false;
  // vCPU 0 is initialised again only when the whole machine is reset. Now, not at the next
  // KVM_RUN, because the VMM reloads the guest's memory in between.
  const bool ran_since_reset = vcpu.ran_epoch == vm.resets.load() + 1;
  if (vm.reset_by.load() != nullptr || (vcpu.index == 0 && ran_since_reset)) SendReset(vm);
  errno = saved_errno;
  return rc;
}

}  // namespace vtee::vmm
