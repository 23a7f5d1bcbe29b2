// SPDX-License-Identifier: BSD-3-Clause
// A process is killed at each of its system calls, from the first start on. Whatever it had been
// told was done is there afterwards, and nothing is half done.
#include <gtest/gtest.h>
#include <sys/mman.h>

#include <atomic>

#include "ta/storage/sqlite_store.h"
#include "ta/storage/state_key.h"
#include "ta/storage/test_kill.h"
#include "ta/storage/test_store.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

// Shared with the process that is killed.
struct Progress {
  std::atomic<int> done{0};
  std::atomic<bool> finished{false};
};

Result<std::unique_ptr<SqliteStore>> OpenVm(const std::string& dir) {
  VTEE_ASSIGN_OR_RETURN(const auto key, StateKey::Open(dir, TestUuid(7), TestBytes(32, 1)));
  SqliteStoreOptions options = TestOptions(dir);
  options.root_key = key.Derive("storage");
  return SqliteStore::Open(std::move(options));
}

void RunSteps(const std::string& dir, Progress& progress) {
  auto store = OpenVm(dir);
  if (!store.ok()) return;
  for (int step = 0; step < kTestSteps; ++step) {
    if (TestStep(**store, step) != code::kSuccess) return;
    progress.done = step + 1;
  }
  store->reset();
  progress.finished = true;
}

TEST(StoreCrash, AtEachSystemCall) {
  void* shared =
      ::mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  ASSERT_NE(shared, MAP_FAILED);
  const std::vector<Content> expected = ExpectedContent();
  bool finished = false;
  int calls = 1;
  for (; !finished && !testing::Test::HasFailure(); ++calls) {
    const TestDir dir;
    auto* progress = new (shared) Progress;
    const auto killed = KillAtCall(calls, [&] { RunSteps(dir / "vm", *progress); });
    if (killed == Killed::kCannot) GTEST_SKIP() << "processes cannot be traced here";
    finished = progress->finished;
    const auto done = static_cast<std::size_t>(progress->done.load());
    auto store = OpenVm(dir / "vm");
    ASSERT_TRUE(store.ok()) << "call " << calls << ": " << store.error().message;
    const auto content = ContentOf(**store);
    ASSERT_TRUE(content) << calls;
    EXPECT_TRUE(*content == expected[done] ||
                (done < expected.size() - 1 && *content == expected[done + 1]))
        << "call " << calls << ", after step " << done;
  }
  EXPECT_GT(calls, 50);
  ::munmap(shared, sizeof(Progress));
}

}  // namespace
}  // namespace vtee::ta
