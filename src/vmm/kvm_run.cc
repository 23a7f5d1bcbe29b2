// SPDX-License-Identifier: BSD-3-Clause
// KvmShim, KVM_RUN: answers the guest's secure calls without the VMM noticing.
//
// After a KVM_EXIT_HYPERCALL the guest's program counter is already past the SMC or HVC, for both
// conduits, and KVM has nothing left to complete. So the answer is: set the result registers and
// enter the guest again; and a call can stay pending across returns to the VMM.
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "vmm/kvm_shim.h"

namespace vtee::vmm {
namespace {

constexpr unsigned kLooksPerSigpending = 16;
constexpr std::size_t kKernelSigsetSize = 8;

// Would KVM_RUN return EINTR now? The kernel's own rules, so that the VMM can kick a vCPU that
// waits for its TEE as it kicks one that runs.
struct KickWatch {
  const KvmVcpu* vcpu;
  unsigned looks = 0;

  static bool ShouldStop(void* context, bool interrupted) {
    auto* watch = static_cast<KickWatch*>(context);
    const KvmVcpu& vcpu = *watch->vcpu;
    if (interrupted || __atomic_load_n(&vcpu.run->immediate_exit, __ATOMIC_RELAXED) != 0) {
      return true;
    }
    if (!vcpu.has_signal_mask.load(std::memory_order_acquire)) return false;
    if (watch->looks++ % kLooksPerSigpending != 0) return false;
    // The VMM blocks its kick signal except inside KVM_RUN: it stays pending here.
    std::uint64_t pending = 0;
    if (syscall(SYS_rt_sigpending, &pending, kKernelSigsetSize) != 0) return false;
    return (pending & ~vcpu.signal_mask.load(std::memory_order_relaxed)) != 0;
  }
};

}  // namespace

int KvmShim::Run(int fd, KvmVcpu& vcpu, void* argument) {
  const MutexLock lock(vcpu.mutex);
  KvmVm& vm = *vcpu.vm;
  if (EnsureAttached(vm) == AttachState::kFailed) return FailRun(vm);
  if (vcpu.port == nullptr && vm.link != nullptr) vcpu.port = vm.link->port(vcpu.index);
  // A VMM that restarts its vCPUs by hand after the guest asked for a reset.
  if (vm.reset_by.load(std::memory_order_relaxed) == &vcpu) SendReset(vm);
  vcpu.ran_epoch = vm.resets.load(std::memory_order_relaxed) + 1;
  return RunTracked(fd, vcpu, argument);
}

int KvmShim::RunTracked(int fd, KvmVcpu& vcpu, void* argument) {
  KvmVm& vm = *vcpu.vm;
  if (vcpu.port != nullptr && vcpu.port->pending() && !FinishCall(fd, vcpu)) return -1;
  for (;;) {
    const int rc = config_.ioctl(fd, kvm::kRun, argument);
    if (rc < 0) return rc;
    const kvm::RunPage& run = *vcpu.run;
    if (run.exit_reason == kvm::kExitSystemEvent &&
        run.system_event.type == kvm::kSystemEventReset) {
      vm.reset_by.store(&vcpu);
    }
    if (run.exit_reason != kvm::kExitHypercall) return rc;
    const FilterRange* range = Claims(vm, run);
    if (range == nullptr) return rc;
    const int saved_errno = errno;
    if (!StartCall(fd, vcpu, *range) || !FinishCall(fd, vcpu)) return -1;
    errno = saved_errno;
  }
}

// The range that the exit's function id lies in, if any: the call is vteed's.
const FilterRange* KvmShim::Claims(const KvmVm& vm, const kvm::RunPage& run) const {
  const auto function = static_cast<std::uint32_t>(run.hypercall.nr);
  const FilterRange* end = vm.ranges + vm.range_count;
  const FilterRange* range = std::find_if(vm.ranges, end, [&](const FilterRange& candidate) {
    return function - candidate.base < candidate.count;
  });
  return range == end ? nullptr : range;
}

bool KvmShim::ReadRegister(int fd, std::uint64_t id, std::uint64_t& value) {
  kvm::OneReg reg{id, reinterpret_cast<std::uintptr_t>(&value)};
  return config_.ioctl(fd, kvm::kGetOneReg, &reg) == 0;
}

bool KvmShim::WriteRegister(int fd, std::uint64_t id, std::uint64_t value) {
  kvm::OneReg reg{id, reinterpret_cast<std::uintptr_t>(&value)};
  return config_.ioctl(fd, kvm::kSetOneReg, &reg) == 0;
}

// Hands the call over. False: a register could not be reached; errno says why.
bool KvmShim::StartCall(int fd, KvmVcpu& vcpu, const FilterRange& range) {
  // Without a port (no TEE any more, or a vCPU beyond the ring) the answer is NOT_SUPPORTED.
  if (vcpu.port == nullptr) return WriteRegister(fd, kvm::RegX(0), kSmcccNotSupported);
  // KVM has told w0, and the SMCCC gives no meaning to the rest of x0.
  std::uint64_t x[kCallRegisters] = {vcpu.run->hypercall.nr};
  for (unsigned i = 1; i < range.registers; ++i) {
    if (!ReadRegister(fd, kvm::RegX(i), x[i])) return false;
  }
  const bool smc = (vcpu.run->hypercall.flags & kvm::kHypercallExitSmc) != 0;
  vcpu.has_parked_pc = false;
  vcpu.port->Submit(smc ? kConduitSmc : kConduitHvc, x, range.registers);
  return true;
}

// Waits for the reply and gives it to the guest. False: KVM_RUN is to return -1 with errno as set,
// and the call may still be pending.
bool KvmShim::FinishCall(int fd, KvmVcpu& vcpu) {
  if (vcpu.port == nullptr) return true;
  KickWatch watch{&vcpu};
  CallRegisters reply;
  switch (vcpu.port->Wait(StopCheck{KickWatch::ShouldStop, &watch}, reply)) {
    case CallPort::Outcome::kStopped:
      vcpu.has_parked_pc = vcpu.has_parked_pc || ReadRegister(fd, kvm::kRegPc, vcpu.parked_pc);
      vcpu.run->exit_reason = kvm::kExitIntr;
      errno = EINTR;
      return false;
    case CallPort::Outcome::kIdle:
      return true;
    case CallPort::Outcome::kReplied:
      break;
  }
  if (vcpu.has_parked_pc) {
    vcpu.has_parked_pc = false;
    std::uint64_t pc = 0;
    // A VMM that loaded a snapshot meanwhile has no use for the old guest's reply.
    if (ReadRegister(fd, kvm::kRegPc, pc) && pc != vcpu.parked_pc) return true;
  }
  for (unsigned i = 0; i < reply.count; ++i) {
    if (!WriteRegister(fd, kvm::RegX(i), reply.x[i])) return false;
  }
  return true;
}

void KvmShim::SendReset(KvmVm& vm) {
  const MutexLock lock(vm.mutex);
  vm.reset_by.store(nullptr);
  vm.resets.fetch_add(1);
  if (vm.link != nullptr) vm.link->SendLife(LifeKind::kReset);
  vm.window.Clear();  // nothing of before the reset writes there any more
}

}  // namespace vtee::vmm
