// SPDX-License-Identifier: BSD-3-Clause
// Guest memory that has no file: copied for a vteed that asks, reported to one that cannot.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <set>
#include <thread>
#include <vector>

#include "vmm/kvm_shim_fixture.h"
#include "vmm/test_memory_client.h"

namespace vtee::vmm {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

TEST_F(KvmShimTest, PrivateRamForAnOldVteedIsReportedWithoutFileAndToldOnce) {
  options_.minor = 0;  // knows no memory channel
  Start();
  MakeVm();
  const PrivateRam ram(8 * kMib);
  char* bytes = ram.data();
  ASSERT_EQ(SetSlot(vm_fd_, 0, 0x40000000, 4 * kMib, bytes), 0);
  ASSERT_EQ(SetSlot(vm_fd_, 1, 0, 2 * kMib, bytes + 4 * kMib, kvm::kMemReadOnly), 0);
  RunToEnd(vcpu_fd_);
  FakeVteed* vteed = broker_->vteed(0);
  ASSERT_EQ(vteed->events().size(), 1u) << "a private ROM is skipped";
  EXPECT_EQ(vteed->events()[0].inode, 0u);
  EXPECT_EQ(vteed->events()[0].message.slot.region, 0u);
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_THAT(said_[0], HasSubstr("memory-backend-memfd,id=mem,size=4M,share=on"));
  ASSERT_EQ(SetSlot(vm_fd_, 2, 0x80000000, 2 * kMib, bytes + 6 * kMib), 0);
  ASSERT_EQ(SetSlot(vm_fd_, 1, 0, 0, nullptr), 0);
  EXPECT_EQ(vteed->events().size(), 2u) << "nobody heard of the ROM, so nobody hears of its end";
  EXPECT_EQ(said_.size(), 1u);
}

// The region of the slot that the VMM side announced last.
std::uint64_t LastRegion(FakeVteed& vteed) {
  const auto slots = vteed.EventsOf(ControlType::kSetSlot);
  return slots.empty() ? 0 : slots.back().message.slot.region;
}

TEST_F(KvmShimTest, PrivateRamIsCopiedWhileItsSlotIsThere) {
  const PrivateRam ram(4 * kMib);
  FakeVteed* vteed = MakeVmWith(ram);
  ASSERT_EQ(vteed->events().size(), 2u);
  EXPECT_EQ(vteed->events()[0].type, ControlType::kMemoryChannel) << "before the slot";
  const std::uint64_t region = LastRegion(*vteed);
  ASSERT_NE(region, 0u);
  EXPECT_THAT(said_, IsEmpty()) << "vteed tells the person";
  ram.data()[3 * kMib] = 'x';
  const MemoryPiece piece{region, 3 * kMib, 1};
  auto answer = AskForMemory(vteed->memory_fd(), MemoryOp::kRead, std::span(&piece, 1));
  ASSERT_TRUE(answer);
  ASSERT_EQ(answer->bytes.size(), 1u);
  EXPECT_EQ(answer->bytes[0], std::byte{'x'});

  // The same slot at another guest address is another region, and the old one is gone.
  ASSERT_EQ(SetSlot(vm_fd_, 0, 0x80000000, 4 * kMib, ram.data()), 0);
  const std::uint64_t moved = LastRegion(*vteed);
  EXPECT_NE(moved, region);
  EXPECT_EQ(vteed->EventsOf(ControlType::kMemoryChannel).size(), 1u);
  answer = AskForMemory(vteed->memory_fd(), MemoryOp::kRead, std::span(&piece, 1));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status(), MemoryStatus::kNoRegion);
  const MemoryPiece there{moved, 3 * kMib, 1};
  answer = AskForMemory(vteed->memory_fd(), MemoryOp::kRead, std::span(&there, 1));
  EXPECT_EQ(answer->status(), MemoryStatus::kDone);

  ASSERT_EQ(SetSlot(vm_fd_, 0, 0x80000000, 0, nullptr), 0);
  answer = AskForMemory(vteed->memory_fd(), MemoryOp::kRead, std::span(&there, 1));
  EXPECT_EQ(answer->status(), MemoryStatus::kNoRegion);
  EndVm();
  EXPECT_FALSE(AskForMemory(vteed->memory_fd(), MemoryOp::kRead, std::span(&there, 1)))
      << "ends with the VM";
}

TEST_F(KvmShimTest, SlotsMoveWhileCallsRun) {
  Start();
  MakeVm();
  const Memory shared(4 * kMib);
  const PrivateRam ram(4 * kMib);
  ASSERT_EQ(SetSlot(vm_fd_, 0, 0x40000000, 4 * kMib, shared.data()), 0);
  ASSERT_EQ(SetSlot(vm_fd_, 1, 0x80000000, 4 * kMib, ram.data()), 0);
  constexpr int kMoves = 40;
  for (int i = 0; i < 10 * kMoves; ++i) vcpu_->ThenCall(kSecure);
  std::thread guest([this] { RunToEnd(vcpu_fd_); });
  while (broker_->vm_count() == 0) std::this_thread::yield();
  FakeVteed* vteed = broker_->vteed(0);
  ASSERT_TRUE(vteed->WaitForCalls(1));
  std::vector<std::uint64_t> regions;
  for (int i = 1; i <= kMoves; ++i) {
    const std::uint64_t base = i % 2 == 0 ? 0x40000000 : 0x60000000;
    ASSERT_EQ(SetSlot(vm_fd_, 0, base, 4 * kMib, shared.data()), 0);
    ASSERT_EQ(SetSlot(vm_fd_, 1, 2 * base, 4 * kMib, ram.data()), 0);
    regions.push_back(LastRegion(*vteed));
    // What vteed asks for in between is of the slot as it is now.
    const MemoryPiece piece{regions.back(), 0, 8};
    const auto answer = AskForMemory(vteed->memory_fd(), MemoryOp::kRead, std::span(&piece, 1));
    ASSERT_TRUE(answer);
    EXPECT_EQ(answer->status(), MemoryStatus::kDone);
  }
  guest.join();
  EXPECT_EQ(vteed->calls(), 10 * kMoves) << "each call is answered once";
  EXPECT_EQ(std::set<std::uint64_t>(regions.begin(), regions.end()).size(), regions.size());
  // vteed heard of each removal before the new place, in KVM's order.
  std::vector<std::uint32_t> gone;
  for (const FakeVteed::Event& event : vteed->events()) {
    if (event.type == ControlType::kRemoveSlot) gone.push_back(event.message.slot.slot);
    if (event.type != ControlType::kSetSlot || event.message.slot.guest_phys % 0x80000000 == 0 ||
        event.message.slot.guest_phys == 0x40000000) {
      continue;
    }
    ASSERT_FALSE(gone.empty());
    EXPECT_EQ(gone.back(), event.message.slot.slot);
  }
  EXPECT_EQ(gone.size(), 2u * kMoves);
  EndVm();
}

TEST_F(KvmShimTest, ARefusedSlotIsNotCopied) {
  options_.ack_status = 1;
  const PrivateRam ram(4 * kMib);
  FakeVteed* vteed = MakeVmWith(ram);
  const MemoryPiece piece{LastRegion(*vteed), 0, 1};
  const auto answer = AskForMemory(vteed->memory_fd(), MemoryOp::kRead, std::span(&piece, 1));
  ASSERT_TRUE(answer);
  EXPECT_EQ(answer->status(), MemoryStatus::kNoRegion);
  EndVm();
}

TEST_F(KvmShimTest, SharedRamNeedsNoMemoryChannel) {
  const Memory ram(4 * kMib);
  EXPECT_THAT(MakeVmWith(ram)->EventsOf(ControlType::kMemoryChannel), IsEmpty());
}

TEST_F(KvmShimTest, AForkedChildServesNoMemory) {
  const PrivateRam ram(4 * kMib);
  FakeVteed* vteed = MakeVmWith(ram);
  int release[2];
  ASSERT_EQ(pipe(release), 0);
  const pid_t child = fork();
  if (child == 0) {
    shim_->AfterForkInChild();
    char byte = 0;
    _exit(read(release[0], &byte, 1) == 1 ? 0 : 1);
  }
  const MemoryPiece piece{LastRegion(*vteed), 0, 1};
  const auto asked = AskForMemory(vteed->memory_fd(), MemoryOp::kRead, std::span(&piece, 1));
  EXPECT_TRUE(asked && asked->status() == MemoryStatus::kDone) << "the parent goes on";
  EndVm();
  EXPECT_FALSE(AskForMemory(vteed->memory_fd(), MemoryOp::kRead, std::span(&piece, 1)))
      << "the child keeps no channel open";
  ASSERT_EQ(write(release[1], "x", 1), 1);
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  close(release[0]);
  close(release[1]);
}

TEST_F(KvmShimTest, FrameBufferBesideSharedRamIsNoReasonToComplain) {
  options_.minor = 0;
  Start();
  MakeVm();
  const Memory ram(4 * kMib);
  const PrivateRam vram(2 * kMib);
  ASSERT_EQ(SetSlot(vm_fd_, 0, 0x40000000, 4 * kMib, ram.data()), 0);
  ASSERT_EQ(SetSlot(vm_fd_, 1, 0x10000000, 2 * kMib, vram.data()), 0);
  RunToEnd(vcpu_fd_);
  ASSERT_EQ(SetSlot(vm_fd_, 2, 0x20000000, 2 * kMib, vram.data()), 0);
  EXPECT_EQ(broker_->vteed(0)->events().size(), 3u);
  EXPECT_THAT(said_, IsEmpty());
  EndVm();
}

}  // namespace
}  // namespace vtee::vmm
