// SPDX-License-Identifier: BSD-3-Clause
#include "guest/page_list.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <thread>
#include <vector>

#include "guest/guest_buffer.h"
#include "guest/mapped_window.h"
#include "guest/test_memory.h"

namespace vtee::guest {
namespace {

constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t kRam = 0x8000'0000;
constexpr std::uint64_t kLink = kPageListEntries * 8;  // offset of the next list page's address

class PageListTest : public testing::Test {
 protected:
  PageListTest() : test_(kRam, 64 * kPageSize) {}

  // Lays a list of `count` entries into the list pages kRam, kRam + 4 KiB, ... Entry n is
  // Entry(n): nothing needs to lie there.
  static std::uint64_t Entry(std::uint64_t n) { return (n + 3) * kPageSize * 5; }
  void Lay(std::uint64_t count) const {
    for (std::uint64_t n = 0; n < count; ++n) {
      test_.Put64(kRam + n / kPageListEntries * kPageSize + n % kPageListEntries * 8, Entry(n));
    }
    for (std::uint64_t page = 0; page * kPageListEntries < count; ++page) {
      test_.Put64(kRam + page * kPageSize + kLink, kRam + (page + 1) * kPageSize);
    }
  }
  MemFault Walk(std::uint64_t list, std::uint64_t offset, std::uint64_t size,
                std::uint64_t max_pages = 100'000) {
    return WalkPageList(test_.memory(), GuestPhysAddr(list), offset, size, max_pages, pages_);
  }
  void ExpectEntries(std::uint64_t count) const {
    ASSERT_EQ(pages_.size(), count);
    for (std::uint64_t n = 0; n < count; ++n) ASSERT_EQ(pages_[n].value(), Entry(n)) << n;
  }

  TestMemory test_;
  std::vector<GuestPhysAddr> pages_;
};

TEST_F(PageListTest, CountsAroundTheListPagesEnd) {
  for (const std::uint64_t count : {1, 2, 510, 511, 512, 513, 1022, 1023, 1533, 1534}) {
    Lay(count);
    ASSERT_EQ(Walk(kRam, 0, count * kPageSize), MemFault::kNone) << count;
    ExpectEntries(count);
  }
}

TEST_F(PageListTest, OffsetAndSizeGiveTheCount) {
  Lay(600);
  const struct {
    std::uint64_t offset;
    std::uint64_t size;
    std::uint64_t count;
  } cases[] = {
      {0, 1, 1},
      {0, 4095, 1},
      {0, 4096, 1},
      {0, 4097, 2},
      {4095, 1, 1},
      {4095, 2, 2},
      {1, 4095, 1},
      {1, 4096, 2},
      {4095, 4096, 2},
      {4095, 4098, 3},
      {100, 8092, 2},
      {100, 8093, 3},
      {1, 511 * kPageSize, 512},
      {0, 511 * kPageSize, 511},
  };
  for (const auto& test : cases) {
    ASSERT_EQ(Walk(kRam, test.offset, test.size), MemFault::kNone);
    ExpectEntries(test.count);
  }
}

TEST_F(PageListTest, BadArgumentsAreRefused) {
  Lay(600);
  const struct {
    std::uint64_t offset;
    std::uint64_t size;
    std::uint64_t max_pages;
    MemFault fault;
  } cases[] = {
      {0, 0, 10, MemFault::kBadList},
      {4095, 0, 10, MemFault::kBadList},
      {4096, 1, 10, MemFault::kBadList},
      {kMax, 1, 10, MemFault::kBadList},
      {1, kMax, kMax, MemFault::kWraps},
      {4095, kMax - 4094, kMax, MemFault::kWraps},
      {4095, kMax - 4095, 1000, MemFault::kBadList},
      {0, kMax, 1000, MemFault::kBadList},
      {0, 10 * kPageSize, 10, MemFault::kNone},
      {0, 10 * kPageSize + 1, 10, MemFault::kBadList},
      {1, 10 * kPageSize, 10, MemFault::kBadList},
      {0, 1, 0, MemFault::kBadList},
  };
  for (const auto& test : cases) {
    EXPECT_EQ(Walk(kRam, test.offset, test.size, test.max_pages), test.fault)
        << test.offset << "+" << test.size;
    EXPECT_EQ(pages_.empty(), test.fault != MemFault::kNone);
  }
}

TEST_F(PageListTest, MisalignedListsAndEntriesAreRefused) {
  Lay(600);
  EXPECT_EQ(Walk(kRam + 8, 0, kPageSize), MemFault::kBadList);
  EXPECT_EQ(Walk(kRam + 1, 0, kPageSize), MemFault::kBadList);
  test_.Put64(kRam + kLink, kRam + kPageSize + 8);
  EXPECT_EQ(Walk(kRam, 0, 511 * kPageSize), MemFault::kNone);  // the link is not looked at
  EXPECT_EQ(Walk(kRam, 0, 512 * kPageSize), MemFault::kBadList);
  EXPECT_TRUE(pages_.empty());
  Lay(600);
  for (const std::uint64_t bad : {std::uint64_t{1}, std::uint64_t{2048}, kMax}) {
    for (const std::uint64_t entry : {0, 510}) {
      test_.Put64(kRam + entry * 8, bad);
      EXPECT_EQ(Walk(kRam, 0, 511 * kPageSize), MemFault::kBadList);
      EXPECT_TRUE(pages_.empty());
      test_.Put64(kRam + entry * 8, Entry(entry));
    }
    test_.Put64(kRam + kPageSize, bad);  // entry 511, in the second list page
    EXPECT_EQ(Walk(kRam, 0, 511 * kPageSize), MemFault::kNone);
    EXPECT_EQ(Walk(kRam, 0, 512 * kPageSize), MemFault::kBadList);
    test_.Put64(kRam + kPageSize, Entry(511));
  }
}

TEST_F(PageListTest, EntriesAndLinksPastTheEndAreIgnored) {
  Lay(5);
  test_.Put64(kRam + 5 * 8, 3);  // no page address
  test_.Put64(kRam + kLink, kMax);
  ASSERT_EQ(Walk(kRam, 0, 5 * kPageSize), MemFault::kNone);
  ExpectEntries(5);
}

TEST_F(PageListTest, ListsOutsideMemoryFault) {
  Lay(600);
  EXPECT_EQ(Walk(0, 0, 1), MemFault::kNoSlot);
  EXPECT_EQ(Walk(kRam + 64 * kPageSize, 0, 1), MemFault::kNoSlot);
  EXPECT_EQ(Walk(kMax - kPageSize + 1, 0, 1), MemFault::kNoSlot);
  test_.Put64(kRam + kLink, 0);
  EXPECT_EQ(Walk(kRam, 0, 600 * kPageSize), MemFault::kNoSlot);
  test_.Put64(kRam + kLink, kRam + 63 * kPageSize);
  ASSERT_EQ(ftruncate(test_.file(), 63 * kPageSize), 0);
  EXPECT_EQ(Walk(kRam, 0, 600 * kPageSize), MemFault::kVanished);
  EXPECT_TRUE(pages_.empty());
}

TEST_F(PageListTest, AListAtAddressZeroWorks) {
  TestMemory test(0, 4 * kPageSize);
  test.Put64(0, 2 * kPageSize);
  ASSERT_EQ(WalkPageList(test.memory(), GuestPhysAddr(0), 0, 10, 10, pages_), MemFault::kNone);
  EXPECT_EQ(pages_, std::vector{GuestPhysAddr(2 * kPageSize)});
}

// A list page that is its own next one is walked as often as the size says, and no more.
// The list as Linux lays it (drivers/tee/optee/call.c, optee_fill_pages_list) for pages of any
// size: 4 KiB entries from the one that holds the buffer's start to the end of the last page.
TEST_F(PageListTest, ListsOfKernelsWithLargePages) {
  for (const std::uint64_t page_size : {std::uint64_t{16} << 10, std::uint64_t{64} << 10}) {
    for (const std::uint64_t offset :
         {std::uint64_t{0}, std::uint64_t{24}, std::uint64_t{5000}, page_size - 1}) {
      for (const std::uint64_t size :
           {std::uint64_t{1}, page_size, 3 * page_size - 100, std::uint64_t{2} << 20}) {
        const std::uint64_t count = (offset + size + page_size - 1) / page_size;
        // The kernel's pages: the later, the lower, with a gap between.
        const auto page = [&](std::uint64_t n) { return (2 * (count - n) + 7) * page_size; };
        std::vector<std::uint64_t> entries;
        for (std::uint64_t n = 0; n < count; ++n) {
          const std::uint64_t skip = n == 0 ? offset / kPageSize * kPageSize : 0;
          for (std::uint64_t at = skip; at < page_size; at += kPageSize) {
            entries.push_back(page(n) + at);
          }
        }
        for (std::uint64_t n = 0; n < entries.size(); ++n) {
          const std::uint64_t list = kRam + n / kPageListEntries * kPageSize;
          test_.Put64(list + n % kPageListEntries * 8, entries[n]);
          test_.Put64(list + kLink, list + kPageSize);
        }
        ASSERT_EQ(Walk(kRam, offset % kPageSize, size), MemFault::kNone);
        const std::uint64_t wanted = (offset % kPageSize + size + kPageSize - 1) / kPageSize;
        ASSERT_EQ(pages_.size(), wanted);
        ASSERT_LE(wanted, entries.size());
        for (std::uint64_t n = 0; n < wanted; ++n) ASSERT_EQ(pages_[n].value(), entries[n]) << n;
      }
    }
  }
}

// And what becomes of such a list: one run, and one mapping, for each of the kernel's pages.
TEST_F(PageListTest, PagesOfLargePagesAreOneRunEach) {
  constexpr std::uint64_t kLarge = 16 * kPageSize;  // 64 KiB
  std::vector<GuestPhysAddr> pages;
  for (const std::uint64_t large : {3, 0, 2}) {
    for (std::uint64_t n = 0; n < 16; ++n)
      pages.emplace_back(kRam + large * kLarge + n * kPageSize);
  }
  std::shared_ptr<const GuestBuffer> buffer;
  ASSERT_EQ(GuestBuffer::FromPages(test_.memory(), pages, 100, 3 * kLarge - 200, buffer),
            MemFault::kNone);
  EXPECT_EQ(buffer->pieces(), 3u);
  const auto window = buffer->Map();
  ASSERT_TRUE(window.ok());
  EXPECT_EQ(WindowMappingsInUse(), 3u);
}

TEST_F(PageListTest, LoopsEnd) {
  Lay(511);
  test_.Put64(kRam + kLink, kRam);
  ASSERT_EQ(Walk(kRam, 0, 100'000 * kPageSize), MemFault::kNone);
  ASSERT_EQ(pages_.size(), 100'000u);
  for (std::uint64_t n = 0; n < pages_.size(); ++n) {
    ASSERT_EQ(pages_[n].value(), Entry(n % kPageListEntries));
  }
  EXPECT_EQ(Walk(kRam, 0, 100'001 * kPageSize), MemFault::kBadList);
}

// The guest rewrites an entry and the link while the list is walked. Either value is right, both
// misaligned values and mixtures of the two are not.
TEST_F(PageListTest, ListsThatTheGuestRewritesGiveOldOrNewEntries) {
  constexpr std::uint64_t kOld = 0x0000'1111'1111'1000;
  constexpr std::uint64_t kNew = 0x000e'eeee'eeee'e000;
  constexpr std::uint64_t kBad = 0x0000'2222'2222'2222;
  Lay(600);
  for (std::uint64_t n = 0; n < 511; ++n) test_.Put64(kRam + n * 8, kOld);
  std::atomic<bool> stop{false};
  std::thread guest([&] {
    for (std::uint64_t round = 0; !stop.load(); ++round) {
      const std::uint64_t value = round % 3 == 0 ? kOld : round % 3 == 1 ? kNew : kBad;
      const auto bytes = std::as_bytes(std::span(&value, 1));
      for (const std::uint64_t n : {0, 7, 255, 510}) {
        static_cast<void>(test_.memory().Publish(GuestPhysAddr(kRam + n * 8), bytes));
      }
      const std::uint64_t link = kRam + (round % 2 == 0 ? kPageSize : kPageSize + 4);
      static_cast<void>(
          test_.memory().Publish(GuestPhysAddr(kRam + kLink), std::as_bytes(std::span(&link, 1))));
    }
  });
  int wrong = 0;
  RaceRounds good(300);
  RaceRounds refused(300);
  while (good.Go() || refused.Go()) {
    const MemFault fault = Walk(kRam, 0, 520 * kPageSize);
    good.Count(fault == MemFault::kNone);
    refused.Count(fault != MemFault::kNone);
    if (fault != MemFault::kNone) {
      wrong += fault != MemFault::kBadList || !pages_.empty() ? 1 : 0;
      continue;
    }
    wrong += pages_.size() != 520 ? 1 : 0;
    for (std::uint64_t n = 0; n < 511; ++n) {
      wrong += pages_[n].value() != kOld && pages_[n].value() != kNew ? 1 : 0;
    }
  }
  stop = true;
  guest.join();
  EXPECT_EQ(wrong, 0);
}

}  // namespace
}  // namespace vtee::guest
