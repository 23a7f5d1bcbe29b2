// SPDX-License-Identifier: BSD-3-Clause
#include "guest/guest_memory.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <set>
#include <string>
#include <thread>
#include <vector>

#include "guest/slot_mapping.h"
#include "guest/test_memory.h"

namespace vtee::guest {
namespace {

constexpr std::uint64_t kMax = std::numeric_limits<std::uint64_t>::max();
constexpr std::uint64_t kRam = 0x4000'0000;

SlotSpec Spec(std::uint32_t id, std::uint64_t base, std::uint64_t size,
              std::uint64_t file_offset = 0, bool read_only = false) {
  return {SlotId(id), GuestPhysAddr(base), size, file_offset, read_only};
}

class GuestMemoryTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(InstallFaultHandler().ok()); }

  void Add(const SlotSpec& spec) {
    const Status status = memory_.SetSlot(spec, MakeTestFile(spec.file_offset + spec.size));
    ASSERT_TRUE(status.ok()) << status.error().message;
  }
  ErrorCode Refused(const SlotSpec& spec, UniqueFd file) {
    const Status status = memory_.SetSlot(spec, std::move(file));
    EXPECT_FALSE(status.ok());
    if (status.ok()) return ErrorCode::kSystem;
    EXPECT_NE(status.error().message.find("slot " + std::to_string(spec.id.value())),
              std::string::npos)
        << status.error().message;
    return status.error().code;
  }
  MemFault Read(std::uint64_t address, std::size_t size) {
    std::vector<std::byte> bytes(size);
    return memory_.Snapshot(GuestPhysAddr(address), bytes);
  }
  MemFault Write(std::uint64_t address, std::size_t size) {
    const std::vector<std::byte> bytes(size, std::byte{0x77});
    return memory_.Publish(GuestPhysAddr(address), bytes);
  }

  GuestMemory memory_;
};

TEST_F(GuestMemoryTest, NamesOfFaultsDiffer) {
  std::set<std::string> names;
  for (int fault = 0; fault <= 7; ++fault) {
    names.insert(MemFaultName(static_cast<MemFault>(fault)));
  }
  EXPECT_EQ(names.size(), 8u);
}

TEST_F(GuestMemoryTest, AccessTable) {
  Add(Spec(1, kRam, 2 * kPageSize));
  Add(Spec(2, kRam + 2 * kPageSize, kPageSize, 0, true));  // adjacent, read-only
  ASSERT_TRUE(memory_.SetSlot(Spec(3, kRam + 3 * kPageSize, kPageSize), UniqueFd()).ok());
  Add(Spec(4, kMaxGuestPhys - kPageSize, kPageSize));
  const std::uint64_t read_only = kRam + 2 * kPageSize;
  const std::uint64_t not_mapped = kRam + 3 * kPageSize;
  const std::uint64_t end = kRam + 4 * kPageSize;
  const struct {
    std::uint64_t address;
    std::size_t size;
    MemFault read;
    MemFault write;
  } cases[] = {
      {kRam, 1, MemFault::kNone, MemFault::kNone},
      {kRam, 2 * kPageSize, MemFault::kNone, MemFault::kNone},
      {kRam + 1, 2 * kPageSize - 1, MemFault::kNone, MemFault::kNone},
      {kRam - 1, 1, MemFault::kNoSlot, MemFault::kNoSlot},
      {kRam - 1, 2, MemFault::kNoSlot, MemFault::kNoSlot},
      {kRam, 3 * kPageSize, MemFault::kNone, MemFault::kReadOnly},
      {read_only - 1, 2, MemFault::kNone, MemFault::kReadOnly},
      {read_only, 8, MemFault::kNone, MemFault::kReadOnly},
      {not_mapped, 1, MemFault::kNotMapped, MemFault::kNotMapped},
      {not_mapped - 1, 2, MemFault::kNotMapped, MemFault::kReadOnly},
      {end - 1, 2, MemFault::kNotMapped, MemFault::kNotMapped},
      {end, 1, MemFault::kNoSlot, MemFault::kNoSlot},
      {0, 1, MemFault::kNoSlot, MemFault::kNoSlot},
      {kMaxGuestPhys - 1, 1, MemFault::kNone, MemFault::kNone},
      {kMaxGuestPhys - 1, 2, MemFault::kNoSlot, MemFault::kNoSlot},
      {kMax, 1, MemFault::kNoSlot, MemFault::kNoSlot},  // ends at 2^64: does not wrap
      {kMax, 2, MemFault::kWraps, MemFault::kWraps},
      {kMax - 7, 8, MemFault::kNoSlot, MemFault::kNoSlot},
      {kMax - 7, 9, MemFault::kWraps, MemFault::kWraps},
      {kMax, 0, MemFault::kNone, MemFault::kNone},
      {0, 0, MemFault::kNone, MemFault::kNone},
  };
  for (const auto& test : cases) {
    EXPECT_EQ(Read(test.address, test.size), test.read) << test.address << "+" << test.size;
    EXPECT_EQ(Write(test.address, test.size), test.write) << test.address << "+" << test.size;
    std::vector<FileRun> runs;
    EXPECT_EQ(memory_.Resolve(GuestPhysAddr(test.address), test.size, runs), test.read);
  }
  std::vector<FileRun> runs;
  EXPECT_EQ(memory_.Resolve(GuestPhysAddr(kRam), kMax, runs), MemFault::kWraps);
}

TEST_F(GuestMemoryTest, ARefusedWriteWritesNothing) {
  TestMemory low(kRam, kPageSize);
  ASSERT_TRUE(low.memory()
                  .SetSlot(Spec(1, kRam + kPageSize, kPageSize, 0, true), MakeTestFile(kPageSize))
                  .ok());
  const std::vector<std::byte> bytes(16, std::byte{0x77});
  EXPECT_EQ(low.memory().Publish(GuestPhysAddr(kRam + kPageSize - 8), bytes), MemFault::kReadOnly);
  EXPECT_EQ(low.memory().Publish(GuestPhysAddr(kRam + 2 * kPageSize - 8), bytes),
            MemFault::kReadOnly);
  EXPECT_EQ(low.Get(kRam + kPageSize - 8, 8), std::vector<std::byte>(8));
}

TEST_F(GuestMemoryTest, ReadsAndWritesCrossSlotsOfDifferentFiles) {
  const UniqueFd first = MakeTestFile(2 * kPageSize);
  const UniqueFd second = MakeTestFile(2 * kPageSize);
  // The slots are added out of order and start inside their files.
  ASSERT_TRUE(
      memory_.SetSlot(Spec(8, kRam + kPageSize, kPageSize, kPageSize), DupTestFile(second)).ok());
  ASSERT_TRUE(memory_.SetSlot(Spec(9, kRam, kPageSize, kPageSize), DupTestFile(first)).ok());
  const std::vector<std::byte> pattern = TestPattern(300);
  ASSERT_EQ(memory_.Publish(GuestPhysAddr(kRam + kPageSize - 100), pattern), MemFault::kNone);
  std::vector<std::byte> back(300);
  ASSERT_EQ(memory_.Snapshot(GuestPhysAddr(kRam + kPageSize - 100), back), MemFault::kNone);
  EXPECT_EQ(back, pattern);
  ASSERT_EQ(pread(first.get(), back.data(), 100, 2 * kPageSize - 100), 100);
  ASSERT_EQ(pread(second.get(), back.data() + 100, 200, kPageSize), 200);
  EXPECT_EQ(back, pattern);
}

TEST_F(GuestMemoryTest, RamAtAddressZeroWorks) {
  Add(Spec(0, 0, kPageSize));
  EXPECT_EQ(Write(0, 8), MemFault::kNone);
  std::uint64_t word = 0;
  EXPECT_EQ(memory_.SnapshotObject(GuestPhysAddr(0), word), MemFault::kNone);
  EXPECT_EQ(word, 0x7777777777777777u);
}

TEST_F(GuestMemoryTest, BadSlotsAreRefusedWithASentence) {
  const std::uint64_t size = 2 * kPageSize;
  const SlotSpec bad[] = {
      Spec(5, kRam, 0),
      Spec(5, kRam, size + 1),
      Spec(5, kRam + 512, size),
      Spec(5, kRam, size, 100),
      Spec(5, kMaxGuestPhys, size),
      Spec(5, kMaxGuestPhys - kPageSize, size),
      Spec(5, kMax - kPageSize + 1, kPageSize),
      Spec(5, kMax - kPageSize + 1, size),
      Spec(5, 0, kMaxSlotBytes + kPageSize),
      Spec(5, kPageSize, kMax - kPageSize + 1),
      Spec(5, kRam, size, kPageSize),             // passes the end of the file
      Spec(5, kRam, 3 * kPageSize),               // file too small
      Spec(5, kRam, size, kMax - kPageSize + 1),  // file offset wraps
  };
  for (const SlotSpec& spec : bad) {
    EXPECT_EQ(Refused(spec, MakeTestFile(size)), ErrorCode::kInvalidArgument);
  }
  EXPECT_EQ(Read(kRam, 1), MemFault::kNoSlot);
  Add(Spec(5, kRam, size));
}

TEST_F(GuestMemoryTest, FilesThatCannotBackASlotAreRefused) {
  UniqueFd device(open("/dev/zero", O_RDWR | O_CLOEXEC));
  EXPECT_EQ(Refused(Spec(5, kRam, kPageSize), std::move(device)), ErrorCode::kUnsupported);
  EXPECT_EQ(Refused(Spec(5, kRam, kPageSize), UniqueFd(open("/", O_PATH | O_CLOEXEC))),
            ErrorCode::kUnsupported);
  const UniqueFd file = MakeTestFile(kPageSize);
  const std::string path = "/proc/self/fd/" + std::to_string(file.get());
  EXPECT_EQ(Refused(Spec(5, kRam, kPageSize), UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC))),
            ErrorCode::kPermissionDenied);  // mmap fails
  EXPECT_TRUE(memory_
                  .SetSlot(Spec(5, kRam, kPageSize, 0, true),
                           UniqueFd(open(path.c_str(), O_RDONLY | O_CLOEXEC)))
                  .ok());
}

TEST_F(GuestMemoryTest, OverlapsAreRefused) {
  Add(Spec(1, kRam, 4 * kPageSize));
  Add(Spec(2, kRam + 8 * kPageSize, 4 * kPageSize));
  const struct {
    std::uint64_t page;
    std::uint64_t pages;
  } overlapping[] = {{0, 4}, {0, 1}, {3, 1}, {3, 5}, {4, 5}, {11, 1}, {11, 9}, {0, 12}, {9, 1}};
  for (const auto& test : overlapping) {
    const SlotSpec spec = Spec(3, kRam + test.page * kPageSize, test.pages * kPageSize);
    EXPECT_EQ(Refused(spec, MakeTestFile(spec.size)), ErrorCode::kInvalidArgument)
        << test.page << "+" << test.pages;
    EXPECT_EQ(Refused(spec, UniqueFd()), ErrorCode::kInvalidArgument);
  }
  Add(Spec(3, kRam + 4 * kPageSize, 4 * kPageSize));  // exactly the gap
  Add(Spec(1, kRam, 4 * kPageSize));                  // a slot may replace itself
  Add(Spec(1, kRam + kPageSize, 2 * kPageSize));
  EXPECT_EQ(Read(kRam, 1), MemFault::kNoSlot);
  EXPECT_EQ(Read(kRam + kPageSize, 1), MemFault::kNone);
  // A refused replacement leaves the slot as it was.
  EXPECT_EQ(Refused(Spec(1, kRam + 4 * kPageSize, kPageSize), MakeTestFile(kPageSize)),
            ErrorCode::kInvalidArgument);
  EXPECT_EQ(Read(kRam + kPageSize, 1), MemFault::kNone);
}

TEST_F(GuestMemoryTest, RemovedSlotsAreGone) {
  Add(Spec(1, kRam, kPageSize));
  Add(Spec(2, kRam + kPageSize, kPageSize));
  memory_.RemoveSlot(SlotId(7));  // unknown: nothing happens
  memory_.RemoveSlot(SlotId(1));
  EXPECT_EQ(Read(kRam, 1), MemFault::kNoSlot);
  EXPECT_EQ(Read(kRam + kPageSize, 1), MemFault::kNone);
  memory_.RemoveAll();
  EXPECT_EQ(Read(kRam + kPageSize, 1), MemFault::kNoSlot);
}

TEST_F(GuestMemoryTest, ManySlotsAreFound) {
  const UniqueFd file = MakeTestFile(200 * kPageSize);
  for (std::uint32_t i = 0; i < 200; ++i) {
    const std::uint32_t n = (i * 77) % 200;  // in a mixed order, each second page
    ASSERT_TRUE(
        memory_
            .SetSlot(Spec(n, kRam + 2 * n * kPageSize, kPageSize, n * kPageSize), DupTestFile(file))
            .ok());
    const std::uint64_t value = n;
    ASSERT_EQ(pwrite(file.get(), &value, 8, static_cast<off_t>(n * kPageSize)), 8);
  }
  for (std::uint32_t n = 0; n < 200; ++n) {
    std::uint64_t value = kMax;
    EXPECT_EQ(memory_.SnapshotObject(GuestPhysAddr(kRam + 2 * n * kPageSize), value),
              MemFault::kNone);
    EXPECT_EQ(value, n);
    EXPECT_EQ(Read(kRam + (2 * n + 1) * kPageSize, 1), MemFault::kNoSlot);
  }
}

TEST_F(GuestMemoryTest, ATebibyteSlotWorks) {
  const std::uint64_t size = kMaxSlotBytes;
  const Status status = memory_.SetSlot(Spec(1, size, size), MakeTestFile(size));
#if defined(__SANITIZE_THREAD__)
  if (!status.ok()) GTEST_SKIP() << "no room beside the sanitizer's shadow";
#endif
  ASSERT_TRUE(status.ok()) << status.error().message;
  EXPECT_EQ(Write(2 * size - 8, 8), MemFault::kNone);
  EXPECT_EQ(Read(2 * size - 8, 8), MemFault::kNone);
  EXPECT_EQ(Read(2 * size - 8, 9), MemFault::kNoSlot);
}

TEST_F(GuestMemoryTest, TruncatedMemoryHasVanished) {
  TestMemory test(kRam, 4 * kPageSize);
  ASSERT_EQ(ftruncate(test.file(), kPageSize), 0);
  std::array<std::byte, 64> bytes{};
  const auto at = [](std::uint64_t offset) { return GuestPhysAddr(kRam + offset); };
  EXPECT_EQ(test.memory().Snapshot(at(0), bytes), MemFault::kNone);
  EXPECT_EQ(test.memory().Snapshot(at(kPageSize - 8), bytes), MemFault::kVanished);
  EXPECT_EQ(test.memory().Publish(at(kPageSize - 8), bytes), MemFault::kVanished);
  EXPECT_EQ(test.memory().Snapshot(at(2 * kPageSize), bytes), MemFault::kVanished);
  ASSERT_EQ(ftruncate(test.file(), 4 * kPageSize), 0);
  EXPECT_EQ(test.memory().Snapshot(at(2 * kPageSize), bytes), MemFault::kNone);
}

TEST_F(GuestMemoryTest, PunchedHolesReadAsZero) {
  TestMemory test(kRam, 4 * kPageSize);
  test.Put64(kRam + kPageSize, 5);
  ASSERT_EQ(
      fallocate(test.file(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, kPageSize, kPageSize), 0);
  std::uint64_t word = 1;
  EXPECT_EQ(test.memory().SnapshotObject(GuestPhysAddr(kRam + kPageSize), word), MemFault::kNone);
  EXPECT_EQ(word, 0u);
}

TEST_F(GuestMemoryTest, MemoryVanishesAndReturnsWhileItIsRead) {
  TestMemory test(kRam, 16 * kPageSize);
  std::atomic<bool> stop{false};
  std::thread host([&] {
    while (!stop.load()) {
      if (ftruncate(test.file(), kPageSize) != 0) std::abort();
      if (ftruncate(test.file(), 16 * kPageSize) != 0) std::abort();
    }
  });
  std::vector<std::byte> bytes(16 * kPageSize);
  int wrong = 0;
  RaceRounds good(50);
  RaceRounds vanished(50);
  while (good.Go() || vanished.Go()) {
    const MemFault read = test.memory().Snapshot(GuestPhysAddr(kRam), bytes);
    const MemFault write = test.memory().Publish(GuestPhysAddr(kRam), bytes);
    wrong += read != MemFault::kNone && read != MemFault::kVanished ? 1 : 0;
    wrong += write != MemFault::kNone && write != MemFault::kVanished ? 1 : 0;
    good.Count(read == MemFault::kNone);
    vanished.Count(read == MemFault::kVanished);
  }
  stop = true;
  host.join();
  EXPECT_EQ(wrong, 0);
}

// A reader sees the slot of one instant, whole: all bytes of one file, or no slot at all.
TEST_F(GuestMemoryTest, SlotsAreReplacedAndRemovedWhileTheyAreRead) {
  constexpr std::size_t kSize = 4 * kPageSize;
  std::array<UniqueFd, 2> files;
  for (int i = 0; i < 2; ++i) {
    files[i] = MakeTestFile(kSize);
    const std::vector<std::byte> fill(kSize, i == 0 ? std::byte{0xaa} : std::byte{0xbb});
    ASSERT_EQ(pwrite(files[i].get(), fill.data(), kSize, 0), static_cast<ssize_t>(kSize));
  }
  std::atomic<bool> stop{false};
  std::atomic<int> wrong{0};
  std::atomic<int> reads{0};
  std::vector<std::thread> readers;
  for (int t = 0; t < 2; ++t) {
    readers.emplace_back([&] {
      std::vector<std::byte> bytes(kSize);
      while (!stop.load()) {
        const MemFault fault = memory_.Snapshot(GuestPhysAddr(kRam), bytes);
        ++reads;
        if (fault == MemFault::kNoSlot) continue;
        if (fault != MemFault::kNone) ++wrong;
        for (const std::byte byte : bytes) {
          if (byte != bytes[0]) ++wrong;
        }
        if (bytes[0] != std::byte{0xaa} && bytes[0] != std::byte{0xbb}) ++wrong;
      }
    });
  }
  for (int i = 0; i < 300 || reads < 100; ++i) {
    const SlotSpec spec = Spec(1, kRam, kSize);
    ASSERT_TRUE(memory_.SetSlot(spec, DupTestFile(files[i % 2])).ok());
    if (i % 3 == 0) memory_.RemoveSlot(SlotId(1));
    if (i % 7 == 0) memory_.RemoveAll();
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_EQ(wrong, 0);
}

TEST_F(GuestMemoryTest, WritersFromTwoThreadsLoseNothing) {
  const auto add = [&](std::uint32_t first) {
    for (std::uint32_t n = first; n < 100; n += 2) {
      ASSERT_TRUE(
          memory_.SetSlot(Spec(n, kRam + n * kPageSize, kPageSize), MakeTestFile(kPageSize)).ok());
    }
  };
  std::thread other([&] { add(1); });
  add(0);
  other.join();
  EXPECT_EQ(Read(kRam, 100 * kPageSize), MemFault::kNone);
}

TEST_F(GuestMemoryTest, ResolveMergesNeighboursOfOneSlotOnly) {
  Add(Spec(1, kRam, 4 * kPageSize));
  Add(Spec(2, kRam + 4 * kPageSize, 4 * kPageSize));
  std::vector<FileRun> runs;
  ASSERT_EQ(memory_.Resolve(GuestPhysAddr(kRam + 5), 4 * kPageSize, runs), MemFault::kNone);
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[0].slot_offset, 5u);
  EXPECT_EQ(runs[0].size, 4 * kPageSize - 5);
  EXPECT_EQ(runs[1].slot_offset, 0u);
  EXPECT_EQ(runs[1].size, 5u);
  // Going on where the last run ended makes no new run.
  ASSERT_EQ(memory_.Resolve(GuestPhysAddr(kRam + 4 * kPageSize + 5), 10, runs), MemFault::kNone);
  ASSERT_EQ(runs.size(), 2u);
  EXPECT_EQ(runs[1].size, 15u);
}

TEST_F(GuestMemoryTest, ResolvePagesWantsWholePages) {
  Add(Spec(1, kRam, 4 * kPageSize));
  std::vector<FileRun> runs;
  const std::array good = {GuestPhysAddr(kRam + kPageSize), GuestPhysAddr(kRam),
                           GuestPhysAddr(kRam + kPageSize)};
  EXPECT_EQ(memory_.ResolvePages(good, runs), MemFault::kNone);
  EXPECT_EQ(runs.size(), 2u);  // page 0 and its neighbour make one run
  const std::array misaligned = {GuestPhysAddr(kRam), GuestPhysAddr(kRam + 8)};
  EXPECT_EQ(memory_.ResolvePages(misaligned, runs), MemFault::kBadList);
  const std::array absent = {GuestPhysAddr(kMax - kPageSize + 1)};
  EXPECT_EQ(memory_.ResolvePages(absent, runs), MemFault::kNoSlot);
}

}  // namespace
}  // namespace vtee::guest
