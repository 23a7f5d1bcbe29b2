// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/state_destroy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ta/storage/test_kill.h"
#include "ta/storage/test_state.h"

namespace vtee::ta {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

std::string Destroyed(const std::string& folder) {
  const Status status = DestroyState(folder);
  return status.ok() ? "" : status.error().message;
}

class StateDestroy : public testing::Test {
 protected:
  void SetUp() override { AddObject(vm_, "a"); }
  bool Gone() {
    return !fs::exists(vm_) && !fs::exists(vm_ + ".anchor") && !fs::exists(vm_ + ".key");
  }

  TestDir dir_;
  const std::string vm_ = dir_ / "vm";
};

TEST_F(StateDestroy, LeavesNothing) {
  EXPECT_EQ(Destroyed(vm_ + "/"), "");
  EXPECT_TRUE(fs::is_empty(dir_ / ""));
}

TEST_F(StateDestroy, OverwritesTheRootKeyInPlace) {
  const SecretBytes sealed = BytesOf(vm_ + "/root.sealed");
  fs::create_hard_link(vm_ + "/root.sealed", dir_ / "blocks");
  fs::create_hard_link(vm_ + ".key", dir_ / "key");
  EXPECT_EQ(Destroyed(vm_), "");
  EXPECT_EQ(BytesOf(dir_ / "blocks"), SecretBytes(sealed.size()));
  EXPECT_EQ(BytesOf(dir_ / "key"), SecretBytes(32));
}

TEST_F(StateDestroy, RefusesWhatIsInUseOrForeign) {
  {
    const auto running = MustOpenState(vm_);
    EXPECT_THAT(Destroyed(vm_), HasSubstr("stop the other one first"));
  }
  EXPECT_EQ(ObjectsIn(vm_), 1U);
  fs::create_directory(dir_ / "photos");
  PutBytes(dir_ / "photos/one", TestBytes(10, 1));
  EXPECT_THAT(Destroyed(dir_ / "photos"), HasSubstr("is no state folder of vtee"));
  EXPECT_THAT(Destroyed(dir_ / "none"), HasSubstr("is no state folder of vtee"));
  EXPECT_TRUE(fs::exists(dir_ / "photos/one"));
}

TEST_F(StateDestroy, LeavesTheFilesOfOthersAndSaysSo) {
  PutBytes(vm_ + "/notes", TestBytes(10, 1));
  EXPECT_THAT(Destroyed(vm_), HasSubstr("the state is destroyed"));
  EXPECT_FALSE(fs::exists(vm_ + "/objects.db"));
  EXPECT_TRUE(fs::exists(vm_ + "/notes"));
}

TEST_F(StateDestroy, KilledAtEachCallItCanBeDoneAgain) {
  Killed killed = Killed::kYes;
  int calls = 1;
  bool unreadable = false;
  for (; killed == Killed::kYes && !HasFailure(); ++calls) {
    if (!fs::exists(vm_)) AddObject(vm_, "a");
    killed = KillAtCall(calls, [&] { static_cast<void>(DestroyState(vm_)); });
    if (killed == Killed::kCannot) GTEST_SKIP() << "processes cannot be traced here";
    // No file goes before the root cannot be opened any more.
    if (fs::exists(vm_ + "/objects.db")) {
      unreadable = unreadable || !StateRefusal(vm_).empty();
      EXPECT_TRUE(unreadable || ObjectsIn(vm_) == 1U) << calls;
    }
    EXPECT_EQ(fs::exists(vm_) ? Destroyed(vm_) : "", "") << calls;
    EXPECT_TRUE(Gone()) << calls;
  }
  EXPECT_TRUE(unreadable) << "the objects went before the key";
  EXPECT_GT(calls, 15);
}

}  // namespace
}  // namespace vtee::ta
