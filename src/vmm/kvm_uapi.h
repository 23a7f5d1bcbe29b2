// SPDX-License-Identifier: BSD-3-Clause
// The part of the KVM userspace ABI that the shim touches.
//
// Declared here because Debian 12's kernel headers lack the SMCCC filter, hypercall.flags and
// KVM_SET_USER_MEMORY_REGION2, and because the shim's logic is also built and tested on x86-64,
// whose <asm/kvm.h> has no arm64 register encodings. Each item names its place in the Linux
// source; all are stable user ABI. ioctl numbers use the asm-generic encoding (x86-64, arm64).
#pragma once

#include <cstddef>
#include <cstdint>

namespace vtee::vmm::kvm {

// include/uapi/linux/kvm.h
inline constexpr std::uint32_t kCreateVm = 0xae01;         // KVM_CREATE_VM
inline constexpr std::uint32_t kCheckExtension = 0xae03;   // KVM_CHECK_EXTENSION
inline constexpr std::uint32_t kGetVcpuMmapSize = 0xae04;  // KVM_GET_VCPU_MMAP_SIZE
inline constexpr std::uint32_t kCreateVcpu = 0xae41;       // KVM_CREATE_VCPU
inline constexpr std::uint32_t kSetUserMemoryRegion = 0x4020ae46;
inline constexpr std::uint32_t kSetUserMemoryRegion2 = 0x40a0ae49;  // since Linux 6.8
inline constexpr std::uint32_t kIrqfd = 0x4020ae76;                 // KVM_IRQFD
inline constexpr std::uint32_t kRun = 0xae80;                       // KVM_RUN
inline constexpr std::uint32_t kSetSignalMask = 0x4004ae8b;         // KVM_SET_SIGNAL_MASK
inline constexpr std::uint32_t kGetOneReg = 0x4010aeab;             // KVM_GET_ONE_REG
inline constexpr std::uint32_t kSetOneReg = 0x4010aeac;             // KVM_SET_ONE_REG
inline constexpr std::uint32_t kArmVcpuInit = 0x4020aeae;           // KVM_ARM_VCPU_INIT
inline constexpr std::uint32_t kSetDeviceAttr = 0x4018aee1;         // KVM_SET_DEVICE_ATTR

inline constexpr std::uint32_t kExitHypercall = 3;     // KVM_EXIT_HYPERCALL
inline constexpr std::uint32_t kExitIntr = 10;         // KVM_EXIT_INTR
inline constexpr std::uint32_t kExitSystemEvent = 24;  // KVM_EXIT_SYSTEM_EVENT
inline constexpr std::uint32_t kSystemEventReset = 2;  // KVM_SYSTEM_EVENT_RESET

inline constexpr std::uintptr_t kCapNrMemslots = 10;  // KVM_CAP_NR_MEMSLOTS

inline constexpr std::uint32_t kMemReadOnly = 1u << 1;  // KVM_MEM_READONLY

// struct kvm_run: the head, and the two exits that matter.
struct RunPage {
  std::uint8_t request_interrupt_window;
  std::uint8_t immediate_exit;
  std::uint8_t padding1[6];
  std::uint32_t exit_reason;
  std::uint8_t other[20];
  union {
    struct {
      std::uint64_t nr;
      std::uint64_t args[6];
      std::uint64_t ret;
      std::uint64_t flags;  // since Linux 6.4; bit 0: SMC
    } hypercall;
    struct {
      std::uint32_t type;
      std::uint32_t ndata;
    } system_event;
  };
};
static_assert(offsetof(RunPage, exit_reason) == 8);
static_assert(offsetof(RunPage, hypercall) == 32);
static_assert(offsetof(RunPage, hypercall.flags) == 96);

// struct kvm_userspace_memory_region; kvm_userspace_memory_region2 begins with it.
struct MemoryRegion {
  std::uint32_t slot;
  std::uint32_t flags;
  std::uint64_t guest_phys_addr;
  std::uint64_t memory_size;
  std::uint64_t userspace_addr;
};
static_assert(sizeof(MemoryRegion) == 32);

struct SignalMask {  // struct kvm_signal_mask; the kernel's sigset follows
  std::uint32_t len;
};

struct OneReg {  // struct kvm_one_reg
  std::uint64_t id;
  std::uint64_t addr;
};
static_assert(sizeof(OneReg) == 16);

struct Irqfd {  // struct kvm_irqfd
  std::uint32_t fd;
  std::uint32_t gsi;
  std::uint32_t flags;
  std::uint32_t resamplefd;
  std::uint8_t pad[16];
};
static_assert(sizeof(Irqfd) == 32);

struct DeviceAttr {  // struct kvm_device_attr
  std::uint32_t flags;
  std::uint32_t group;
  std::uint64_t attr;
  std::uint64_t addr;
};
static_assert(sizeof(DeviceAttr) == 24);

// arch/arm64/include/uapi/asm/kvm.h
inline constexpr std::uint64_t kRegX0 = 0x6030000000100000;  // KVM_REG_ARM_CORE_REG(regs.regs[0])
inline constexpr std::uint64_t kRegPc = 0x6030000000100040;  // KVM_REG_ARM_CORE_REG(regs.pc)
inline constexpr std::uint64_t RegX(unsigned n) { return kRegX0 + std::uint64_t{2} * n; }

inline constexpr std::uint64_t kHypercallExitSmc = 1;  // KVM_HYPERCALL_EXIT_SMC
inline constexpr std::uint32_t kSmcccCtrl = 0;         // KVM_ARM_VM_SMCCC_CTRL
inline constexpr std::uint64_t kSmcccFilter = 0;       // KVM_ARM_VM_SMCCC_FILTER
inline constexpr std::uint8_t kSmcccForward = 2;       // KVM_SMCCC_FILTER_FWD_TO_USER

struct SmcccFilter {  // struct kvm_smccc_filter, since Linux 6.4
  std::uint32_t base;
  std::uint32_t nr_functions;
  std::uint8_t action;
  std::uint8_t pad[15];
};
static_assert(sizeof(SmcccFilter) == 24);

}  // namespace vtee::vmm::kvm
