// SPDX-License-Identifier: BSD-3-Clause
// The host backend over real guest memory: buffers too scattered to map, slots that go or are
// copied by the VMM, large buffers.
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <vector>

#include "backend/host/host_memory.h"
#include "backend/host/test_tee_device.h"
#include "guest/guest_buffer.h"
#include "guest/mapped_window.h"
#include "guest/test_memory.h"
#include "guest/test_remote.h"

namespace vtee::backend {
namespace {

using guest::GuestBuffer;
using guest::GuestPhysAddr;
using guest::kPageSize;
using guest::MemFault;

constexpr std::uint64_t kRam = 0x4000'0000;

class HostGuestMemoryTest : public testing::Test {
 protected:
  HostGuestMemoryTest() : limit_(guest::WindowMappingLimit()) {
    registry_ = std::make_shared<MemoryRegistry>(device_, MemoryRegistry::Modes{});
  }
  ~HostGuestMemoryTest() override { guest::SetWindowMappingLimit(limit_); }

  // `count` pages, every second one of the guest's, so that none continues another.
  static std::shared_ptr<const GuestBuffer> Scattered(const guest::GuestMemory& memory,
                                                      std::uint64_t count, std::uint64_t size) {
    std::vector<GuestPhysAddr> pages;
    for (std::uint64_t n = count; n > 0; --n) pages.emplace_back(kRam + 2 * (n - 1) * kPageSize);
    std::shared_ptr<const GuestBuffer> buffer;
    EXPECT_EQ(GuestBuffer::FromPages(memory, pages, 0, size, buffer), MemFault::kNone);
    return buffer;
  }
  static const HostMemory& Host(const Result<std::unique_ptr<tee::RegisteredMemory>>& memory) {
    return static_cast<const HostMemory&>(*memory.value());
  }
  // One call with a reference to all of it, to which the "TA" adds 1 everywhere.
  void InvokeOnce(const HostMemory& memory, bool good) {
    CopySlots slots;
    Placement place;
    ASSERT_EQ(memory.Place(0, memory.size(), 0, slots, place), tee::code::kSuccess);
    ASSERT_EQ(memory.CopyIn(place, 0, memory.size()), good);
    if (!good) return;
    std::uint8_t* bytes = device_->Allocated(place.shm_id);
    for (std::uint64_t i = 0; i < memory.size(); ++i) ++bytes[i];
    EXPECT_TRUE(memory.CopyOut(place, 0, memory.size()));
  }

  const std::uint64_t limit_;
  std::shared_ptr<TestTeeDevice> device_ = std::make_shared<TestTeeDevice>();
  std::shared_ptr<MemoryRegistry> registry_;
};

TEST_F(HostGuestMemoryTest, BuffersBeyondTheBudgetOfMappingsAreCopiedAndCounted) {
  guest::SetWindowMappingLimit(8);
  guest::TestMemory test(kRam, 64 * kPageSize);
  const auto fits = registry_->Register(Scattered(test.memory(), 8, 8 * kPageSize));
  ASSERT_TRUE(fits.ok());
  EXPECT_FALSE(Host(fits).copies());
  EXPECT_EQ(registry_->copied_for_mappings(), 0u);
  const auto buffer = Scattered(test.memory(), 9, 9 * kPageSize - 3);
  const std::vector<std::byte> before = guest::TestPattern(buffer->size());
  ASSERT_TRUE(buffer->Write(0, before));
  const auto copied = registry_->Register(buffer);
  ASSERT_TRUE(copied.ok());
  EXPECT_TRUE(Host(copied).copies());
  EXPECT_EQ(registry_->copied_for_mappings(), 1u);
  InvokeOnce(Host(copied), true);
  std::vector<std::byte> after(buffer->size());
  ASSERT_TRUE(buffer->Read(0, after));
  for (std::size_t i = 0; i < after.size(); ++i) {
    ASSERT_EQ(static_cast<int>(after[i]), (static_cast<int>(before[i]) + 1) % 256) << i;
  }
  EXPECT_EQ(guest::WindowMappingsInUse(), 0u) << "a window lasts as long as its registration";
}

class ScatteredReferencesTest : public HostGuestMemoryTest {
 protected:
  static constexpr std::uint64_t kPages = 64;

  ScatteredReferencesTest() {
    registry_ = std::make_shared<MemoryRegistry>(
        device_, MemoryRegistry::Modes{.copy_below = CopySlots::kSlotBytes});
  }
  // One call: whether its reference was copied.
  bool IsCopied(const HostMemory& memory) {
    CopySlots slots;
    Placement place;
    EXPECT_EQ(memory.Place(kPageSize, memory.size() - kPageSize, 2, slots, place),
              tee::code::kSuccess);
    EXPECT_EQ(place.offset, place.copy != nullptr ? 0u : kPageSize);
    return place.copy != nullptr;
  }

  guest::TestMemory test_{kRam, 2 * kPages* kPageSize};
};

TEST_F(ScatteredReferencesTest, AreCopiedWhileTheirBufferIsNew) {
  const auto buffer = Scattered(test_.memory(), kPages, kPages * kPageSize);
  const std::vector<std::byte> before = guest::TestPattern(buffer->size());
  ASSERT_TRUE(buffer->Write(0, before));
  {
    const auto memory = registry_->Register(buffer);
    ASSERT_TRUE(memory.ok());
    InvokeOnce(Host(memory), true);
    for (std::uint32_t n = 1; n < HostMemory::kLargeCopiesBeforeSharing; ++n) {
      EXPECT_TRUE(IsCopied(Host(memory))) << n;
      EXPECT_EQ(device_->descriptors(), 0u) << "a copy lasts as long as its call";
    }
    EXPECT_TRUE(device_->registered.empty());
    EXPECT_FALSE(IsCopied(Host(memory)));
    EXPECT_FALSE(Host(memory).copies());
    ASSERT_EQ(device_->registered.size(), 1u);
    EXPECT_EQ(device_->registered[0].length, buffer->size());
  }
  EXPECT_EQ(device_->descriptors(), 0u);
  EXPECT_EQ(device_->mappings(), 0u);
  std::vector<std::byte> after(buffer->size());
  ASSERT_TRUE(buffer->Read(0, after));
  for (std::size_t i = 0; i < after.size(); ++i) {
    ASSERT_EQ(static_cast<int>(after[i]), (static_cast<int>(before[i]) + 1) % 256) << i;
  }
}

TEST_F(ScatteredReferencesTest, AreMappedWhereTheirCopyHasNoRoom) {
  const auto memory = registry_->Register(Scattered(test_.memory(), kPages, kPages * kPageSize));
  ASSERT_TRUE(memory.ok());
  device_->Fail(TEE_IOC_SHM_ALLOC, EIO);
  EXPECT_FALSE(IsCopied(Host(memory)));
  EXPECT_FALSE(Host(memory).copies());
}

TEST_F(ScatteredReferencesTest, OthersAreMappedAtOnce) {
  std::shared_ptr<const GuestBuffer> contiguous;
  ASSERT_EQ(
      GuestBuffer::FromRange(test_.memory(), GuestPhysAddr(kRam), kPages * kPageSize, contiguous),
      MemFault::kNone);
  const auto memory = registry_->Register(contiguous);
  ASSERT_TRUE(memory.ok());
  EXPECT_FALSE(IsCopied(Host(memory)));
  // copy=never: guest and TA see each other's writes.
  registry_ = std::make_shared<MemoryRegistry>(device_, MemoryRegistry::Modes{});
  const auto shared = registry_->Register(Scattered(test_.memory(), kPages, kPages * kPageSize));
  ASSERT_TRUE(shared.ok());
  EXPECT_FALSE(IsCopied(Host(shared)));
}

TEST_F(HostGuestMemoryTest, MemoryThatTheVmmCopiesReachesTheTee) {
  guest::GuestMemory memory;
  const auto remote = std::make_shared<guest::TestRemote>();
  std::vector<std::byte>& ram = remote->Add(1, 64 * kPageSize);
  const guest::SlotSpec spec{guest::SlotId(0), GuestPhysAddr(kRam), ram.size(), 0, false};
  ASSERT_TRUE(memory.SetRemoteSlot(spec, remote, 1).ok());
  const auto copied = registry_->Register(Scattered(memory, 9, 9 * kPageSize));
  ASSERT_TRUE(copied.ok());
  EXPECT_TRUE(Host(copied).copies());
  EXPECT_EQ(registry_->copied_for_mappings(), 0u);
  InvokeOnce(Host(copied), true);
  EXPECT_EQ(ram[0], std::byte{1});
  EXPECT_EQ(ram[kPageSize], std::byte{0}) << "not of the buffer";
  EXPECT_EQ(ram[16 * kPageSize + 5], std::byte{1});
  // The VMM takes the memory away while the buffer is registered.
  remote->Remove(1);
  memory.RemoveSlot(guest::SlotId(0));
  InvokeOnce(Host(copied), false);
}

TEST_F(HostGuestMemoryTest, ARegisteredBufferOutlivesItsSlot) {
  guest::TestMemory test(kRam, 64 * kPageSize);
  const auto mapped = registry_->Register(Scattered(test.memory(), 4, 4 * kPageSize));
  ASSERT_TRUE(mapped.ok());
  test.memory().RemoveSlot(guest::SlotId(0));
  EXPECT_TRUE(Host(mapped).valid());
  CopySlots slots;
  Placement place;
  EXPECT_EQ(Host(mapped).Place(0, kPageSize, 0, slots, place), tee::code::kSuccess);
  // Moved: the same slot elsewhere; buffers are made of it there and no longer here.
  const guest::SlotSpec moved{guest::SlotId(0), GuestPhysAddr(4 * kRam), 64 * kPageSize, 0, false};
  ASSERT_TRUE(test.memory().SetSlot(moved, guest::DupTestFile(test.unique_file())).ok());
  std::shared_ptr<const GuestBuffer> buffer;
  EXPECT_EQ(GuestBuffer::FromRange(test.memory(), GuestPhysAddr(kRam), 1, buffer),
            MemFault::kNoSlot);
  EXPECT_EQ(GuestBuffer::FromRange(test.memory(), GuestPhysAddr(4 * kRam), 1, buffer),
            MemFault::kNone);
}

TEST_F(HostGuestMemoryTest, OneByteAndSixtyFourMebibytes) {
  guest::TestMemory test(kRam, std::uint64_t{128} << 20);
  for (const std::uint64_t size :
       {std::uint64_t{1}, std::uint64_t{2} << 20, std::uint64_t{64} << 20}) {
    const auto buffer = Scattered(test.memory(), (size + kPageSize - 1) / kPageSize, size);
    const std::vector<std::byte> pattern = guest::TestPattern(size);
    ASSERT_TRUE(buffer->Write(0, pattern));
    const auto memory = registry_->Register(buffer);
    ASSERT_TRUE(memory.ok()) << size;
    EXPECT_FALSE(Host(memory).copies());
    const auto& seen = device_->Registered(Host(memory).shm_id());
    ASSERT_EQ(seen.size(), size);
    EXPECT_EQ(std::memcmp(seen.data(), pattern.data(), size), 0);
  }
}

TEST_F(HostGuestMemoryTest, OneScatteredGibibyteIsCopied) {
  // 262144 pages over 1 MiB of memory, none beside the one before: more than any budget.
  constexpr std::uint64_t kGib = std::uint64_t{1} << 30;
  guest::TestMemory test(kRam, 256 * kPageSize);
  std::vector<GuestPhysAddr> pages;
  for (std::uint64_t n = 0; n < kGib / kPageSize; ++n) {
    pages.emplace_back(kRam + n * 77 % 256 * kPageSize);
  }
  std::shared_ptr<const GuestBuffer> buffer;
  ASSERT_EQ(GuestBuffer::FromPages(test.memory(), pages, 0, kGib, buffer), MemFault::kNone);
  guest::SetWindowMappingLimit(30'000);
  const auto memory = registry_->Register(buffer);
  ASSERT_TRUE(memory.ok());
  EXPECT_TRUE(Host(memory).copies());
  EXPECT_EQ(registry_->copied_for_mappings(), 1u);
  // A reference to its end.
  const std::vector<std::byte> pattern = guest::TestPattern(5000);
  ASSERT_TRUE(buffer->Write(kGib - 5000, pattern));
  CopySlots slots;
  Placement place;
  ASSERT_EQ(Host(memory).Place(kGib - 5000, 5000, 0, slots, place), tee::code::kSuccess);
  ASSERT_TRUE(Host(memory).CopyIn(place, kGib - 5000, 5000));
  EXPECT_EQ(std::memcmp(device_->Allocated(place.shm_id) + place.offset, pattern.data(), 5000), 0);
}

}  // namespace
}  // namespace vtee::backend
