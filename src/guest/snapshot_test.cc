// SPDX-License-Identifier: BSD-3-Clause
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <thread>
#include <vector>

#include "guest/guest_memory.h"
#include "guest/snapshot_unsafe.h"
#include "guest/test_memory.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define __SANITIZE_ADDRESS__ 1
#endif
#if __has_feature(thread_sanitizer)
#define __SANITIZE_THREAD__ 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define VTEE_TEST_SANITIZED 1
#endif

namespace vtee::guest {
namespace {

using Words = std::array<std::uint64_t, 64>;

// A shared mapping of a memfd, as a guest's memory is.
class Shared {
 public:
  explicit Shared(std::size_t size) : file_(MakeTestFile(size)), size_(size) {
    data_ = static_cast<std::byte*>(
        mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0));
  }
  ~Shared() { munmap(data_, size_); }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  std::byte* data() const { return data_; }
  int file() const { return file_.get(); }

 private:
  UniqueFd file_;
  std::size_t size_;
  std::byte* data_;
};

class SnapshotTest : public testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(InstallFaultHandler().ok()); }
};

// All sizes and alignments of both sides around the unrolled loop; nothing beyond is touched.
TEST_F(SnapshotTest, EverySizeAndAlignmentCopiesExactly) {
  const std::vector<std::byte> pattern = TestPattern(256);
  alignas(8) std::array<std::byte, 256> guest{};
  alignas(8) std::array<std::byte, 256> own{};
  for (std::size_t size = 0; size <= 150; ++size) {
    for (std::size_t guest_at = 0; guest_at < 8; ++guest_at) {
      for (std::size_t own_at = 0; own_at < 8; ++own_at) {
        std::memcpy(guest.data(), pattern.data(), guest.size());
        own.fill(std::byte{0xee});
        ASSERT_TRUE(CopyFromGuest(own.data() + own_at, guest.data() + guest_at, size));
        ASSERT_EQ(std::memcmp(own.data() + own_at, pattern.data() + guest_at, size), 0);
        for (std::size_t i = 0; i < own.size(); ++i) {
          const bool inside = i >= own_at && i < own_at + size;
          ASSERT_TRUE(inside || own[i] == std::byte{0xee});
        }
        guest.fill(std::byte{0xee});
        ASSERT_TRUE(CopyToGuest(guest.data() + guest_at, pattern.data() + own_at, size));
        ASSERT_EQ(std::memcmp(guest.data() + guest_at, pattern.data() + own_at, size), 0);
        for (std::size_t i = 0; i < guest.size(); ++i) {
          const bool inside = i >= guest_at && i < guest_at + size;
          ASSERT_TRUE(inside || guest[i] == std::byte{0xee});
        }
      }
    }
  }
}

// A guest on another CPU writes aligned words of 8, 4 or 2 bytes, each time all of the word at
// once. A copy must hold old or new words, never halves, at any start, whatever it is aligned to.
template <typename Word>
void CheckNoTearing() {
  constexpr Word kOld = static_cast<Word>(0x1111111111111111u);
  constexpr Word kNew = static_cast<Word>(0xeeeeeeeeeeeeeeeeu);
  constexpr std::size_t kBytes = sizeof(Words);
  constexpr std::size_t kCount = kBytes / sizeof(Word);
  const Shared shared(kPageSize);
  auto* const words = reinterpret_cast<Word*>(shared.data());
  const auto fill = [&](Word value) {
    for (std::size_t i = 0; i < kCount; ++i) __atomic_store_n(&words[i], value, __ATOMIC_RELAXED);
  };
  fill(kOld);
  std::atomic<bool> stop{false};
  std::thread guest([&] {
    for (Word value = kNew; !stop.load(std::memory_order_relaxed);
         value = static_cast<Word>(value == kOld ? kNew : kOld)) {
      fill(value);
    }
  });
  std::array<Word, kCount> copy{};
  bool torn = false;
  RaceRounds rounds(500);
  for (int round = 0; rounds.Go(); ++round) {
    const std::size_t skip = static_cast<std::size_t>(round) % 8;  // in words
    // The destination is misaligned on purpose: only the guest's side counts.
    std::array<std::byte, kBytes + 8> own;
    std::byte* const to = own.data() + round % 7;
    const std::size_t size = kBytes - 8 * sizeof(Word);
    ASSERT_TRUE(CopyFromGuest(to, words + skip, size));
    std::memcpy(copy.data(), to, size);
    bool mixed = false;  // the guest wrote while the copy was made
    for (std::size_t i = 0; i < kCount - 8; ++i) {
      torn |= copy[i] != kOld && copy[i] != kNew;
      mixed |= copy[i] != copy[0];
    }
    rounds.Count(mixed);
  }
  stop = true;
  guest.join();
  EXPECT_FALSE(torn);
}

TEST_F(SnapshotTest, WordsThatTheGuestRewritesAreNotTorn) {
  CheckNoTearing<std::uint64_t>();
  CheckNoTearing<std::uint32_t>();
  CheckNoTearing<std::uint16_t>();
}

// And the other way round: what is published word by word is seen word by word.
TEST_F(SnapshotTest, PublishedWordsAreNotTorn) {
  const Shared shared(kPageSize);
  auto* const words = reinterpret_cast<std::uint64_t*>(shared.data());
  std::array<Words, 2> values;
  values[0].fill(0);
  values[1].fill(~std::uint64_t{0});
  std::atomic<bool> stop{false};
  std::atomic<bool> torn{false};
  std::atomic<int> mixed{0};
  std::thread guest([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      const std::uint64_t first = __atomic_load_n(&words[0], __ATOMIC_RELAXED);
      bool differ = false;
      for (std::size_t i = 0; i < 64; ++i) {
        const std::uint64_t word = __atomic_load_n(&words[i], __ATOMIC_RELAXED);
        if (word != 0 && word != ~std::uint64_t{0}) torn = true;
        differ |= word != first;
      }
      mixed += differ ? 1 : 0;
    }
  });
  RaceRounds rounds(1);
  for (std::size_t round = 0; rounds.Go(); ++round) {
    ASSERT_TRUE(CopyToGuest(words, values[round % 2].data(), sizeof(Words)));
    rounds.Count(mixed.load(std::memory_order_relaxed) >= 500);
  }
  stop = true;
  guest.join();
  EXPECT_FALSE(torn);
}

// ---- the same, instruction by instruction --------------------------------------------------

constexpr std::byte kOldByte{0x11};
constexpr std::byte kNewByte{0xee};

// Runs `work` in a child, one instruction at a time, and calls `between` before each of them.
// False: there is no ptrace here.
template <typename Work, typename Between>
bool RunByInstructions(Work work, Between between) {
  const Shared page(kPageSize);
  volatile std::byte* const done = page.data();
  const pid_t child = fork();
  if (child == 0) {
    if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0) _exit(1);
    syscall(SYS_tgkill, getpid(), gettid(), SIGSTOP);
    work();
    *done = std::byte{1};
    _exit(0);
  }
  int status = 0;
  while (waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
    between();
    ptrace(*done == std::byte{0} ? PTRACE_SINGLESTEP : PTRACE_CONT, child, nullptr, nullptr);
  }
  return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

// Does each naturally aligned word of bytes [at, at + size) of the guest's side hold equal bytes?
// `bytes` starts at byte `at`.
bool WordsAreWhole(const std::byte* bytes, std::size_t at, std::size_t size) {
  for (std::size_t word = 8; word > 1; word /= 2) {
    for (std::size_t i = (at + word - 1) / word * word; i + word <= at + size; i += word) {
      for (std::size_t k = 1; k < word; ++k) {
        if (bytes[i - at + k] != bytes[i - at]) return false;
      }
    }
  }
  return true;
}

struct Stepped {
  std::size_t at;
  std::size_t size;
};
// Each part of the copy: the bytes before alignment, the loop of 64, words of 8, the tail.
constexpr Stepped kStepped[] = {{0, 8}, {0, 79},  {1, 79}, {2, 3}, {3, 12},
                                {4, 5}, {5, 150}, {6, 1},  {7, 8}};

// The guest rewrites all its memory between any two instructions of the copy: had a word been
// loaded in two parts, or loaded again, its parts would differ.
TEST_F(SnapshotTest, EachWordIsLoadedByOneInstruction) {
  const Shared shared(kPageSize);
  std::byte* const guest = shared.data();
  std::byte* const own = shared.data() + 2048;
  for (const auto [at, size] : kStepped) {
    int value = 0;  // a new one each time: one of two could be back at the second load
    const bool ran = RunByInstructions(
        [&] {
          if (!CopyFromGuest(own, guest + at, size)) _exit(1);
        },
        [&] {
          value = (value + 1) % 256;
          std::memset(guest, value, 256);
        });
    if (!ran) GTEST_SKIP() << "cannot trace a child here";
    EXPECT_TRUE(WordsAreWhole(own, at, size)) << at << "+" << size;
  }
}

// The guest looks between any two instructions.
TEST_F(SnapshotTest, EachWordIsStoredByOneInstruction) {
  const Shared shared(kPageSize);
  std::byte* const guest = shared.data();
  const std::vector<std::byte> own(256, kNewByte);
  for (const auto [at, size] : kStepped) {
    std::memset(guest, std::to_integer<int>(kOldByte), 256);
    bool whole = true;
    const bool ran = RunByInstructions(
        [&] {
          if (!CopyToGuest(guest + at, own.data(), size)) _exit(1);
        },
        [&] { whole &= WordsAreWhole(guest + at, at, size); });
    if (!ran) GTEST_SKIP() << "cannot trace a child here";
    EXPECT_TRUE(whole) << at << "+" << size;
    EXPECT_EQ(guest[at + size - 1], kNewByte);
    EXPECT_EQ(guest[at + size], kOldByte);
  }
}

TEST_F(SnapshotTest, TruncatedPagesMakeTheCopyFail) {
  const Shared shared(4 * kPageSize);
  std::memset(shared.data(), 0x5a, 4 * kPageSize);
  ASSERT_EQ(ftruncate(shared.file(), 2 * kPageSize), 0);
  std::vector<std::byte> own(4 * kPageSize);
  EXPECT_TRUE(CopyFromGuest(own.data(), shared.data(), 2 * kPageSize));
  EXPECT_EQ(own[2 * kPageSize - 1], std::byte{0x5a});
  // The fault may be met by a byte, a word, the loop, or the tail, on either side.
  for (const std::size_t size : {1, 2, 3, 4, 7, 8, 15, 64, 200}) {
    for (const std::size_t before : {0, 1, 2, 5, 8, 63, 64}) {
      std::byte* const edge = shared.data() + 2 * kPageSize - before;
      EXPECT_EQ(CopyFromGuest(own.data(), edge, size), size <= before);
      EXPECT_EQ(CopyToGuest(edge, own.data(), size), size <= before);
    }
  }
  EXPECT_FALSE(CopyFromGuest(own.data(), shared.data(), 4 * kPageSize));
  EXPECT_FALSE(CopyFromGuest(own.data(), shared.data() + 3 * kPageSize, kPageSize));
  ASSERT_EQ(ftruncate(shared.file(), 4 * kPageSize), 0);  // the memory is back, as zeros
  EXPECT_TRUE(CopyFromGuest(own.data(), shared.data(), 4 * kPageSize));
  EXPECT_EQ(own[3 * kPageSize], std::byte{0});
}

TEST_F(SnapshotTest, PunchedHolesReadAsZero) {
  const Shared shared(2 * kPageSize);
  std::memset(shared.data(), 0x5a, 2 * kPageSize);
  ASSERT_EQ(fallocate(shared.file(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, kPageSize), 0);
  std::array<std::byte, 16> own{};
  EXPECT_TRUE(CopyFromGuest(own.data(), shared.data() + kPageSize - 8, 16));
  EXPECT_EQ(own[0], std::byte{0});
  EXPECT_EQ(own[15], std::byte{0x5a});
}

// Protection and unmapping give SIGSEGV instead of SIGBUS.
TEST_F(SnapshotTest, ProtectedAndUnmappedPagesMakeTheCopyFail) {
  const Shared shared(2 * kPageSize);
  std::array<std::byte, 64> own{};
  ASSERT_EQ(mprotect(shared.data() + kPageSize, kPageSize, PROT_READ), 0);
  EXPECT_TRUE(CopyFromGuest(own.data(), shared.data() + kPageSize - 8, 64));
  EXPECT_FALSE(CopyToGuest(shared.data() + kPageSize - 8, own.data(), 64));
  ASSERT_EQ(mprotect(shared.data() + kPageSize, kPageSize, PROT_NONE), 0);
  EXPECT_FALSE(CopyFromGuest(own.data(), shared.data() + kPageSize - 8, 64));
  ASSERT_EQ(munmap(shared.data() + kPageSize, kPageSize), 0);
  EXPECT_FALSE(CopyFromGuest(own.data(), shared.data() + kPageSize - 8, 64));
}

TEST_F(SnapshotTest, ManyThreadsFaultAtOnce) {
  const Shared shared(2 * kPageSize);
  ASSERT_EQ(ftruncate(shared.file(), kPageSize), 0);
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      std::array<std::byte, 128> own{};
      for (int i = 0; i < 300; ++i) {
        if (CopyFromGuest(own.data(), shared.data() + kPageSize - 64, 128)) ++wrong;
        if (!CopyFromGuest(own.data(), shared.data() + kPageSize - 128, 128)) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
}

// ---- nesting and foreign faults ------------------------------------------------------------

const std::byte* g_vanished = nullptr;
volatile sig_atomic_t g_nested_failed = 0;

void CopyInHandler(int) {
  std::array<std::byte, 8> own;
  g_nested_failed = CopyFromGuest(own.data(), g_vanished, own.size()) ? 0 : 1;
}

TEST_F(SnapshotTest, ACopyInASignalHandlerMayFaultToo) {
#ifdef __SANITIZE_THREAD__
  GTEST_SKIP() << "this sanitizer runs handlers with all signals blocked";
#endif
  const Shared shared(kPageSize);
  ASSERT_EQ(ftruncate(shared.file(), 0), 0);
  g_vanished = shared.data();
  struct sigaction action {};
  struct sigaction old {};
  action.sa_handler = CopyInHandler;
  sigaction(SIGUSR1, &action, &old);
  raise(SIGUSR1);
  sigaction(SIGUSR1, &old, nullptr);
  EXPECT_EQ(g_nested_failed, 1);
  std::byte own;
  EXPECT_FALSE(CopyFromGuest(&own, shared.data(), 1));
}

void ExitWithSignal(int signal_number, siginfo_t*, void*) { _exit(40 + signal_number); }
void ExitPlainly(int) { _exit(99); }

// Each of these runs alone in a fresh process, so that the handler is not installed yet.
class ForeignFaultTest : public testing::Test {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "threadsafe"); }
  static void Handle(int signal_number, void (*handler)(int, siginfo_t*, void*)) {
    struct sigaction action {};
    action.sa_sigaction = handler;
    action.sa_flags = SA_SIGINFO;
    sigaction(signal_number, &action, nullptr);
  }
  static void ReadNull() {
    static volatile int* volatile null = nullptr;
    static_cast<void>(*null);
  }
};

TEST_F(ForeignFaultTest, GoesToTheHandlerThatWasThere) {
  EXPECT_EXIT(
      {
        Handle(SIGSEGV, ExitWithSignal);
        if (!InstallFaultHandler().ok() || !InstallFaultHandler().ok()) _exit(1);
        ReadNull();
      },
      testing::ExitedWithCode(40 + SIGSEGV), "");
  EXPECT_EXIT(
      {
        signal(SIGBUS, ExitPlainly);
        if (!InstallFaultHandler().ok()) _exit(1);
        const Shared shared(kPageSize);
        if (ftruncate(shared.file(), 0) != 0) _exit(1);
        static_cast<void>(*static_cast<volatile std::byte*>(shared.data()));
      },
      testing::ExitedWithCode(99), "");
}

// A null pointer on the private side is our bug: it must not pass for a vanished page.
TEST_F(ForeignFaultTest, TheCopysPrivateSideIsForeign) {
  EXPECT_EXIT(
      {
        Handle(SIGSEGV, ExitWithSignal);
        if (!InstallFaultHandler().ok()) _exit(1);
        const Shared shared(kPageSize);
        static void* volatile null = nullptr;
        _exit(CopyFromGuest(null, shared.data(), 8) ? 2 : 3);
      },
      testing::ExitedWithCode(40 + SIGSEGV), "");
}

#ifndef VTEE_TEST_SANITIZED  // the sanitizers have handlers of their own
TEST_F(ForeignFaultTest, DefaultActionStaysDeadly) {
  EXPECT_EXIT(
      {
        if (!InstallFaultHandler().ok()) _exit(1);
        ReadNull();
      },
      testing::KilledBySignal(SIGSEGV), "");
  EXPECT_EXIT(
      {
        signal(SIGSEGV, SIG_IGN);
        if (!InstallFaultHandler().ok()) _exit(1);
        ReadNull();
      },
      testing::KilledBySignal(SIGSEGV), "");
  EXPECT_EXIT(
      {
        if (!InstallFaultHandler().ok()) _exit(1);
        kill(getpid(), SIGBUS);
        pause();
      },
      testing::KilledBySignal(SIGBUS), "");
}

TEST_F(ForeignFaultTest, AnIgnoredSignalFromAProcessStaysIgnored) {
  EXPECT_EXIT(
      {
        signal(SIGBUS, SIG_IGN);
        if (!InstallFaultHandler().ok()) _exit(1);
        kill(getpid(), SIGBUS);
        _exit(5);
      },
      testing::ExitedWithCode(5), "");
}
#endif

}  // namespace
}  // namespace vtee::guest
