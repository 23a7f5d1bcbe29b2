// SPDX-License-Identifier: BSD-3-Clause
#include "base/locked_memory.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <fstream>
#include <random>
#include <sstream>
#include <string>
#include <vector>

namespace vtee {
namespace {

// The pool is the process's: each test has a process of its own.
template <typename Work>
void InChild(const Work& work) {
  std::fflush(nullptr);
  const pid_t child = fork();
  if (child == 0) {
    work();
    std::fflush(nullptr);
    _exit(testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

// What the kernel says of the mapping that `block` is in.
std::string SmapsOf(const void* block) {
  std::ifstream smaps("/proc/self/smaps");
  std::string found;
  bool inside = false;
  for (std::string line; std::getline(smaps, line);) {
    unsigned long start = 0, end = 0;
    if (std::sscanf(line.c_str(), "%lx-%lx ", &start, &end) == 2) {
      const auto at = reinterpret_cast<unsigned long>(block);
      inside = start <= at && at < end;
    }
    if (inside) found += line + "\n";
  }
  return found;
}

std::string LineOf(const char* file, const std::string& beginning) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(beginning)) return line;
  }
  return "";
}

TEST(LockedMemory, IsNoneBeforeItIsReserved) {
  InChild([] {
    EXPECT_EQ(AllocateLocked(32), nullptr);
    int other = 0;
    EXPECT_FALSE(FreeLocked(&other, sizeof other));
  });
}

TEST(LockedMemory, IsLockedAndStaysOutOfDumpsAndChildren) {
  InChild([] {
    const LockedMemory memory = ReserveLockedMemory(64 << 10);
    if (!memory.locked) GTEST_SKIP() << "nothing can be locked here";
    EXPECT_EQ(memory.bytes, 64U << 10);
    const std::string smaps = SmapsOf(AllocateLocked(32));
    if (smaps.find("VmFlags:") == std::string::npos) GTEST_SKIP() << "no smaps here";
    const std::string flags = smaps.substr(smaps.find("VmFlags:"));
    // Sanitizers answer mlock() without a system call.
    const bool pretended = LineOf("/proc/self/status", "VmLck:").find(" 0 kB") != std::string::npos;
    for (const char* flag : {pretended ? "" : " lo", " dd", " dc"}) {
      EXPECT_NE(flags.find(flag), std::string::npos) << flag << " in " << flags;
    }
  });
}

TEST(LockedMemory, IsAsMuchAsMayBeLocked) {
  InChild([] {
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0) GTEST_SKIP() << "still root";
    const rlimit limit{20 << 10, 20 << 10};
    ASSERT_EQ(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    const LockedMemory memory = ReserveLockedMemory(64 << 10);
    if (memory.bytes == 64U << 10) GTEST_SKIP() << "the limit does not count here";
    EXPECT_EQ(memory.bytes, 16U << 10);
    EXPECT_TRUE(memory.locked);
  });
}

TEST(LockedMemory, WithoutTheRightToLockTheRestHolds) {
  InChild([] {
    if (geteuid() == 0 && setresuid(65534, 65534, 65534) != 0) GTEST_SKIP() << "still root";
    const rlimit none{0, 0};
    ASSERT_EQ(setrlimit(RLIMIT_MEMLOCK, &none), 0);
    const LockedMemory memory = ReserveLockedMemory(64 << 10);
    if (memory.locked) GTEST_SKIP() << "the limit does not count here";
    EXPECT_EQ(memory.bytes, 64U << 10);
    EXPECT_NE(AllocateLocked(32), nullptr);
  });
}

TEST(LockedMemory, BlocksNeverOverlap) {
  InChild([] {
    const LockedMemory memory = ReserveLockedMemory(32 << 10);
    struct Block {
      unsigned char* start;
      std::size_t size;
      unsigned char fill;
    };
    std::vector<Block> blocks;
    std::mt19937 random(4);
    bool full = false;
    for (int i = 0; i < 20000; ++i) {
      if (!blocks.empty() && random() % 2 == 0) {
        std::swap(blocks[random() % blocks.size()], blocks.back());
        const Block block = blocks.back();
        blocks.pop_back();
        for (std::size_t k = 0; k < block.size; ++k) ASSERT_EQ(block.start[k], block.fill) << i;
        ASSERT_TRUE(FreeLocked(block.start, block.size));
        continue;
      }
      const std::size_t size = 1 + random() % (random() % 8 == 0 ? 4096 : 200);
      auto* start = static_cast<unsigned char*>(AllocateLocked(size));
      full = full || start == nullptr;
      if (start == nullptr) continue;
      blocks.push_back({start, size, static_cast<unsigned char>(random())});
      std::memset(start, blocks.back().fill, size);
    }
    while (!blocks.empty()) {
      FreeLocked(blocks.back().start, blocks.back().size);
      blocks.pop_back();
    }
    // All of it can be had again.
    for (std::size_t i = 0; i < memory.bytes / kMostLockedBlock; ++i) {
      EXPECT_NE(AllocateLocked(kMostLockedBlock), nullptr) << i;
    }
    EXPECT_EQ(AllocateLocked(1), nullptr);
  });
}

TEST(LockedMemory, HasNoLargeBlocks) {
  InChild([] {
    ReserveLockedMemory(64 << 10);
    EXPECT_EQ(AllocateLocked(kMostLockedBlock + 1), nullptr);
    EXPECT_EQ(AllocateLocked(0), nullptr);
    int other = 0;
    EXPECT_FALSE(FreeLocked(&other, sizeof other));
  });
}

}  // namespace
}  // namespace vtee
