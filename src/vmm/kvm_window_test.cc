// SPDX-License-Identifier: BSD-3-Clause
// The window: a memory slot of the shim's own, and the only one that vteed is told.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "vmm/kvm_shim_fixture.h"

namespace vtee::vmm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint64_t kBase = 0x0e000000;
constexpr std::uint64_t kSize = 4 << 20;

class KvmWindowTest : public KvmShimTest {
 protected:
  KvmWindowTest() {
    options_.window_base = kBase;
    options_.window_size = kSize;
  }
  // As seen by KVM; a region of size 0 if it has none.
  kvm::MemoryRegion Window() { return kvm_.vm(vm_fd_).slots[static_cast<unsigned>(LastSlot())]; }
  int LastSlot() const { return kvm_.memslots - 1; }
  static char* BytesOf(const kvm::MemoryRegion& region) {
    return reinterpret_cast<char*>(region.userspace_addr);
  }
  // RAM as QEMU has it without any option: nobody else can map it.
  alignas(4096) char ram_[16 * 4096] = {};
};

TEST_F(KvmWindowTest, IsTheOneSlotThatVteedIsTold) {
  options_.interrupt_gsi = 12;
  Start();
  MakeVm();
  ASSERT_EQ(SetSlot(vm_fd_, 0, 0x40000000, sizeof ram_, ram_), 0);
  vcpu_->ThenCall(kSecure);
  RunToEnd(vcpu_fd_);
  ASSERT_EQ(SetSlot(vm_fd_, 1, 0x50000000, 4096, ram_), 0);
  ASSERT_EQ(SetSlot(vm_fd_, 1, 0x50000000, 0, nullptr), 0);
  const kvm::MemoryRegion window = Window();
  EXPECT_EQ(window.guest_phys_addr, kBase);
  EXPECT_EQ(window.memory_size, kSize);
  EXPECT_EQ(window.flags, 0u);
  const auto events = broker_->vteed(0)->events();
  ASSERT_EQ(events.size(), 2u) << "neither the RAM nor its changes";
  EXPECT_EQ(events[0].type, ControlType::kInterrupt);
  EXPECT_EQ(events[1].type, ControlType::kSetSlot);
  EXPECT_EQ(events[1].calls_before, 0);
  EXPECT_EQ(events[1].message.slot.guest_phys, kBase);
  EXPECT_EQ(events[1].message.slot.size, kSize);
  EXPECT_EQ(events[1].message.slot.file_offset, 0u);
  EXPECT_NE(events[1].inode, 0u);
  EXPECT_THAT(said_, IsEmpty()) << "private RAM is as it should be";
}

TEST_F(KvmWindowTest, CannotBeShrunkOrKeptByAProgramThatIsExecuted) {
  Text error;
  const vmm::Window window = vmm::Window::Make(kSize, error);
  ASSERT_TRUE(window.valid()) << error.bytes;
  EXPECT_EQ(fcntl(window.fd(), F_GET_SEALS), F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  EXPECT_EQ(fcntl(window.fd(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(ftruncate(window.fd(), 4096), -1);
}

TEST_F(KvmWindowTest, TooLargeForTheSystemIsASentence) {
  Text error;
  EXPECT_FALSE(vmm::Window::Make(std::uint64_t{1} << 62, error).valid());
  EXPECT_THAT(error.bytes, HasSubstr("shared-memory window"));
}

TEST_F(KvmWindowTest, IsZeroedAtAReset) {
  Start();
  MakeVm();
  RunToEnd(vcpu_fd_);
  char* bytes = BytesOf(Window());
  std::memset(bytes, 0x5A, kSize);
  vcpu_->ThenExit(kvm::kExitSystemEvent, kvm::kSystemEventReset);
  EXPECT_EQ(Run(vcpu_fd_), 0);
  EXPECT_EQ(bytes[0], 0x5A) << "until vteed has let go of it";
  EXPECT_EQ(Init(vcpu_fd_), 0);
  EXPECT_EQ(broker_->vteed(0)->EventsOf(ControlType::kLife).size(), 1u);
  EXPECT_EQ(std::count(bytes, bytes + kSize, 0), static_cast<std::ptrdiff_t>(kSize));
}

TEST_F(KvmWindowTest, OverlapWithTheVmmsMemoryEndsTheVm) {
  Start();
  MakeVm();
  ASSERT_EQ(SetSlot(vm_fd_, 0, kBase + kSize - 4096, sizeof ram_, ram_), 0);
  EXPECT_EQ(Run(vcpu_fd_), -1);
  EXPECT_EQ(ended_, 1);
  EXPECT_THAT(said_, ElementsAre(testing::AllOf(HasSubstr("0xe000000"), HasSubstr("overlap"),
                                                HasSubstr("--window"))));
  EXPECT_TRUE(broker_->vteed(0)->WaitForClose());
}

TEST_F(KvmWindowTest, MemoryRightBesideItIsFine) {
  Start();
  MakeVm();
  ASSERT_EQ(SetSlot(vm_fd_, 0, kBase + kSize, sizeof ram_, ram_), 0);
  ASSERT_EQ(SetSlot(vm_fd_, 1, kBase - 4096, 4096, ram_), 0);
  RunToEnd(vcpu_fd_);
  EXPECT_EQ(Window().memory_size, kSize);
  EXPECT_THAT(said_, IsEmpty());
}

TEST_F(KvmWindowTest, MemoryThatComesLaterInTheSamePlaceIsASentenceOnce) {
  Start();
  MakeVm();
  RunToEnd(vcpu_fd_);
  for (int i = 0; i < 2; ++i) {
    EXPECT_EQ(SetSlot(vm_fd_, 3, kBase - 4096, 8192, ram_), -1);
    EXPECT_EQ(errno, EEXIST) << "KVM's own answer";
  }
  EXPECT_THAT(said_, ElementsAre(HasSubstr("overlap")));
}

TEST_F(KvmWindowTest, ItsNumberIsNotTheVmms) {
  Start();
  MakeVm();
  RunToEnd(vcpu_fd_);
  EXPECT_EQ(SetSlot(vm_fd_, static_cast<std::uint32_t>(LastSlot()), 0x40000000, 4096, ram_), -1);
  EXPECT_EQ(errno, EINVAL);
  EXPECT_EQ(Window().guest_phys_addr, kBase) << "still there";
  EXPECT_THAT(said_, ElementsAre(HasSubstr("memory slot 32766")));
}

TEST_F(KvmWindowTest, TakesTheLastNumberThatIsFree) {
  Start();
  MakeVm();
  const auto last = static_cast<std::uint32_t>(LastSlot());
  ASSERT_EQ(SetSlot(vm_fd_, last, 0x40000000, 4096, ram_), 0);
  ASSERT_EQ(SetSlot(vm_fd_, last - 1, 0x40001000, 4096, ram_ + 4096), 0);
  RunToEnd(vcpu_fd_);
  EXPECT_EQ(kvm_.vm(vm_fd_).slots[last - 2].guest_phys_addr, kBase);
  EXPECT_EQ(kvm_.vm(vm_fd_).slots[last].guest_phys_addr, 0x40000000u);
}

TEST_F(KvmWindowTest, AnOlderVteedHasNone) {
  options_.minor = 0;  // and whatever lies where 1.1 has the window is its text
  Start();
  MakeVm();
  RunToEnd(vcpu_fd_);
  EXPECT_THAT(kvm_.vm(vm_fd_).slots, IsEmpty());
}

TEST_F(KvmWindowTest, OneThatCannotBeIsRefused) {
  for (const auto& [base, size] : {std::pair<std::uint64_t, std::uint64_t>{kBase + 1, kSize},
                                   {kBase, kSize + 512},
                                   {std::uint64_t{1} << 52, kSize},
                                   {~std::uint64_t{4095}, 8192}}) {
    options_.window_base = base;
    options_.window_size = size;
    Start();
    MakeVm();
    EXPECT_EQ(Run(vcpu_fd_), -1);
    EXPECT_THAT(said_.back(), HasSubstr("window that cannot be"));
  }
}

TEST_F(KvmWindowTest, RefusedByVteedIsASentence) {
  options_.ack_status = 1;
  Start();
  MakeVm();
  RunToEnd(vcpu_fd_);
  EXPECT_THAT(said_, ElementsAre(HasSubstr("refused its own shared-memory window")));
}

TEST_F(KvmWindowTest, EachVmHasItsOwnAndItGoesWithTheVm) {
  Start();
  for (int i = 0; i < 3; ++i) {
    MakeVm();
    RunToEnd(vcpu_fd_);
    const kvm::MemoryRegion window = Window();
    EXPECT_EQ(BytesOf(window)[0], 0) << "nothing of the last VM's";
    BytesOf(window)[0] = 1;
    Close(vcpu_fd_);
    Close(vm_fd_);
    EXPECT_TRUE(broker_->vteed(static_cast<std::size_t>(i))->WaitForClose());
    EXPECT_EQ(msync(BytesOf(window), 4096, MS_ASYNC), -1) << "unmapped";
  }
}

}  // namespace
}  // namespace vtee::vmm
