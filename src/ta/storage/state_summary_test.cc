// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/state_summary.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ta/storage/test_kill.h"
#include "ta/storage/test_state.h"

namespace vtee::ta {
namespace {

namespace fs = std::filesystem;
using std::chrono::system_clock;
using testing::ElementsAre;
using testing::HasSubstr;

class Summary : public testing::Test {
 protected:
  void SetUp() override { AddObject(vm_, "a"); }
  TestDir dir_;
  const std::string vm_ = dir_ / "vm";
};

TEST_F(Summary, CountsWithoutTheKey) {
  {
    const auto store = MustOpenState(vm_);
    ASSERT_EQ(store->Create(TestKey("b", 2), TestRecord(), TestBytes(100, 1), false), 0U);
    ASSERT_EQ(store->Create(TestKey("c", 2), TestRecord(), {}, false), 0U);
  }
  fs::remove(vm_ + ".key");
  const StateSummary state = Summarize(vm_ + "/");
  EXPECT_EQ(state.folder, vm_);
  EXPECT_EQ(state.vm, TestUuid(7));
  EXPECT_EQ(state.vm_name, "web");
  EXPECT_EQ(state.format, 1U);
  ASSERT_TRUE(state.counts);
  EXPECT_EQ(state.counts->applications, 2U);
  EXPECT_EQ(state.counts->objects, 3U);
  EXPECT_EQ(state.counts->bytes, 3 * (256 + 40) + 700U);
  EXPECT_FALSE(state.in_use);
  EXPECT_EQ(state.problem, "");
  ASSERT_TRUE(state.last_used);
  EXPECT_LT(system_clock::now() - *state.last_used, std::chrono::minutes(10));
}

TEST_F(Summary, OfAStateInUseCountsNothing) {
  const auto running = MustOpenState(vm_);
  const StateSummary state = Summarize(vm_);
  EXPECT_TRUE(state.in_use);
  EXPECT_EQ(state.process, ::getpid());
  EXPECT_FALSE(state.counts);
  EXPECT_EQ(state.vm, TestUuid(7));
}

TEST_F(Summary, ChangesNothing) {
  const auto killed = KillAtCall(100000, [&] {
    auto store = OpenState(vm_, vm_ + ".key");
    static_cast<void>(store->get()->Create(TestKey("c"), TestRecord(), {}, false));
    ::_exit(0);  // and leaves the log
  });
  if (killed == Killed::kCannot) GTEST_SKIP() << "processes cannot be traced here";
  std::map<std::string, SecretBytes> before, after;
  for (const auto& file : fs::directory_iterator(vm_)) before[file.path()] = BytesOf(file.path());
  ASSERT_EQ(before.count(vm_ + "/objects.db-wal"), 1U);
  EXPECT_EQ(Summarize(vm_).counts->objects, 2U);
  for (const auto& file : fs::directory_iterator(vm_)) after[file.path()] = BytesOf(file.path());
  EXPECT_EQ(before, after);
  EXPECT_EQ(ObjectsIn(vm_), 2U);
}

TEST_F(Summary, SaysWhatIsWrong) {
  PutBytes(vm_ + "/objects.db", TestBytes(8000, 1));
  EXPECT_THAT(Summarize(vm_).problem, HasSubstr("is damaged or no store of vtee"));
  PutBytes(vm_ + "/objects.db", {});
  EXPECT_THAT(Summarize(vm_).problem, HasSubstr("is damaged or no store of vtee"));
  PutBytes(vm_ + "/root.sealed", TestBytes(90, 1));
  EXPECT_THAT(Summarize(vm_).problem, HasSubstr("root.sealed is damaged"));
  fs::remove(vm_ + "/root.sealed");
  EXPECT_THAT(Summarize(vm_).problem, HasSubstr("root.sealed is missing"));
}

TEST_F(Summary, ANoteThatIsNoneIsNotShown) {
  for (const char* text : {"", "x", "-5 web", "12web", "99999999999999999999 web"}) {
    PutBytes(vm_ + "/lock", std::as_bytes(std::span(std::string_view(text))));
    EXPECT_EQ(Summarize(vm_).vm_name, "") << text;
  }
  PutBytes(vm_ + "/lock", std::as_bytes(std::span(std::string_view("12 a\x1b[2Jb"))));
  EXPECT_EQ(Summarize(vm_).vm_name, "a?[2Jb");
}

TEST_F(Summary, FindsStatesInAFolder) {
  AddObject(dir_ / "other", "a");
  fs::create_directory(dir_ / "photos");
  EXPECT_THAT(FindStates(dir_ / "").value(), ElementsAre(dir_ / "other", vm_));
  EXPECT_THAT(FindStates(vm_).value(), ElementsAre(vm_));
  EXPECT_TRUE(FindStates(dir_ / "photos")->empty());
  EXPECT_EQ(FindStates(dir_ / "none").error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace vtee::ta
