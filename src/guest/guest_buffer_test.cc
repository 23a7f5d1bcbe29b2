// SPDX-License-Identifier: BSD-3-Clause
#include "guest/guest_buffer.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <limits>
#include <string>
#include <vector>

#include "guest/mapped_window.h"
#include "guest/test_memory.h"

namespace vtee::guest {
namespace {

constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t kRam = 0x4000'0000;
using BufferPtr = std::shared_ptr<const GuestBuffer>;

GuestPhysAddr Page(std::uint64_t n) { return GuestPhysAddr(kRam + n * kPageSize); }

// Mappings of this process, adjacent ones counted as the kernel does.
std::size_t MappingCount() {
  std::ifstream maps("/proc/self/maps");
  std::size_t count = 0;
  for (std::string line; std::getline(maps, line);) ++count;
  return count;
}

// Every second page, from the last one down: no two of them are neighbours.
std::vector<GuestPhysAddr> ScatteredPages(std::uint64_t count) {
  std::vector<GuestPhysAddr> pages;
  for (std::uint64_t n = count; n > 0; --n) pages.push_back(Page(2 * (n - 1)));
  return pages;
}

class GuestBufferTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(InstallFaultHandler().ok());
    ASSERT_EQ(WindowMappingsInUse(), 0u);
  }
  void TearDown() override { EXPECT_EQ(WindowMappingsInUse(), 0u); }

  static BufferPtr Make(TestMemory& test, std::span<const GuestPhysAddr> pages,
                        std::uint64_t offset, std::uint64_t size) {
    BufferPtr buffer;
    EXPECT_EQ(GuestBuffer::FromPages(test.memory(), pages, offset, size, buffer), MemFault::kNone);
    return buffer;
  }
  static std::unique_ptr<tee::MappedWindow> Map(const GuestBuffer& buffer) {
    auto window = buffer.Map();
    EXPECT_TRUE(window.ok()) << window.error().message;
    return window.ok() ? std::move(window).value() : nullptr;
  }

  // Fills the memory, then compares Read() and Map() with the pages one by one.
  static void CheckScattered(std::uint64_t size, std::uint64_t offset) {
    const std::uint64_t count = (offset + size + kPageSize - 1) / kPageSize;
    TestMemory test(kRam, 2 * count * kPageSize);
    const std::vector<GuestPhysAddr> pages = ScatteredPages(count);
    std::vector<std::byte> expected(count * kPageSize);
    std::vector<std::byte> bytes = TestPattern(kPageSize);
    for (std::uint64_t n = 0; n < count; ++n) {
      std::memcpy(bytes.data() + n % 500 * 8, &n, sizeof n);  // no two pages are alike
      test.Put(pages[n].value(), bytes);
      std::memcpy(expected.data() + n * kPageSize, bytes.data(), kPageSize);
    }
    expected.erase(expected.begin(), expected.begin() + static_cast<std::ptrdiff_t>(offset));
    expected.resize(size);

    const BufferPtr buffer = Make(test, pages, offset, size);
    ASSERT_NE(buffer, nullptr);
    EXPECT_EQ(buffer->size(), size);
    EXPECT_EQ(buffer->pieces(), count);
    std::vector<std::byte> read(size);
    ASSERT_TRUE(buffer->Read(0, read));
    EXPECT_EQ(std::memcmp(read.data(), expected.data(), size), 0);
    const auto window = Map(*buffer);
    ASSERT_NE(window, nullptr);
    ASSERT_EQ(window->bytes().size(), size);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(window->bytes().data()) % kPageSize, offset);
    EXPECT_EQ(std::memcmp(window->bytes().data(), expected.data(), size), 0);
    EXPECT_EQ(WindowMappingsInUse(), count);
  }
};

TEST_F(GuestBufferTest, ScatteredPagesReadAndMapInListOrder) {
  CheckScattered(1, 0);
  CheckScattered(1, 4095);
  CheckScattered(kPageSize, 0);
  CheckScattered(kPageSize, 1);
  CheckScattered(5 * kPageSize - 17, 123);
  CheckScattered(std::uint64_t{2} << 20, 0);
  CheckScattered(std::uint64_t{2} << 20, 8);
}

TEST_F(GuestBufferTest, SixtyFourMebibytesScattered) {
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
  GTEST_SKIP() << "a minute, for the shadow of 16384 mappings; nothing here has threads";
#endif
#endif
  CheckScattered(std::uint64_t{64} << 20, 0);
}

TEST_F(GuestBufferTest, WindowAndGuestMemoryAreTheSame) {
  TestMemory test(kRam, 8 * kPageSize);
  const std::array pages = {Page(6), Page(1), Page(3)};
  const BufferPtr buffer = Make(test, pages, 16, 2 * kPageSize);
  const auto window = Map(*buffer);
  ASSERT_NE(window, nullptr);
  window->bytes()[0] = std::byte{0xa1};  // a TEE writes through the window
  window->bytes()[kPageSize - 16] = std::byte{0xa2};
  EXPECT_EQ(test.Get(Page(6).value() + 16, 1)[0], std::byte{0xa1});
  EXPECT_EQ(test.Get(Page(1).value(), 1)[0], std::byte{0xa2});
  test.Put64(Page(3).value() + 8, 0x1122);  // the guest writes: the last word of the buffer
  std::uint64_t word = 0;
  std::memcpy(&word, window->bytes().data() + 2 * kPageSize - 8, 8);
  EXPECT_EQ(word, 0x1122u);
}

TEST_F(GuestBufferTest, NeighboursBecomeOneRunAndOneMapping) {
  TestMemory test(kRam, 64 * kPageSize);
  const struct {
    std::vector<std::uint64_t> pages;
    std::size_t runs;
  } cases[] = {
      {{0}, 1},          {{0, 1, 2, 3}, 1}, {{3, 2, 1, 0}, 4}, {{0, 1, 5, 6, 7, 9}, 3},
      {{0, 1, 0, 1}, 2},  // the same pages twice
      {{4, 4, 4}, 3},    {{62, 63, 0}, 2},
  };
  for (const auto& test_case : cases) {
    std::vector<GuestPhysAddr> pages;
    for (const std::uint64_t n : test_case.pages) pages.push_back(Page(n));
    const BufferPtr buffer = Make(test, pages, 0, pages.size() * kPageSize);
    EXPECT_EQ(buffer->pieces(), test_case.runs);
    const auto window = Map(*buffer);
    ASSERT_NE(window, nullptr);
    EXPECT_EQ(WindowMappingsInUse(), test_case.runs);
  }
}

TEST_F(GuestBufferTest, AdjacentSlotsOfOneFileMapAtOnce) {
  const UniqueFd file = MakeTestFile(4 * kPageSize);
  GuestMemory memory;
  const SlotSpec low{SlotId(1), Page(0), 2 * kPageSize, 0, false};
  const SlotSpec high{SlotId(2), Page(2), 2 * kPageSize, 2 * kPageSize, false};
  ASSERT_TRUE(memory.SetSlot(low, DupTestFile(file)).ok());
  ASSERT_TRUE(memory.SetSlot(high, DupTestFile(file)).ok());
  BufferPtr buffer;
  ASSERT_EQ(GuestBuffer::FromRange(memory, GuestPhysAddr(kRam + 100), 3 * kPageSize, buffer),
            MemFault::kNone);
  EXPECT_EQ(buffer->pieces(), 2u);
  const auto window = Map(*buffer);
  ASSERT_NE(window, nullptr);
  EXPECT_EQ(WindowMappingsInUse(), 1u);
  const std::uint64_t word = 0x55aa;
  ASSERT_TRUE(buffer->Write(2 * kPageSize - 104, std::as_bytes(std::span(&word, 1))));
  EXPECT_EQ(std::memcmp(window->bytes().data() + 2 * kPageSize - 104, &word, 8), 0);
}

TEST_F(GuestBufferTest, SubRangesStayInsideTheBuffer) {
  TestMemory test(kRam, 8 * kPageSize);
  const std::array pages = {Page(6), Page(1), Page(3)};
  const std::uint64_t size = 2 * kPageSize + 10;
  const BufferPtr buffer = Make(test, pages, 4000, size);
  const struct {
    std::uint64_t offset;
    std::size_t size;
    bool good;
  } cases[] = {
      {0, 0, true},
      {0, 1, true},
      {0, size, true},
      {0, size + 1, false},
      {1, size - 1, true},
      {1, size, false},
      {size - 1, 1, true},
      {size - 1, 2, false},
      {size, 0, true},
      {size, 1, false},
      {size + 1, 0, false},
      {kMax, 0, false},
      {kMax, 1, false},
      {96, 1, true},
      {95, 2, true},
      {96, kPageSize, true},
      {95, kPageSize + 2, true},
      {kMax - 1, 4, false},
  };
  for (const auto& range : cases) {
    const std::vector<std::byte> pattern = TestPattern(range.size, range.offset);
    std::vector<std::byte> bytes(range.size);
    EXPECT_EQ(buffer->Write(range.offset, pattern), range.good) << range.offset;
    EXPECT_EQ(buffer->Read(range.offset, bytes), range.good) << range.offset;
    EXPECT_TRUE(!range.good || bytes == pattern);
  }
  // Bytes outside the buffer, in its own first and last page, were never written.
  EXPECT_EQ(test.Get(Page(6).value(), 4000), std::vector<std::byte>(4000));
  const std::uint64_t tail = 4000 + size - 2 * kPageSize;
  EXPECT_EQ(test.Get(Page(3).value() + tail, kPageSize - tail),
            std::vector<std::byte>(kPageSize - tail));
}

TEST_F(GuestBufferTest, PagesMustCoverTheBuffer) {
  TestMemory test(kRam, 8 * kPageSize);
  const std::array pages = {Page(6), Page(1)};
  const std::array misaligned = {Page(6), GuestPhysAddr(kRam + 1)};
  const std::array outside = {Page(6), Page(8)};
  const struct {
    std::span<const GuestPhysAddr> pages;
    std::uint64_t offset;
    std::uint64_t size;
    MemFault fault;
  } cases[] = {
      {pages, 0, 2 * kPageSize, MemFault::kNone},
      {pages, 1, 2 * kPageSize - 1, MemFault::kNone},
      {pages, 1, 2 * kPageSize, MemFault::kBadList},
      {pages, 0, 2 * kPageSize + 1, MemFault::kBadList},
      {pages, 4095, kMax, MemFault::kBadList},
      {pages, 4096, 1, MemFault::kBadList},
      {pages, kMax, 1, MemFault::kBadList},
      {{}, 0, 1, MemFault::kBadList},
      {misaligned, 0, 2 * kPageSize, MemFault::kBadList},
      {misaligned, 0, kPageSize, MemFault::kNone},  // the bad page is beyond
      {outside, 0, 2 * kPageSize, MemFault::kNoSlot},
  };
  for (const auto& test_case : cases) {
    BufferPtr buffer;
    EXPECT_EQ(GuestBuffer::FromPages(test.memory(), test_case.pages, test_case.offset,
                                     test_case.size, buffer),
              test_case.fault);
    EXPECT_EQ(buffer != nullptr, test_case.fault == MemFault::kNone);
  }
  BufferPtr buffer;
  EXPECT_EQ(GuestBuffer::FromRange(test.memory(), Page(7), kPageSize + 1, buffer),
            MemFault::kNoSlot);
  EXPECT_EQ(GuestBuffer::FromRange(test.memory(), Page(7), kMax, buffer), MemFault::kWraps);
  EXPECT_EQ(buffer, nullptr);
}

TEST_F(GuestBufferTest, AnEmptyBufferIsNoWindow) {
  TestMemory test(kRam, kPageSize);
  const BufferPtr buffer = Make(test, {}, 0, 0);
  ASSERT_NE(buffer, nullptr);
  EXPECT_TRUE(buffer->Read(0, {}));
  EXPECT_TRUE(buffer->Write(0, {}));
  std::byte byte{};
  EXPECT_FALSE(buffer->Read(0, std::span(&byte, 1)));
  EXPECT_EQ(buffer->Map().error().code, ErrorCode::kInvalidArgument);
}

TEST_F(GuestBufferTest, ReadOnlyMemoryCanBeReadAndMappedOnly) {
  TestMemory test(kRam, kPageSize);
  const SlotSpec rom{SlotId(1), Page(1), kPageSize, 0, true};
  ASSERT_TRUE(test.memory().SetSlot(rom, MakeTestFile(kPageSize)).ok());
  BufferPtr buffer;
  ASSERT_EQ(GuestBuffer::FromRange(test.memory(), Page(0), 2 * kPageSize, buffer), MemFault::kNone);
  const std::vector<std::byte> pattern = TestPattern(2 * kPageSize);
  EXPECT_FALSE(buffer->Write(0, pattern));
  EXPECT_EQ(test.Get(kRam, kPageSize), std::vector<std::byte>(kPageSize));  // nothing written
  EXPECT_TRUE(buffer->Write(0, std::span(pattern).first(kPageSize)));
  const auto window = Map(*buffer);
  ASSERT_NE(window, nullptr);
  EXPECT_EQ(window->bytes()[0], pattern[0]);
}

TEST_F(GuestBufferTest, VanishedMemoryFailsTheCopy) {
  TestMemory test(kRam, 4 * kPageSize);
  const std::array pages = {Page(0), Page(3)};
  const BufferPtr buffer = Make(test, pages, 0, 2 * kPageSize);
  ASSERT_EQ(ftruncate(test.file(), kPageSize), 0);
  std::vector<std::byte> bytes(2 * kPageSize);
  EXPECT_TRUE(buffer->Read(0, std::span(bytes).first(kPageSize)));
  EXPECT_FALSE(buffer->Read(0, bytes));
  EXPECT_FALSE(buffer->Write(0, bytes));
  EXPECT_NE(Map(*buffer), nullptr);  // still maps: whoever reads it must bear the fault
}

TEST_F(GuestBufferTest, OutlivesItsSlotAndItsGuest) {
  auto test = std::make_unique<TestMemory>(kRam, 4 * kPageSize);
  const std::array pages = {Page(2), Page(0)};
  const BufferPtr buffer = Make(*test, pages, 0, 2 * kPageSize);
  const std::vector<std::byte> pattern = TestPattern(2 * kPageSize);
  ASSERT_TRUE(buffer->Write(0, pattern));
  test->memory().RemoveSlot(SlotId(0));
  test.reset();
  std::vector<std::byte> bytes(2 * kPageSize);
  ASSERT_TRUE(buffer->Read(0, bytes));
  EXPECT_EQ(bytes, pattern);
  const auto window = Map(*buffer);
  ASSERT_NE(window, nullptr);
  EXPECT_TRUE(std::ranges::equal(window->bytes(), pattern));
}

TEST_F(GuestBufferTest, AFailedMapIsUndone) {
  TestMemory test(kRam, 4 * kPageSize);
  const UniqueFd sealed = MakeTestFile(kPageSize);
  const SlotSpec spec{SlotId(1), Page(4), kPageSize, 0, false};
  ASSERT_TRUE(test.memory().SetSlot(spec, DupTestFile(sealed)).ok());
  const std::array pages = {Page(2), Page(0), Page(4)};
  const BufferPtr buffer = Make(test, pages, 0, 3 * kPageSize);
  // From now on the file cannot be mapped for writing: the third mmap of the window fails.
  ASSERT_EQ(fcntl(sealed.get(), F_ADD_SEALS, F_SEAL_FUTURE_WRITE), 0);
  const std::size_t before = MappingCount();
  for (int i = 0; i < 100; ++i) EXPECT_FALSE(buffer->Map().ok());
  EXPECT_LE(MappingCount(), before + 20);  // the heap may have grown
  EXPECT_EQ(WindowMappingsInUse(), 0u);
  EXPECT_EQ(buffer->Map().error().code, ErrorCode::kPermissionDenied);
}

TEST_F(GuestBufferTest, WindowsAreUnmapped) {
  TestMemory test(kRam, 128 * kPageSize);
  const BufferPtr buffer = Make(test, ScatteredPages(64), 0, 64 * kPageSize);
  const std::size_t before = MappingCount();
  {
    const auto window = Map(*buffer);
    EXPECT_GE(MappingCount(), before + 60);
  }
  EXPECT_LE(MappingCount(), before + 4);
}

// Another budget of mappings, for the length of a scope.
class Budget {
 public:
  explicit Budget(std::uint64_t limit) : before_(WindowMappingLimit()) {
    SetWindowMappingLimit(limit);
  }
  ~Budget() { SetWindowMappingLimit(before_); }
  Budget(const Budget&) = delete;
  Budget& operator=(const Budget&) = delete;

 private:
  const std::uint64_t before_;
};

TEST_F(GuestBufferTest, TheBudgetIsHalfOfWhatTheKernelAllows) {
  std::uint64_t allowed = 0;
  std::ifstream("/proc/sys/vm/max_map_count") >> allowed;
  EXPECT_EQ(WindowMappingLimit(), allowed / 2);
}

TEST_F(GuestBufferTest, TheBudgetOfMappingsIsKept) {
  const std::uint64_t limit = 40;
  const Budget budget(limit);
  const std::uint64_t count = limit / 2 + 1;
  TestMemory test(kRam, 2 * (limit + 1) * kPageSize);
  const BufferPtr half = Make(test, ScatteredPages(count), 0, count * kPageSize);
  auto window = Map(*half);
  ASSERT_NE(window, nullptr);
  const auto refused = half->Map();
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
  EXPECT_NE(refused.error().message.find("vm.max_map_count"), std::string::npos);
  window.reset();
  EXPECT_NE(Map(*half), nullptr);
  const BufferPtr huge = Make(test, ScatteredPages(limit + 1), 0, (limit + 1) * kPageSize);
  EXPECT_EQ(huge->Map().error().code, ErrorCode::kResourceExhausted);
  std::vector<std::byte> bytes(huge->size());
  EXPECT_TRUE(huge->Read(0, bytes)) << "copying still works";
  // Neighbours count once, however many they are.
  std::vector<GuestPhysAddr> row;
  for (std::uint64_t n = 0; n < 2 * limit; ++n) row.push_back(Page(n));
  EXPECT_NE(Map(*Make(test, row, 0, row.size() * kPageSize)), nullptr);
}

TEST_F(GuestBufferTest, OneGibibyteInPiecesOfEverySize) {
  // A page list of 1 GiB over 128 MiB of memory: what it costs is the list, not the memory.
  constexpr std::uint64_t kGib = std::uint64_t{1} << 30;
  constexpr std::uint64_t kCount = kGib / kPageSize;
  constexpr std::uint64_t kRamPages = kCount / 8;
  TestMemory test(kRam, kRamPages * kPageSize);
  for (const std::uint64_t run : {std::uint64_t{1}, std::uint64_t{16}, std::uint64_t{512}}) {
    std::vector<GuestPhysAddr> pages;  // runs of so many pages, the later the lower
    pages.reserve(kCount);
    for (std::uint64_t n = 0; n < kCount; ++n) {
      const std::uint64_t place = (kCount - run - n / run * run) % kRamPages;
      pages.push_back(Page(place + n % run));
    }
    const BufferPtr buffer = Make(test, pages, 0, kGib);
    ASSERT_NE(buffer, nullptr);
    EXPECT_EQ(buffer->pieces(), kCount / run);
    // Its ends, the middle, and across two runs.
    for (const std::uint64_t at : {std::uint64_t{0}, kGib / 2 - 4, kGib - 8, run * kPageSize - 4,
                                   kGib - run * kPageSize - 4}) {
      const std::uint64_t word = at ^ 0x5a5a'1234'8765'4321u;
      std::uint64_t read = 0;
      ASSERT_TRUE(buffer->Write(at, std::as_bytes(std::span(&word, 1))));
      ASSERT_TRUE(buffer->Read(at, std::as_writable_bytes(std::span(&read, 1))));
      EXPECT_EQ(read, word) << at;
      const std::uint64_t page = pages[at / kPageSize].value() + at % kPageSize;
      EXPECT_EQ(test.Get(page, 1)[0], std::as_bytes(std::span(&word, 1))[0]);
    }
    const bool fits = kCount / run <= WindowMappingLimit();
    const auto window = buffer->Map();
    EXPECT_EQ(window.ok(), fits) << run;
    if (!fits) {
      EXPECT_EQ(window.error().code, ErrorCode::kResourceExhausted);
    }
  }
}

}  // namespace
}  // namespace vtee::guest
