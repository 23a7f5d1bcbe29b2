// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/fake_kvm.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace vtee::vmm {
namespace {

constexpr std::size_t kRunBytes = 8192;

FakeKvm* g_kvm = nullptr;  // ioctl is a plain function; there is one kernel

// Not fstat(): a test closes descriptors while they are used, as VMMs do, and the thread sanitizer
// takes that for a race of the test's own.
std::uint64_t Inode(int fd) {
  struct stat status {};
  return fstatat(fd, "", &status, AT_EMPTY_PATH) == 0 ? status.st_ino : 0;
}

int Fail(int error) {
  errno = error;
  return -1;
}

}  // namespace

void FakeKvm::Vcpu::ThenCall(std::uint32_t function, bool smc) {
  script.push_back([function, smc](Vcpu& vcpu) {
    vcpu.registers[kvm::RegX(0)] = function;
    for (unsigned i = 1; i < 8; ++i) vcpu.registers[kvm::RegX(i)] = i;
    vcpu.registers[kvm::kRegPc] += 4;
    vcpu.run->exit_reason = kvm::kExitHypercall;
    vcpu.run->hypercall.nr = function;
    vcpu.run->hypercall.flags = smc ? kvm::kHypercallExitSmc : 0;
    return 0;
  });
}

void FakeKvm::Vcpu::ThenExit(std::uint32_t reason, std::uint32_t type) {
  script.push_back([reason, type](Vcpu& vcpu) {
    vcpu.run->exit_reason = reason;
    vcpu.run->system_event.type = type;
    return 0;
  });
}

void FakeKvm::Vcpu::ThenFail(int error) {
  script.push_back([error](Vcpu&) { return Fail(error); });
}

FakeKvm::FakeKvm() : device_(memfd_create("kvm", MFD_CLOEXEC)) { g_kvm = this; }

FakeKvm::~FakeKvm() {
  g_kvm = nullptr;
  for (auto& [inode, vcpu] : vcpus_) munmap(vcpu->run, kRunBytes);
}

int FakeKvm::Ioctl(int fd, unsigned long request, void* argument) {
  return g_kvm->Handle(fd, static_cast<std::uint32_t>(request), argument);
}

FakeKvm::Vm& FakeKvm::vm(int fd) {
  const std::lock_guard lock(mutex_);
  return *vms_.at(Inode(fd));
}

FakeKvm::Vcpu& FakeKvm::vcpu(int fd) {
  const std::lock_guard lock(mutex_);
  return *vcpus_.at(Inode(fd));
}

int FakeKvm::NewVcpu(std::uint32_t index) {
  const int fd = memfd_create("kvm-vcpu", MFD_CLOEXEC);
  if (ftruncate(fd, kRunBytes) != 0) return Fail(ENOMEM);
  auto vcpu = std::make_unique<Vcpu>();
  vcpu->index = index;
  vcpu->run = static_cast<kvm::RunPage*>(
      mmap(nullptr, kRunBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0));
  vcpus_[Inode(fd)] = std::move(vcpu);
  return fd;
}

int FakeKvm::Handle(int fd, std::uint32_t request, void* argument) {
  std::unique_lock lock(mutex_);
  if (request == kvm::kCreateVm) {
    if (fd != device_.get()) return Fail(ENOTTY);
    const int vm_fd = memfd_create("kvm-vm", MFD_CLOEXEC);
    vms_[Inode(vm_fd)] = std::make_unique<Vm>();
    return vm_fd;
  }
  if (request == kvm::kGetVcpuMmapSize) return static_cast<int>(kRunBytes);
  const std::uint64_t inode = Inode(fd);
  if (auto vm = vms_.find(inode); vm != vms_.end()) {
    return VmIoctl(*vm->second, request, argument);
  }
  if (auto vcpu = vcpus_.find(inode); vcpu != vcpus_.end()) {
    Vcpu& target = *vcpu->second;
    lock.unlock();
    return VcpuIoctl(target, request, argument);
  }
  ++passed_through;
  return Fail(ENOTTY);
}

int FakeKvm::VmIoctl(Vm& vm, std::uint32_t request, void* argument) {
  switch (request) {
    case kvm::kCreateVcpu:
      return NewVcpu(static_cast<std::uint32_t>(reinterpret_cast<std::uintptr_t>(argument)));
    case kvm::kSetUserMemoryRegion:
    case kvm::kSetUserMemoryRegion2: {
      kvm::MemoryRegion region;
      std::memcpy(&region, argument, sizeof region);
      if (region.memory_size % 4096 != 0) return Fail(EINVAL);
      if (region.slot >= static_cast<std::uint32_t>(memslots)) return Fail(EINVAL);
      for (const auto& [number, other] : vm.slots) {
        if (number == region.slot || other.memory_size == 0 || region.memory_size == 0) continue;
        if (region.guest_phys_addr < other.guest_phys_addr + other.memory_size &&
            other.guest_phys_addr < region.guest_phys_addr + region.memory_size) {
          return Fail(EEXIST);
        }
      }
      vm.slots[region.slot] = region;
      return 0;
    }
    case kvm::kCheckExtension:
      return reinterpret_cast<std::uintptr_t>(argument) == kvm::kCapNrMemslots ? memslots : 0;
    case kvm::kSetDeviceAttr: {
      if (filter_errno != 0 && vm.filters.size() >= filters_before_error) {
        return Fail(filter_errno);
      }
      const auto* attr = static_cast<const kvm::DeviceAttr*>(argument);
      kvm::SmcccFilter filter;
      std::memcpy(&filter, reinterpret_cast<const void*>(attr->addr), sizeof filter);
      vm.filters.push_back(filter);
      return 0;
    }
    case kvm::kIrqfd:
      if (irqfd_errno != 0) return Fail(irqfd_errno);
      vm.irqfds.push_back(*static_cast<const kvm::Irqfd*>(argument));
      return 0;
    default:
      return Fail(ENOTTY);
  }
}

int FakeKvm::VcpuIoctl(Vcpu& vcpu, std::uint32_t request, void* argument) {
  switch (request) {
    case kvm::kRun: {
      ++vcpu.runs;
      if (__atomic_load_n(&vcpu.run->immediate_exit, __ATOMIC_RELAXED) != 0) return Fail(EINTR);
      if (vcpu.script.empty()) return Fail(ENOENT);  // "the script is over"
      auto step = std::move(vcpu.script.front());
      vcpu.script.pop_front();
      return step(vcpu);
    }
    case kvm::kGetOneReg: {
      ++vcpu.register_reads;
      const auto* reg = static_cast<const kvm::OneReg*>(argument);
      *reinterpret_cast<std::uint64_t*>(reg->addr) = vcpu.registers[reg->id];
      return 0;
    }
    case kvm::kSetOneReg: {
      ++vcpu.register_writes;
      const auto* reg = static_cast<const kvm::OneReg*>(argument);
      vcpu.registers[reg->id] = *reinterpret_cast<const std::uint64_t*>(reg->addr);
      return 0;
    }
    case kvm::kArmVcpuInit:
      ++vcpu.inits;
      return 0;
    case kvm::kSetSignalMask:
      return 0;
    default:
      return Fail(ENOTTY);
  }
}

}  // namespace vtee::vmm
