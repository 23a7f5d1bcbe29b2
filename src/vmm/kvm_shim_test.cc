// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/kvm_shim.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <thread>
#include <vector>

#include "vmm/fake_kvm.h"
#include "vmm/fake_vteed.h"
#include "vmm/kvm_shim_fixture.h"

namespace vtee::vmm {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

TEST_F(KvmShimTest, ScratchVmNeverAttaches) {
  Start();
  MakeVm();
  EXPECT_EQ(Init(vcpu_fd_), 0);
  Close(vcpu_fd_);
  Close(vm_fd_);
  EXPECT_FALSE(shim_->Tracks(vm_fd_));
  EXPECT_EQ(broker_->vm_count(), 0u);
}

TEST_F(KvmShimTest, InertWithoutConfiguration) {
  Configure(ShimConfig{});
  MakeVm();
  EXPECT_FALSE(shim_->Tracks(vm_fd_));
  vcpu_->ThenCall(kSecure);
  EXPECT_EQ(Run(vcpu_fd_), 0) << "the VMM sees the exit as ever";
}

TEST_F(KvmShimTest, AnswersSecureCallsInsideKvmRun) {
  Start();
  MakeVm();
  vcpu_->ThenCall(kSecure);
  vcpu_->ThenCall(kSecure + 1, false);
  vcpu_->ThenExit(kExitMmio);
  errno = 77;
  EXPECT_EQ(Run(vcpu_fd_), 0);
  EXPECT_EQ(errno, 77) << "errno is the VMM's";
  EXPECT_EQ(vcpu_->run->exit_reason, kExitMmio);
  EXPECT_EQ(vcpu_->x(0), kSecure + 1 + 1000u);
  EXPECT_EQ(vcpu_->x(3), 1003u);
  EXPECT_EQ(vcpu_->x(4), 4u) << "beyond the reply's count";
  EXPECT_EQ(broker_->vteed(0)->calls(), 2);
  ASSERT_EQ(kvm_.vm(vm_fd_).filters.size(), 2u);
  EXPECT_EQ(kvm_.vm(vm_fd_).filters[0].base, 0x32000000u);
  EXPECT_EQ(kvm_.vm(vm_fd_).filters[0].action, kvm::kSmcccForward);
}

// Each register is a system call: as few as the call's range asks for, and x0 is known already.
TEST_F(KvmShimTest, ReadsNoMoreRegistersThanTheCallLooksAt) {
  std::vector<std::uint64_t> seen;
  options_.ranges = {{0x32000000, 0x10, 3, 0}, {0x32000010, 0x10, 18, 0}};
  options_.answer = [&](std::size_t, const std::uint64_t* x) {
    const std::lock_guard lock(mutex_);
    seen.assign(x, x + kCallRegisters);
    CallRegisters reply;
    reply.count = 1;
    return std::optional(reply);
  };
  Start();
  MakeVm();
  vcpu_->ThenCall(0x3200000f);
  RunToEnd(vcpu_fd_);
  const auto x = [&] {
    const std::lock_guard lock(mutex_);
    return seen;
  };
  EXPECT_EQ(x(), (std::vector<std::uint64_t>{0x3200000f, 1, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                             0, 0, 0}));
  EXPECT_EQ(vcpu_->register_reads, 2);
  EXPECT_EQ(vcpu_->register_writes, 1);
  vcpu_->ThenCall(0x32000010);
  RunToEnd(vcpu_fd_);
  EXPECT_EQ(x()[7], 7u);
  EXPECT_EQ(vcpu_->register_reads, 2 + 17);
}

TEST_F(KvmShimTest, LeavesOtherCallsAndErrorsToTheVmm) {
  Start();
  MakeVm();
  vcpu_->ThenCall(kOther);
  EXPECT_EQ(Run(vcpu_fd_), 0);
  EXPECT_EQ(vcpu_->run->exit_reason, kvm::kExitHypercall);
  EXPECT_EQ(vcpu_->run->hypercall.nr, kOther);
  vcpu_->ThenFail(EFAULT);
  EXPECT_EQ(Run(vcpu_fd_), -1);
  EXPECT_EQ(errno, EFAULT);
  EXPECT_EQ(broker_->vteed(0)->calls(), 0);
}

TEST_F(KvmShimTest, ForeignDescriptorsAndRequestsPassThrough) {
  Start();
  MakeVm();
  const int before = kvm_.passed_through;
  EXPECT_EQ(shim_->Ioctl(0, kvm::kRun, nullptr), -1);
  EXPECT_EQ(shim_->Ioctl(-1, kvm::kRun, nullptr), -1);
  EXPECT_EQ(shim_->Ioctl(1 << 30, kvm::kRun, nullptr), -1);
  EXPECT_EQ(shim_->Ioctl(0, 0x5401, nullptr), -1);
  EXPECT_EQ(kvm_.passed_through, before + 4);
}

TEST_F(KvmShimTest, SignExtendedRequestsAreUnderstood) {
  Start();
  MakeVm();
  kvm::MemoryRegion region{};
  EXPECT_EQ(shim_->Ioctl(vm_fd_, 0xffffffff00000000ul | kvm::kSetUserMemoryRegion, &region), 0);
}

TEST_F(KvmShimTest, SlowCallIsParkedNotHeld) {
  Start();
  hang_.store(true);
  MakeVm();
  vcpu_->ThenCall(kSecure);
  RunToEnd(vcpu_fd_);
  EXPECT_EQ(vcpu_->x(0), FakeVteed::kParked);
}

TEST_F(KvmShimTest, KickReturnsEintrAndTheNextRunResumes) {
  options_.park_after_us = 900'000;
  Start();
  MakeVm();
  LeaveCallPending();
  EXPECT_EQ(vcpu_->run->exit_reason, kvm::kExitIntr) << "the VMM must not see the hypercall";
  EXPECT_EQ(vcpu_->x(0), kSecure) << "not answered yet";
  const int runs = vcpu_->runs;
  vcpu_->run->immediate_exit = 1;
  EXPECT_EQ(Run(vcpu_fd_), -1);
  EXPECT_EQ(errno, EINTR);
  EXPECT_EQ(vcpu_->runs, runs) << "the guest must not run before its answer";
  vcpu_->run->immediate_exit = 0;
  hang_.store(false);
  RunToEnd(vcpu_fd_);
  EXPECT_EQ(vcpu_->x(0), kSecure + 1000u);
  EXPECT_EQ(broker_->vteed(0)->calls(), 1) << "sent once";
}

TEST_F(KvmShimTest, SignalDuringTheCallReturnsEintr) {
  options_.park_after_us = 900'000;
  Start();
  hang_.store(true);
  MakeVm();
  vcpu_->ThenCall(kSecure);
  struct sigaction action {};
  action.sa_handler = [](int) {};
  sigaction(SIGUSR1, &action, nullptr);
  std::atomic<bool> done{false};
  const pthread_t runner = pthread_self();
  std::thread kicker([&] {
    EXPECT_TRUE(broker_->vteed(0)->WaitForCalls(1));
    while (!done.load()) {
      pthread_kill(runner, SIGUSR1);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
  });
  EXPECT_EQ(Run(vcpu_fd_), -1);
  EXPECT_EQ(errno, EINTR);
  done.store(true);
  kicker.join();
}

TEST_F(KvmShimTest, SignalThatOnlyKvmRunUnblocksIsHonoured) {
  options_.park_after_us = 900'000;
  Start();
  hang_.store(true);
  MakeVm();
  vcpu_->ThenCall(kSecure);
  sigset_t usr2;
  sigemptyset(&usr2);
  sigaddset(&usr2, SIGUSR2);
  ASSERT_EQ(pthread_sigmask(SIG_BLOCK, &usr2, nullptr), 0);
  struct {
    std::uint32_t len = 8;
    unsigned char unblocked[8] = {};
  } mask;
  ASSERT_EQ(shim_->Ioctl(vcpu_fd_, kvm::kSetSignalMask, &mask), 0);
  const pthread_t runner = pthread_self();
  std::thread kicker([&] {
    EXPECT_TRUE(broker_->vteed(0)->WaitForCalls(1));
    pthread_kill(runner, SIGUSR2);
  });
  EXPECT_EQ(Run(vcpu_fd_), -1);
  EXPECT_EQ(errno, EINTR);
  kicker.join();
  sigset_t pending;
  sigpending(&pending);
  EXPECT_EQ(sigismember(&pending, SIGUSR2), 1) << "the VMM takes the signal itself";
  const timespec now{};
  EXPECT_EQ(sigtimedwait(&usr2, nullptr, &now), SIGUSR2);
  pthread_sigmask(SIG_UNBLOCK, &usr2, nullptr);
}

TEST_F(KvmShimTest, VcpuResetDropsThePendingCall) {
  options_.park_after_us = 900'000;
  Start();
  const int other = [&] {
    MakeVm();
    return Vcpu(vm_fd_, 1);
  }();
  kvm_.vcpu(other).ThenExit(kExitMmio);
  EXPECT_EQ(Run(other), 0);
  LeaveCallPending();
  EXPECT_EQ(Init(vcpu_fd_), 0);
  vcpu_->registers[kvm::RegX(0)] = 5;
  hang_.store(false);
  vcpu_->ThenExit(kExitMmio);
  EXPECT_EQ(Run(vcpu_fd_), 0);
  EXPECT_EQ(vcpu_->x(0), 5u) << "the old guest's reply must not reach the new one";
  vcpu_->ThenCall(kSecure);
  RunToEnd(vcpu_fd_);
  EXPECT_EQ(vcpu_->x(0), kSecure + 1000u) << "and the next call gets its own";
}

TEST_F(KvmShimTest, LoadedSnapshotDropsTheReply) {
  options_.park_after_us = 900'000;
  Start();
  MakeVm();
  LeaveCallPending();
  hang_.store(false);
  vcpu_->registers[kvm::kRegPc] = 0x80000;
  vcpu_->registers[kvm::RegX(0)] = 5;
  RunToEnd(vcpu_fd_);
  EXPECT_EQ(vcpu_->x(0), 5u);
}

TEST_F(KvmShimTest, ResetIsToldOnceBeforeTheMachineRunsAgain) {
  Start();
  MakeVm();
  const int second = Vcpu(vm_fd_, 1);
  EXPECT_EQ(Init(vcpu_fd_), 0);
  EXPECT_EQ(Init(second), 0);
  kvm_.vcpu(second).ThenExit(kExitMmio);
  vcpu_->ThenCall(kSecure);
  RunToEnd(vcpu_fd_);
  EXPECT_EQ(Run(second), 0);
  FakeVteed* vteed = broker_->vteed(0);
  EXPECT_THAT(vteed->EventsOf(ControlType::kLife), IsEmpty()) << "first init is no reset";
  // The VMM's reset (QEMU's system_reset), twice, in both orders of vCPUs.
  EXPECT_EQ(Init(vcpu_fd_), 0);
  EXPECT_EQ(vteed->EventsOf(ControlType::kLife).size(), 1u) << "before KVM_ARM_VCPU_INIT returns";
  EXPECT_EQ(Init(second), 0);
  vcpu_->ThenCall(kSecure);
  RunToEnd(vcpu_fd_);
  RunToEnd(second);
  EXPECT_EQ(Init(second), 0);
  EXPECT_EQ(Init(vcpu_fd_), 0);
  RunToEnd(vcpu_fd_);
  const auto lives = vteed->EventsOf(ControlType::kLife);
  ASSERT_EQ(lives.size(), 2u);
  EXPECT_EQ(lives[0].message.life.kind, LifeKind::kReset);
  EXPECT_EQ(lives[0].calls_before, 1);
}

TEST_F(KvmShimTest, GuestsResetIsToldOnceInEitherOrder) {
  Start();
  MakeVm();
  const int second = Vcpu(vm_fd_, 1);
  RunToEnd(second);
  vcpu_->ThenExit(kvm::kExitSystemEvent, kvm::kSystemEventReset);
  EXPECT_EQ(Run(vcpu_fd_), 0) << "the VMM sees the event";
  FakeVteed* vteed = broker_->vteed(0);
  RunToEnd(second);  // not the one that asked: nothing yet
  EXPECT_EQ(vteed->EventsOf(ControlType::kLife).size(), 0u);
  EXPECT_EQ(Init(second), 0);
  EXPECT_EQ(Init(vcpu_fd_), 0);
  RunToEnd(vcpu_fd_);
  EXPECT_EQ(vteed->EventsOf(ControlType::kLife).size(), 1u);
  // A VMM that sets the registers by hand instead.
  vcpu_->ThenExit(kvm::kExitSystemEvent, kvm::kSystemEventReset);
  EXPECT_EQ(Run(vcpu_fd_), 0);
  RunToEnd(vcpu_fd_);
  EXPECT_EQ(vteed->EventsOf(ControlType::kLife).size(), 2u);
}

TEST_F(KvmShimTest, SecondaryCpuInitIsNoMachineReset) {
  Start();
  MakeVm();
  const int second = Vcpu(vm_fd_, 1);
  RunToEnd(vcpu_fd_);
  RunToEnd(second);
  EXPECT_EQ(Init(second), 0);
  RunToEnd(second);
  EXPECT_THAT(broker_->vteed(0)->EventsOf(ControlType::kLife), IsEmpty());
}

TEST_F(KvmShimTest, LinkEndsWithTheLastDescriptorOfVmAndVcpus) {
  Start();
  MakeVm();
  RunToEnd(vcpu_fd_);
  FakeVteed* vteed = broker_->vteed(0);
  const int copy = Dup(vm_fd_);
  Close(vm_fd_);
  kvm_.vcpu(vcpu_fd_).ThenCall(kSecure);
  RunToEnd(vcpu_fd_);
  EXPECT_EQ(vcpu_->x(0), kSecure + 1000u);
  const int vcpu_copy = Dup(vcpu_fd_);
  Close(vcpu_fd_);
  Close(copy);
  EXPECT_EQ(vteed->calls(), 1);
  kvm_.vcpu(vcpu_copy).ThenCall(kSecure);
  RunToEnd(vcpu_copy);
  EXPECT_EQ(vteed->calls(), 2) << "a vCPU's descriptor keeps the VM";
  Close(vcpu_copy);
  EXPECT_TRUE(vteed->WaitForClose());
  EXPECT_THAT(said_, IsEmpty());
}

TEST_F(KvmShimTest, AttachesThroughDuplicateWhenTheFirstDescriptorIsGone) {
  Start();
  MakeVm();
  const int copy = Dup(vm_fd_);
  Close(vm_fd_);
  RunToEnd(vcpu_fd_);
  EXPECT_EQ(kvm_.vm(copy).filters.size(), 2u);
}

TEST_F(KvmShimTest, ReusedNumbersAreNewObjects) {
  Start();
  for (int i = 0; i < 20; ++i) {
    MakeVm();
    vcpu_->ThenCall(kSecure);
    RunToEnd(vcpu_fd_);
    EXPECT_EQ(vcpu_->x(0), kSecure + 1000u);
    if (i % 2 == 0) {
      Close(vcpu_fd_);
      Close(vm_fd_);
    } else {
      close(vcpu_fd_);  // behind the shim's back, as close_range() does
      close(vm_fd_);
    }
  }
  EXPECT_EQ(broker_->vm_count(), 20u);
}

TEST_F(KvmShimTest, TwoVmsHaveTwoLinks) {
  Start();
  MakeVm();
  const int vm2 = Vm();
  const int vcpu2 = Vcpu(vm2, 0);
  vcpu_->ThenCall(kSecure);
  kvm_.vcpu(vcpu2).ThenCall(kSecure);
  RunToEnd(vcpu_fd_);
  RunToEnd(vcpu2);
  EXPECT_EQ(broker_->vteed(0)->calls(), 1);
  EXPECT_EQ(broker_->vteed(1)->calls(), 1);
  broker_->vteed(0)->Die();
  vcpu_->ThenCall(kSecure);
  kvm_.vcpu(vcpu2).ThenCall(kSecure);
  RunToEnd(vcpu_fd_);
  RunToEnd(vcpu2);
  EXPECT_EQ(vcpu_->x(0), kSmcccNotSupported);
  EXPECT_EQ(kvm_.vcpu(vcpu2).x(0), kSecure + 1000u) << "one VM's loss is its own";
  EXPECT_EQ(said_.size(), 1u);
}

TEST_F(KvmShimTest, AllVcpusWaitForOneAttach) {
  Start();
  MakeVm();
  const int second = Vcpu(vm_fd_, 1);
  vcpu_->ThenCall(kSecure);
  kvm_.vcpu(second).ThenCall(kSecure);
  std::thread other([&] { RunToEnd(second); });
  RunToEnd(vcpu_fd_);
  other.join();
  EXPECT_EQ(broker_->vm_count(), 1u);
  EXPECT_EQ(broker_->vteed(0)->calls(), 2);
  EXPECT_EQ(kvm_.vm(vm_fd_).filters.size(), 2u);
}

TEST_F(KvmShimTest, DeadVteedRefusesCallsAndTheVmGoesOn) {
  Start();
  MakeVm();
  RunToEnd(vcpu_fd_);
  broker_->vteed(0)->Die();
  vcpu_->ThenCall(kSecure);
  vcpu_->ThenCall(kSecure);
  vcpu_->ThenExit(kExitMmio);
  EXPECT_EQ(Run(vcpu_fd_), 0);
  EXPECT_EQ(vcpu_->x(0), kSmcccNotSupported);
  EXPECT_EQ(vcpu_->x(1), 1u) << "the rest stays as it was";
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_THAT(said_[0], HasSubstr("start it again"));
}

}  // namespace
}  // namespace vtee::vmm
