// SPDX-License-Identifier: BSD-3-Clause
// How a VM gets its TEE, or a clear refusal: memory slots, interrupt, broker, fork.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "base/socket.h"
#include "vmm/fake_kvm.h"
#include "vmm/fake_vteed.h"
#include "vmm/kvm_shim.h"
#include "vmm/kvm_shim_fixture.h"

namespace vtee::vmm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

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
