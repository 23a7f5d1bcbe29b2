// SPDX-License-Identifier: BSD-3-Clause
// FakeKvm: enough of /dev/kvm, in this process, to drive the shim without a kernel that has it.
// Descriptors are memfds and are known by their inode, so duplicates work as they do with KVM.
// A vCPU's KVM_RUN plays the next step of its script: a secure call, another exit or an error.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "base/unique_fd.h"
#include "vmm/kvm_uapi.h"

namespace vtee::vmm {

class FakeKvm {
 public:
  struct Vcpu {
    std::uint32_t index = 0;
    kvm::RunPage* run = nullptr;
    std::map<std::uint64_t, std::uint64_t> registers;
    std::deque<std::function<int(Vcpu&)>> script;  // return value of KVM_RUN; -1: sets errno
    int runs = 0;
    int inits = 0;
    int register_reads = 0;
    int register_writes = 0;

    std::uint64_t x(unsigned n) { return registers[kvm::RegX(n)]; }
    // Script steps.
    void ThenCall(std::uint32_t function, bool smc = true);  // x0 = function, x1.. = 1..7
    void ThenExit(std::uint32_t reason, std::uint32_t type = 0);
    void ThenFail(int error);
  };
  struct Vm {
    std::vector<kvm::SmcccFilter> filters;
    std::vector<kvm::Irqfd> irqfds;
    std::map<std::uint32_t, kvm::MemoryRegion> slots;
  };

  FakeKvm();
  ~FakeKvm();
  // The function for ShimConfig::ioctl; works on the one FakeKvm there is.
  static int Ioctl(int fd, unsigned long request, void* argument);

  int device() const { return device_.get(); }
  Vm& vm(int fd);
  Vcpu& vcpu(int fd);

  int filter_errno = 0;  // what KVM_SET_DEVICE_ATTR fails with
  std::size_t filters_before_error = 0;
  int irqfd_errno = 0;
  int memslots = 32767;    // KVM_CAP_NR_MEMSLOTS
  int passed_through = 0;  // ioctls that are none of KVM's

 private:
  int Handle(int fd, std::uint32_t request, void* argument);
  int VmIoctl(Vm& vm, std::uint32_t request, void* argument);
  int VcpuIoctl(Vcpu& vcpu, std::uint32_t request, void* argument);
  int NewVcpu(std::uint32_t index);

  UniqueFd device_;
  std::mutex mutex_;
  std::map<std::uint64_t, std::unique_ptr<Vm>> vms_;      // by inode
  std::map<std::uint64_t, std::unique_ptr<Vcpu>> vcpus_;  // by inode
};

}  // namespace vtee::vmm
