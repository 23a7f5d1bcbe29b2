// SPDX-License-Identifier: BSD-3-Clause
// A store in a process that runs out of memory.
#include <gtest/gtest.h>

#include "base/memory.h"
#include "base/test_allocations.h"
#include "ta/storage/sqlite_store.h"
#include "ta/storage/test_store.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

// Whatever allocation fails inside of a step, the step happens as a whole or not at all.
TEST(StoreAllocation, FailsAtEachPlace) {
  const std::vector<Content> expected = ExpectedContent();
  const TestDir dir;
  auto store = MustOpen(TestOptions(dir / "vm"));
  ASSERT_NE(store, nullptr);
  for (std::size_t step = 0; step < kTestSteps; ++step) {
    for (std::uint64_t nth = 1;; ++nth) {
      bool happened = false;
      {
        const FailNthAllocation fail(nth);
        const bool worked = WithinMemory(
            [&] { EXPECT_EQ(TestStep(*store, static_cast<int>(step)), code::kSuccess); });
        happened = fail.happened();
        EXPECT_TRUE(worked || happened);
      }
      const auto content = ContentOf(*store);
      ASSERT_TRUE(content) << step << ", " << nth;
      if (*content == expected[step + 1]) break;
      ASSERT_TRUE(happened && *content == expected[step]) << step << ", " << nth;
    }
  }
  store.reset();
  store = MustOpen(TestOptions(dir / "vm"));
  ASSERT_NE(store, nullptr);
  EXPECT_EQ(ContentOf(*store), expected.back());
}

}  // namespace
}  // namespace vtee::ta
