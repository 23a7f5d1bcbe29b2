// SPDX-License-Identifier: BSD-3-Clause
// Slots whose bytes are copied by somebody else, alone and beside mapped ones.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

#include "guest/guest_buffer.h"
#include "guest/mapped_window.h"
#include "guest/page_list.h"
#include "guest/test_memory.h"
#include "guest/test_remote.h"

namespace vtee::guest {
namespace {

constexpr std::uint64_t kRam = 0x4000'0000;
constexpr std::uint64_t kPages = 64;
using BufferPtr = std::shared_ptr<const GuestBuffer>;

GuestPhysAddr Page(std::uint64_t n) { return GuestPhysAddr(kRam + n * kPageSize); }

class RemoteMemoryTest : public testing::Test {
 protected:
  RemoteMemoryTest() { EXPECT_TRUE(InstallFaultHandler().ok()); }
  // A remote slot of `pages` pages at page `first`, as the region of its number.
  std::vector<std::byte>& Remote(std::uint32_t slot, std::uint64_t first, std::uint64_t pages,
                                 std::uint64_t region, bool read_only = false) {
    std::vector<std::byte>& bytes = remote_->Add(region, pages * kPageSize);
    const SlotSpec spec{SlotId(slot), Page(first), pages * kPageSize, 0, read_only};
    EXPECT_TRUE(memory_.SetRemoteSlot(spec, remote_, region).ok());
    return bytes;
  }

  std::shared_ptr<TestRemote> remote_ = std::make_shared<TestRemote>();
  GuestMemory memory_;
};

TEST_F(RemoteMemoryTest, ReadsAndWritesInFewRequests) {
  std::vector<std::byte>& ram = Remote(0, 0, kPages, 1);
  const std::vector<std::byte> pattern = TestPattern(kPages * kPageSize - 10);
  ASSERT_EQ(memory_.Publish(GuestPhysAddr(kRam + 5), pattern), MemFault::kNone);
  EXPECT_EQ(std::memcmp(ram.data() + 5, pattern.data(), pattern.size()), 0);
  EXPECT_EQ(remote_->requests(), 4) << "64 KiB each";
  std::vector<std::byte> copy(pattern.size());
  ASSERT_EQ(memory_.Snapshot(GuestPhysAddr(kRam + 5), copy), MemFault::kNone);
  EXPECT_EQ(copy, pattern);
  EXPECT_EQ(remote_->requests(), 8);
  EXPECT_EQ(memory_.Snapshot(GuestPhysAddr(kRam), {}), MemFault::kNone);
  EXPECT_EQ(remote_->requests(), 8) << "nothing to ask";
  EXPECT_FALSE(remote_->too_large());
}

TEST_F(RemoteMemoryTest, ScatteredPagesShareRequests) {
  std::vector<std::byte>& ram = Remote(0, 0, kPages, 1);
  std::vector<GuestPhysAddr> pages;
  for (std::uint64_t n = 0; n < kPages; n += 2) pages.push_back(Page(kPages - 2 - n));
  BufferPtr buffer;
  const std::uint64_t size = pages.size() * kPageSize - 200;
  ASSERT_EQ(GuestBuffer::FromPages(memory_, pages, 100, size, buffer), MemFault::kNone);
  EXPECT_EQ(remote_->requests(), 0) << "making it asks nothing";
  const std::vector<std::byte> pattern = TestPattern(size);
  ASSERT_TRUE(buffer->Write(0, pattern));
  EXPECT_EQ(remote_->requests(), 2) << "32 pages of 4 KiB";
  EXPECT_EQ(remote_->most_pieces(), 17u);
  EXPECT_EQ(
      std::memcmp(ram.data() + (kPages - 2) * kPageSize + 100, pattern.data(), kPageSize - 100), 0);
  std::vector<std::byte> copy(size);
  ASSERT_TRUE(buffer->Read(0, copy));
  EXPECT_EQ(copy, pattern);
  EXPECT_FALSE(remote_->too_large());
}

TEST_F(RemoteMemoryTest, ManySmallPiecesAreManyRequests) {
  Remote(0, 0, 64, 1);
  std::vector<GuestPhysAddr> pages(64, Page(0));  // the same page: none continues the one before
  BufferPtr buffer;
  ASSERT_EQ(GuestBuffer::FromPages(memory_, pages, 0, 64 * kPageSize, buffer), MemFault::kNone);
  std::vector<std::byte> copy(64 * kPageSize);
  ASSERT_TRUE(buffer->Read(0, copy));
  EXPECT_EQ(remote_->requests(), 4);
  EXPECT_FALSE(remote_->too_large());
}

TEST_F(RemoteMemoryTest, ARangeMayCrossFromMappedToRemoteAndBack) {
  const UniqueFd file = MakeTestFile(2 * kPageSize);
  const SlotSpec low{SlotId(7), Page(0), kPageSize, 0, false};
  const SlotSpec high{SlotId(8), Page(2), kPageSize, kPageSize, false};
  ASSERT_TRUE(memory_.SetSlot(low, DupTestFile(file)).ok());
  std::vector<std::byte>& middle = Remote(0, 1, 1, 1);
  ASSERT_TRUE(memory_.SetSlot(high, DupTestFile(file)).ok());
  const std::vector<std::byte> pattern = TestPattern(3 * kPageSize);
  ASSERT_EQ(memory_.Publish(Page(0), pattern), MemFault::kNone);
  EXPECT_EQ(std::memcmp(middle.data(), pattern.data() + kPageSize, kPageSize), 0);
  std::vector<std::byte> copy(3 * kPageSize);
  ASSERT_EQ(memory_.Snapshot(Page(0), copy), MemFault::kNone);
  EXPECT_EQ(copy, pattern);
  // Out of order in a buffer, and no window of it.
  BufferPtr buffer;
  const std::array pages = {Page(2), Page(1), Page(0)};
  ASSERT_EQ(GuestBuffer::FromPages(memory_, pages, 0, 3 * kPageSize, buffer), MemFault::kNone);
  ASSERT_TRUE(buffer->Read(0, copy));
  EXPECT_EQ(std::memcmp(copy.data(), pattern.data() + 2 * kPageSize, kPageSize), 0);
  EXPECT_EQ(std::memcmp(copy.data() + 2 * kPageSize, pattern.data(), kPageSize), 0);
  ASSERT_FALSE(buffer->Map().ok());
  EXPECT_EQ(buffer->Map().error().code, ErrorCode::kUnsupported);
  EXPECT_EQ(WindowMappingsInUse(), 0u);
}

TEST_F(RemoteMemoryTest, ReadOnlySlotsAreNotAskedToWrite) {
  Remote(0, 0, 1, 1);
  Remote(1, 1, 1, 2, /*read_only=*/true);
  const std::vector<std::byte> bytes(2 * kPageSize, std::byte{1});
  EXPECT_EQ(memory_.Publish(Page(0), bytes), MemFault::kReadOnly);
  BufferPtr buffer;
  ASSERT_EQ(GuestBuffer::FromRange(memory_, Page(0), 2 * kPageSize, buffer), MemFault::kNone);
  EXPECT_FALSE(buffer->Write(0, bytes));
  EXPECT_EQ(remote_->requests(), 0) << "nothing is written, not even what could be";
  EXPECT_TRUE(buffer->Write(0, std::span(bytes).first(kPageSize)));
}

TEST_F(RemoteMemoryTest, ARegionThatIsGoneIsVanishedMemory) {
  Remote(0, 0, 2, 1);
  BufferPtr buffer;
  ASSERT_EQ(GuestBuffer::FromRange(memory_, Page(0), 2 * kPageSize, buffer), MemFault::kNone);
  remote_->Remove(1);
  std::vector<std::byte> bytes(kPageSize);
  EXPECT_EQ(memory_.Snapshot(Page(0), bytes), MemFault::kVanished);
  EXPECT_EQ(memory_.Publish(Page(0), bytes), MemFault::kVanished);
  EXPECT_FALSE(buffer->Read(0, bytes));
  EXPECT_FALSE(buffer->Write(0, bytes));
  std::vector<GuestPhysAddr> pages;
  EXPECT_EQ(WalkPageList(memory_, Page(0), 0, kPageSize, 16, pages), MemFault::kVanished);
}

TEST_F(RemoteMemoryTest, ASlotMovedKeepsNothingOfItsOldPlace) {
  Remote(0, 0, 2, 1);
  BufferPtr buffer;
  ASSERT_EQ(GuestBuffer::FromRange(memory_, Page(0), 2 * kPageSize, buffer), MemFault::kNone);
  remote_->Remove(1);
  Remote(0, 8, 2, 2);  // the same slot elsewhere: another region
  std::vector<std::byte> bytes(16);
  EXPECT_EQ(memory_.Snapshot(Page(0), bytes), MemFault::kNoSlot);
  EXPECT_EQ(memory_.Snapshot(Page(8), bytes), MemFault::kNone);
  EXPECT_FALSE(buffer->Read(0, bytes)) << "its region is gone, whatever took its number";
}

TEST_F(RemoteMemoryTest, SpecsAreCheckedAsForFiles) {
  const SlotSpec odd{SlotId(0), GuestPhysAddr(kRam + 1), kPageSize, 0, false};
  EXPECT_FALSE(memory_.SetRemoteSlot(odd, remote_, 1).ok());
  Remote(0, 0, 2, 1);
  const SlotSpec overlapping{SlotId(1), Page(1), kPageSize, 0, false};
  EXPECT_FALSE(memory_.SetRemoteSlot(overlapping, remote_, 2).ok());
}

// ---- slots that change while they are used -------------------------------------------------

// Each slot's bytes are all of one value, so whatever a read sees must be of one slot.
TEST(SlotChangeTest, ReadersSeeOneStateOrNone) {
  ASSERT_TRUE(InstallFaultHandler().ok());
  GuestMemory memory;
  const auto remote = std::make_shared<TestRemote>();
  constexpr std::size_t kBytes = 4 * kPageSize;
  const UniqueFd file = MakeTestFile(kBytes);
  const std::vector<std::byte> ones(kBytes, std::byte{1});
  ASSERT_EQ(pwrite(file.get(), ones.data(), kBytes, 0), static_cast<ssize_t>(kBytes));
  std::atomic<bool> stop{false};
  std::atomic<int> seen[3] = {};
  std::atomic<int> mixed{0};
  std::vector<std::thread> readers;
  for (int i = 0; i < 2; ++i) {
    readers.emplace_back([&] {
      std::vector<std::byte> copy(kBytes);
      while (!stop.load()) {
        BufferPtr buffer;
        if (GuestBuffer::FromRange(memory, Page(0), kBytes, buffer) != MemFault::kNone ||
            !buffer->Read(0, copy)) {
          seen[0].fetch_add(1);
          continue;
        }
        if (copy != std::vector<std::byte>(kBytes, copy[0])) mixed.fetch_add(1);
        seen[static_cast<int>(copy[0]) == 1 ? 1 : 2].fetch_add(1);
      }
    });
  }
  const SlotSpec here{SlotId(0), Page(0), kBytes, 0, false};
  const SlotSpec away{SlotId(0), Page(100), kBytes, 0, false};
  RaceRounds rounds(200);
  for (std::uint64_t region = 1; rounds.Go(); ++region) {
    const int before = seen[0] + seen[1] + seen[2];
    std::vector<std::byte>& bytes = remote->Add(region, kBytes);
    std::fill(bytes.begin(), bytes.end(), std::byte{2});
    EXPECT_TRUE(memory.SetSlot(here, DupTestFile(file)).ok());
    EXPECT_TRUE(memory.SetRemoteSlot(here, remote, region).ok());
    EXPECT_TRUE(memory.SetRemoteSlot(away, remote, region).ok());  // moved
    memory.RemoveSlot(SlotId(0));
    remote->Remove(region);
    rounds.Count(seen[0] + seen[1] + seen[2] != before);
  }
  stop.store(true);
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(mixed.load(), 0);
  EXPECT_GT(seen[0].load(), 0);
}

}  // namespace
}  // namespace vtee::guest
