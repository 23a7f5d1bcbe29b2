// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/kvm_shim.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/socket.h"
#include "vmm/fake_kvm.h"
#include "vmm/fake_vteed.h"

namespace vtee::vmm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint32_t kSecure = 0x32000004;  // a call that vteed claims
constexpr std::uint32_t kOther = 0x86000000;   // one that it does not
constexpr std::uint32_t kExitMmio = 6;

class KvmShimTest : public testing::Test {
 protected:
  KvmShimTest() {
    options_.answer = [this](std::size_t, const std::uint64_t* x) { return Answer(x); };
  }
  void Start() {
    broker_ = std::make_unique<FakeBroker>(options_);
    ShimConfig config;
    config.broker_fd = broker_->vmm_end();
    Configure(config);
  }
  static void CountEnd(void* context) { ++*static_cast<int*>(context); }
  void Configure(ShimConfig config, void (*end_vmm)(void*) = CountEnd) {
    config.attach_timeout_ms = 5'000;
    config.sink.write = [](void* context, const char* sentence) {
      static_cast<KvmShimTest*>(context)->Said(sentence);
    };
    config.sink.context = this;
    config.ioctl = FakeKvm::Ioctl;
    config.end_vmm = end_vmm;
    config.end_vmm_context = &ended_;
    shim_->Configure(config);
  }
  void Said(const char* sentence) {
    const std::lock_guard lock(mutex_);
    said_.emplace_back(sentence);
  }
  std::optional<CallRegisters> Answer(const std::uint64_t* x) {
    if (hang_.load()) return std::nullopt;
    CallRegisters reply;
    for (unsigned i = 0; i < 4; ++i) reply.x[i] = x[i] + 1000;
    reply.count = 4;
    return reply;
  }

  int Vm() { return shim_->Ioctl(kvm_.device(), kvm::kCreateVm, nullptr); }
  int Vcpu(int vm, std::uintptr_t index) {
    return shim_->Ioctl(vm, kvm::kCreateVcpu, reinterpret_cast<void*>(index));
  }
  int Run(int vcpu) { return shim_->Ioctl(vcpu, kvm::kRun, nullptr); }
  int Init(int vcpu) { return shim_->Ioctl(vcpu, kvm::kArmVcpuInit, nullptr); }
  int SetSlot(int vm, std::uint32_t slot, std::uint64_t base, std::uint64_t size, void* memory,
              std::uint32_t flags = 0, std::uint32_t request = kvm::kSetUserMemoryRegion) {
    kvm::MemoryRegion region[5] = {};  // REGION2 is longer
    region[0] = {slot, flags, base, size, reinterpret_cast<std::uintptr_t>(memory)};
    return shim_->Ioctl(vm, request, region);
  }
  void Close(int fd) {
    shim_->OnClosing(fd);
    close(fd);
  }
  int Dup(int fd) {
    const int copy = dup(fd);
    shim_->OnDuplicated(fd, copy);
    return copy;
  }
  // A VM with one vCPU.
  void MakeVm() {
    vm_fd_ = Vm();
    vcpu_fd_ = Vcpu(vm_fd_, 0);
    vcpu_ = &kvm_.vcpu(vcpu_fd_);
  }
  // Runs the vCPU until its script is over.
  void RunToEnd(int vcpu) {
    EXPECT_EQ(Run(vcpu), -1);
    EXPECT_EQ(errno, ENOENT);
  }
  // Leaves the VM's first call pending, as a kick during the call does.
  void LeaveCallPending() {
    hang_.store(true);
    vcpu_->ThenCall(kSecure);
    std::thread kicker([this] {
      EXPECT_TRUE(broker_->vteed(0)->WaitForCalls(1));
      __atomic_store_n(&vcpu_->run->immediate_exit, 1, __ATOMIC_RELAXED);
    });
    EXPECT_EQ(Run(vcpu_fd_), -1);
    EXPECT_EQ(errno, EINTR);
    kicker.join();
    vcpu_->run->immediate_exit = 0;
  }

  std::mutex mutex_;
  std::vector<std::string> said_;
  std::atomic<bool> hang_{false};
  int ended_ = 0;
  FakeVteed::Options options_;
  FakeKvm kvm_;
  std::unique_ptr<FakeBroker> broker_;
  // A process has one shim, which is never destroyed; a test is a process in this respect.
  static KvmShim* NewShim() {
    static auto* shims = new std::vector<std::unique_ptr<KvmShim>>;
    return shims->emplace_back(std::make_unique<KvmShim>()).get();
  }
  KvmShim* shim_ = NewShim();
  int vm_fd_ = -1;
  int vcpu_fd_ = -1;
  FakeKvm::Vcpu* vcpu_ = nullptr;
};

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

class Memory {
 public:
  explicit Memory(std::size_t size) : size_(size) {
    if (ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) return;
    data_ = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  }
  ~Memory() { munmap(data_, size_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  char* data() const { return static_cast<char*>(data_); }

 private:
  UniqueFd fd_{memfd_create("ram", MFD_CLOEXEC)};
  std::size_t size_;
  void* data_ = MAP_FAILED;
};

constexpr std::uint64_t kMib = 1 << 20;

TEST_F(KvmShimTest, MemfdSlotsAreHandedOverAtAttachAndLater) {
  options_.interrupt_gsi = 12;
  Start();
  MakeVm();
  const Memory ram(4 * kMib);
  ASSERT_EQ(SetSlot(vm_fd_, 0, 0x40000000, 2 * kMib, ram.data() + kMib), 0);
  ASSERT_EQ(SetSlot(vm_fd_, 1, 0x50000000, kMib, ram.data()), 0);
  ASSERT_EQ(SetSlot(vm_fd_, 1, 0x50000000, 0, nullptr), 0) << "removed before the attach";
  RunToEnd(vcpu_fd_);
  FakeVteed* vteed = broker_->vteed(0);
  ASSERT_TRUE(vteed->WaitForEvents(2));
  auto events = vteed->events();
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].type, ControlType::kInterrupt) << "before the slots";
  EXPECT_EQ(events[1].message.slot.guest_phys, 0x40000000u);
  EXPECT_EQ(events[1].message.slot.size, 2 * kMib);
  EXPECT_EQ(events[1].message.slot.file_offset, kMib);
  EXPECT_NE(events[1].inode, 0u);
  // After the attach, also through the newer ioctl; each is served when the ioctl returns.
  ASSERT_EQ(SetSlot(vm_fd_, 7, 0x60000000, kMib, ram.data(), 0, kvm::kSetUserMemoryRegion2), 0);
  EXPECT_EQ(vteed->events().size(), 3u);
  ASSERT_EQ(SetSlot(vm_fd_, 7, 0x60000000, kMib, ram.data(), 1), 0);  // dirty logging
  EXPECT_EQ(vteed->events().size(), 3u);
  ASSERT_EQ(SetSlot(vm_fd_, 7, 0x60000000, 0, nullptr), 0);
  events = vteed->events();
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[3].type, ControlType::kRemoveSlot);
  EXPECT_EQ(events[3].message.slot.slot, 7u);
  EXPECT_THAT(said_, IsEmpty());
}

TEST_F(KvmShimTest, FailedSlotChangeIsNotReported) {
  Start();
  MakeVm();
  const Memory ram(kMib);
  EXPECT_EQ(SetSlot(vm_fd_, 0, 0x40000000, 100, ram.data()), -1);
  EXPECT_EQ(errno, EINVAL);
  RunToEnd(vcpu_fd_);
  EXPECT_THAT(broker_->vteed(0)->events(), IsEmpty());
}

TEST_F(KvmShimTest, PrivateRamIsReportedWithoutFileAndToldOnce) {
  Start();
  MakeVm();
  void* ram = mmap(nullptr, 8 * kMib, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  char* bytes = static_cast<char*>(ram);
  ASSERT_EQ(SetSlot(vm_fd_, 0, 0x40000000, 4 * kMib, bytes), 0);
  ASSERT_EQ(SetSlot(vm_fd_, 1, 0, 2 * kMib, bytes + 4 * kMib, kvm::kMemReadOnly), 0);
  RunToEnd(vcpu_fd_);
  FakeVteed* vteed = broker_->vteed(0);
  ASSERT_EQ(vteed->events().size(), 1u) << "a private ROM is skipped";
  EXPECT_EQ(vteed->events()[0].inode, 0u);
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_THAT(said_[0], HasSubstr("memory-backend-memfd,id=mem,size=4M,share=on"));
  ASSERT_EQ(SetSlot(vm_fd_, 2, 0x80000000, 2 * kMib, bytes + 6 * kMib), 0);
  ASSERT_EQ(SetSlot(vm_fd_, 1, 0, 0, nullptr), 0);
  EXPECT_EQ(vteed->events().size(), 2u) << "nobody heard of the ROM, so nobody hears of its end";
  EXPECT_EQ(said_.size(), 1u);
  munmap(ram, 8 * kMib);
}

TEST_F(KvmShimTest, FrameBufferBesideSharedRamIsNoReasonToComplain) {
  Start();
  MakeVm();
  const Memory ram(4 * kMib);
  void* vram = mmap(nullptr, 2 * kMib, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  ASSERT_EQ(SetSlot(vm_fd_, 0, 0x40000000, 4 * kMib, ram.data()), 0);
  ASSERT_EQ(SetSlot(vm_fd_, 1, 0x10000000, 2 * kMib, vram), 0);
  RunToEnd(vcpu_fd_);
  ASSERT_EQ(SetSlot(vm_fd_, 2, 0x20000000, 2 * kMib, vram), 0);
  EXPECT_EQ(broker_->vteed(0)->events().size(), 3u);
  EXPECT_THAT(said_, IsEmpty());
  munmap(vram, 2 * kMib);
}

TEST_F(KvmShimTest, InterruptReachesKvm) {
  options_.interrupt_gsi = 12;
  Start();
  MakeVm();
  const Memory ram(kMib);
  ASSERT_EQ(SetSlot(vm_fd_, 0, 0x40000000, kMib, ram.data()), 0);
  RunToEnd(vcpu_fd_);
  ASSERT_EQ(kvm_.vm(vm_fd_).irqfds.size(), 1u);
  EXPECT_EQ(kvm_.vm(vm_fd_).irqfds[0].gsi, 12u);
  broker_->vteed(0)->RaiseInterrupt();
  eventfd_t raised = 0;
  EXPECT_EQ(eventfd_read(static_cast<int>(kvm_.vm(vm_fd_).irqfds[0].fd), &raised), 0);
  EXPECT_EQ(raised, 1u);
}

TEST_F(KvmShimTest, VmWithoutInterruptControllerStillHasItsTee) {
  options_.interrupt_gsi = 12;
  kvm_.irqfd_errno = ENODEV;
  Start();
  MakeVm();
  vcpu_->ThenCall(kSecure);
  RunToEnd(vcpu_fd_);
  EXPECT_EQ(vcpu_->x(0), kSecure + 1000u);
  EXPECT_THAT(broker_->vteed(0)->EventsOf(ControlType::kInterrupt), IsEmpty());
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_THAT(said_[0], HasSubstr("SPI 12"));
}

TEST_F(KvmShimTest, RefusedAttachEndsTheVmm) {
  options_.status = 1;
  options_.text = "the policy does not let this VM have a TEE; see vtee policy check";
  Start();
  MakeVm();
  const int second = Vcpu(vm_fd_, 1);
  vcpu_->ThenExit(kExitMmio);
  EXPECT_EQ(Run(vcpu_fd_), -1);
  EXPECT_EQ(errno, EINTR) << "time for the VMM to end";
  EXPECT_EQ(Run(second), -1);
  EXPECT_EQ(vcpu_->runs, 0) << "the guest never runs";
  EXPECT_EQ(ended_, 1);
  EXPECT_THAT(said_, ElementsAre(options_.text));
}

TEST_F(KvmShimTest, WithoutAWayToEndTheVmmKvmRunFails) {
  ShimConfig config;
  config.socket_path = "/nonexistent/vteed.sock";
  Configure(config, nullptr);
  MakeVm();
  EXPECT_EQ(Run(vcpu_fd_), -1);
  EXPECT_EQ(errno, EACCES);
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_THAT(said_[0], HasSubstr("/nonexistent/vteed.sock"));
}

TEST_F(KvmShimTest, ConnectsToSocketPath) {
  const std::string path = testing::TempDir() + "/vteed-" + std::to_string(getpid()) + ".sock";
  auto listener = ListenUnix(path);
  ASSERT_TRUE(listener.ok());
  std::unique_ptr<FakeVteed> vteed;
  std::thread server([&] {
    vteed =
        std::make_unique<FakeVteed>(UniqueFd(accept(listener->get(), nullptr, nullptr)), options_);
  });
  ShimConfig config;
  config.socket_path = path.c_str();
  Configure(config);
  MakeVm();
  vcpu_->ThenCall(kSecure);
  RunToEnd(vcpu_fd_);
  server.join();
  EXPECT_EQ(vcpu_->x(0), kSecure + 1000u);
  unlink(path.c_str());
}

TEST_F(KvmShimTest, VmmsOwnFilterKeepsTheTeeOff) {
  kvm_.filter_errno = EEXIST;
  kvm_.filters_before_error = 1;
  Start();
  MakeVm();
  vcpu_->ThenCall(kSecure);      // from the range that was installed before the conflict
  vcpu_->ThenCall(0xb2000000u);  // the VMM's own
  EXPECT_EQ(Run(vcpu_fd_), 0);
  EXPECT_EQ(vcpu_->run->hypercall.nr, 0xb2000000u) << "the VMM gets what it asked for";
  EXPECT_EQ(vcpu_->runs, 2);
  EXPECT_TRUE(broker_->vteed(0)->WaitForClose());
  EXPECT_EQ(ended_, 0) << "the VM goes on";
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_THAT(said_[0], HasSubstr("0xb2000000..0xb200ffff"));
}

TEST_F(KvmShimTest, KernelWithoutFilterIsAnError) {
  kvm_.filter_errno = ENXIO;
  Start();
  MakeVm();
  EXPECT_EQ(Run(vcpu_fd_), -1);
  EXPECT_EQ(ended_, 1);
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_THAT(said_[0], HasSubstr("Linux 6.4"));
}

TEST_F(KvmShimTest, BrokenBrokerDescriptorMeansNoTee) {
  ShimConfig config;
  config.broker_fd = kvm_.device();  // inherited number, something else behind it
  Configure(config);
  MakeVm();
  vcpu_->ThenExit(kExitMmio);
  EXPECT_EQ(Run(vcpu_fd_), 0);
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_THAT(said_[0], HasSubstr("VTEE_FD"));
  MakeVm();
  vcpu_->ThenExit(kExitMmio);
  EXPECT_EQ(Run(vcpu_fd_), 0);
  EXPECT_EQ(said_.size(), 1u) << "said once";
}

TEST_F(KvmShimTest, GoneBrokerIsAnError) {
  auto pair = MakeSocketPair();
  pair->second.Reset();
  ShimConfig config;
  config.broker_fd = pair->first.get();
  Configure(config);
  MakeVm();
  EXPECT_EQ(Run(vcpu_fd_), -1);
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_THAT(said_[0], HasSubstr("vtee run"));
}

TEST_F(KvmShimTest, GarbageReplyDoesNotReachTheGuest) {
  options_.answer = [](std::size_t, const std::uint64_t*) {
    CallRegisters reply;
    reply.x[1] = 0xbad;
    reply.count = 1000;
    return reply;
  };
  Start();
  MakeVm();
  vcpu_->ThenCall(kSecure);
  RunToEnd(vcpu_fd_);
  EXPECT_EQ(vcpu_->x(0), kSmcccNotSupported);
  EXPECT_EQ(vcpu_->x(1), 1u);
}

TEST_F(KvmShimTest, VcpuBeyondTheRingIsRefused) {
  Start();
  MakeVm();
  const int far = Vcpu(vm_fd_, kMaxVcpus);
  kvm_.vcpu(far).ThenCall(kSecure);
  RunToEnd(far);
  EXPECT_EQ(kvm_.vcpu(far).x(0), kSmcccNotSupported);
}

TEST_F(KvmShimTest, ForkedChildHoldsNothingAndTheParentGoesOn) {
  Start();
  MakeVm();
  RunToEnd(vcpu_fd_);
  const pid_t child = fork();
  if (child == 0) {
    shim_->AfterForkInChild();
    const bool forgot = !shim_->Tracks(vm_fd_) && !shim_->Tracks(vcpu_fd_);
    close(vm_fd_);
    sleep(20);  // outlives the parent's VM, unless killed
    _exit(forgot ? 0 : 1);
  }
  vcpu_->ThenCall(kSecure);
  RunToEnd(vcpu_fd_);
  EXPECT_EQ(vcpu_->x(0), kSecure + 1000u);
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  Close(vcpu_fd_);
  Close(vm_fd_);
  EXPECT_TRUE(broker_->vteed(0)->WaitForClose()) << "the child kept the connection open";
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
}

TEST_F(KvmShimTest, ChildThatSharesMemoryChangesNothing) {
  Start();
  MakeVm();
  const pid_t child = fork();  // as vfork: no AfterForkInChild()
  if (child == 0) {
    shim_->OnClosing(vm_fd_);
    _exit(shim_->Tracks(vm_fd_) ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

TEST_F(KvmShimTest, CloseRacesWithRun) {
  Start();
  for (int i = 0; i < 30; ++i) {
    MakeVm();
    for (int n = 0; n < 20; ++n) vcpu_->ThenCall(kSecure);
    const int copy = dup(vcpu_fd_);  // keeps the fake's file alive
    std::thread closer([&] {
      Close(vm_fd_);
      Close(vcpu_fd_);
    });
    Run(vcpu_fd_);
    closer.join();
    close(copy);
  }
}

}  // namespace
}  // namespace vtee::vmm
