// SPDX-License-Identifier: BSD-3-Clause
// The shim's own declarations against this machine's kernel headers, as far as those go.
#include "vmm/kvm_uapi.h"

#include <gtest/gtest.h>
#include <linux/kvm.h>

#include <cstddef>

namespace vtee::vmm {
namespace {

static_assert(kvm::kCreateVm == KVM_CREATE_VM);
static_assert(kvm::kCheckExtension == KVM_CHECK_EXTENSION);
static_assert(kvm::kCapNrMemslots == KVM_CAP_NR_MEMSLOTS);
static_assert(kvm::kGetVcpuMmapSize == KVM_GET_VCPU_MMAP_SIZE);
static_assert(kvm::kCreateVcpu == KVM_CREATE_VCPU);
static_assert(kvm::kSetUserMemoryRegion == KVM_SET_USER_MEMORY_REGION);
static_assert(kvm::kIrqfd == KVM_IRQFD);
static_assert(kvm::kRun == KVM_RUN);
// KVM_SET_SIGNAL_MASK is left out: its struct has another size in C++ (an empty member).
static_assert(kvm::kGetOneReg == KVM_GET_ONE_REG);
static_assert(kvm::kSetOneReg == KVM_SET_ONE_REG);
static_assert(kvm::kSetDeviceAttr == KVM_SET_DEVICE_ATTR);
static_assert(kvm::kExitHypercall == KVM_EXIT_HYPERCALL);
static_assert(kvm::kExitIntr == KVM_EXIT_INTR);
static_assert(kvm::kExitSystemEvent == KVM_EXIT_SYSTEM_EVENT);
static_assert(kvm::kSystemEventReset == KVM_SYSTEM_EVENT_RESET);
static_assert(kvm::kMemReadOnly == KVM_MEM_READONLY);
static_assert(offsetof(kvm::RunPage, immediate_exit) == offsetof(kvm_run, immediate_exit));
static_assert(offsetof(kvm::RunPage, exit_reason) == offsetof(kvm_run, exit_reason));
static_assert(offsetof(kvm::RunPage, hypercall) == offsetof(kvm_run, hypercall));
static_assert(offsetof(kvm::RunPage, system_event) == offsetof(kvm_run, system_event));
static_assert(sizeof(kvm::MemoryRegion) == sizeof(kvm_userspace_memory_region));
static_assert(offsetof(kvm::MemoryRegion, userspace_addr) ==
              offsetof(kvm_userspace_memory_region, userspace_addr));
static_assert(sizeof(kvm::Irqfd) == sizeof(kvm_irqfd));
static_assert(sizeof(kvm::DeviceAttr) == sizeof(kvm_device_attr));
#ifdef KVM_SET_USER_MEMORY_REGION2
static_assert(kvm::kSetUserMemoryRegion2 == KVM_SET_USER_MEMORY_REGION2);
#endif
#ifdef __aarch64__
static_assert(kvm::kArmVcpuInit == KVM_ARM_VCPU_INIT);
static_assert(kvm::kRegX0 == (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE |
                              KVM_REG_ARM_CORE_REG(regs.regs[0])));
static_assert(kvm::RegX(17) == (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE |
                                KVM_REG_ARM_CORE_REG(regs.regs[17])));
static_assert(kvm::kRegPc == (KVM_REG_ARM64 | KVM_REG_SIZE_U64 | KVM_REG_ARM_CORE |
                              KVM_REG_ARM_CORE_REG(regs.pc)));
#endif

TEST(KvmUapiTest, MatchesTheKernelHeaders) { SUCCEED() << "checked by the compiler"; }

}  // namespace
}  // namespace vtee::vmm
