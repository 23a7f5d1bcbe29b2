// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/state_backup.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>

#include "ta/storage/test_kill.h"
#include "ta/storage/test_state.h"

namespace vtee::ta {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class StateBackup : public testing::Test {
 protected:
  void SetUp() override {
    AddObject(vm_, "a");
    AddObject(vm_, "b");
  }

  std::string BackUp(bool with_key = true) {
    const auto done = BackUpState({vm_, file_, "", with_key});
    return done.ok() ? "" : done.error().message;
  }
  std::string RestoreTo(const std::string& folder, bool accept_rollback = false,
                        const std::string& key = "") {
    const auto done = RestoreState({file_, folder, key, accept_rollback});
    return done.ok() ? "" : done.error().message;
  }
  void Remove(const std::string& folder) {
    for (const char* part : {"", ".anchor", ".key"}) fs::remove_all(folder + part);
  }
  // Nothing but the names given is in the folder of the test.
  void ExpectOnly(const std::vector<std::string>& names) {
    std::vector<std::string> there;
    for (const auto& entry : fs::directory_iterator(dir_ / "")) {
      there.push_back(entry.path().filename());
    }
    EXPECT_THAT(there, testing::UnorderedElementsAreArray(names));
  }

  TestDir dir_;
  const std::string vm_ = dir_ / "vm";
  const std::string file_ = dir_ / "backup.tar";
};

TEST_F(StateBackup, ComesBackAfterALoss) {
  ASSERT_EQ(BackUp(), "");
  struct stat status {};
  ASSERT_EQ(stat(file_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 07777, 0600U);
  Remove(vm_);
  EXPECT_THAT(RestoreTo(vm_), AllOf(HasSubstr("no anchor"), HasSubstr("add --accept-rollback")));
  ExpectOnly({"backup.tar"});
  ASSERT_EQ(RestoreTo(vm_, true), "");
  ExpectOnly({"backup.tar", "vm", "vm.anchor", "vm.key"});
  EXPECT_FALSE(fs::exists(vm_ + "/key"));
  EXPECT_FALSE(fs::exists(vm_ + "/anchor"));
  for (const char* part : {"/root.sealed", "/objects.db", ".anchor", ".key"}) {
    ASSERT_EQ(stat((vm_ + part).c_str(), &status), 0) << part;
    EXPECT_EQ(status.st_mode & 07777, 0600U) << part;
  }
  EXPECT_EQ(ObjectsIn(vm_), 2U);
  AddObject(vm_, "c");
  EXPECT_EQ(ObjectsIn(vm_), 3U);
}

TEST_F(StateBackup, AVmThatWasKilledLeavesItsLog) {
  const auto killed = KillAtCall(100000, [&] {
    auto store = OpenState(vm_, vm_ + ".key");
    static_cast<void>(store->get()->Create(TestKey("c"), TestRecord(), {}, false));
    ::_exit(0);
  });
  if (killed == Killed::kCannot) GTEST_SKIP() << "processes cannot be traced here";
  ASSERT_TRUE(fs::exists(vm_ + "/objects.db-wal"));
  ASSERT_EQ(BackUp(), "");
  Remove(vm_);
  ASSERT_EQ(RestoreTo(vm_, true), "");
  EXPECT_EQ(ObjectsIn(vm_), 3U);
}

TEST_F(StateBackup, OfTheNewestStateIsNoRollback) {
  ASSERT_EQ(BackUp(), "");
  fs::remove_all(vm_);
  const auto done = RestoreState({file_, vm_, "", false});
  ASSERT_TRUE(done.ok()) << done.error().message;
  EXPECT_EQ(done->vm, TestUuid(7));
  EXPECT_EQ(done->epoch, 3U);
  EXPECT_TRUE(done->checked);
  EXPECT_EQ(ObjectsIn(vm_), 2U);
}

TEST_F(StateBackup, AForgedAnchorDoesNotMakeItTheNewest) {
  ASSERT_EQ(BackUp(), "");
  fs::copy(vm_ + ".anchor", dir_ / "old");
  AddObject(vm_, "c");
  fs::remove_all(vm_);
  // The newer value in both slots, changed to claim the older one.
  SecretBytes forged = BytesOf(dir_ / "old");
  for (const std::size_t slot : {0U, 4096U}) forged[slot + 100] ^= std::byte{1};
  PutBytes(vm_ + ".anchor", forged);
  EXPECT_THAT(RestoreTo(vm_), HasSubstr("damaged or was made with another key"));
  EXPECT_FALSE(fs::exists(vm_));
}

TEST_F(StateBackup, OfAnOlderStateIsARollback) {
  ASSERT_EQ(BackUp(), "");
  AddObject(vm_, "c");
  fs::rename(vm_, dir_ / "newer");
  EXPECT_THAT(RestoreTo(vm_), AllOf(HasSubstr("the backup has state 3"), HasSubstr("knows state 4"),
                                    HasSubstr("add --accept-rollback")));
  EXPECT_FALSE(fs::exists(vm_));
  ASSERT_EQ(RestoreTo(vm_, true), "");
  EXPECT_EQ(ObjectsIn(vm_), 2U);
  // The line of history that was left is closed, at the same length, too.
  AddObject(vm_, "d");
  fs::rename(vm_, dir_ / "restored");
  fs::rename(dir_ / "newer", vm_);
  EXPECT_THAT(StateRefusal(vm_), HasSubstr("does not follow"));
}

TEST_F(StateBackup, ARollbackNeedsTheRightKey) {
  ASSERT_EQ(BackUp(false), "");
  fs::rename(vm_ + ".key", dir_ / "key");
  Remove(vm_);
  EXPECT_THAT(RestoreTo(vm_, true), HasSubstr("needs the host's key"));
  PutBytes(dir_ / "other", TestBytes(32, 77));
  fs::permissions(dir_ / "other", fs::perms(0600));
  EXPECT_THAT(RestoreTo(vm_, true, dir_ / "other"), HasSubstr("cannot be opened with this host"));
  EXPECT_THAT(RestoreTo(vm_, true, dir_ / "none"), HasSubstr("cannot open the host key"));
  ExpectOnly({"backup.tar", "key", "other"});
  ASSERT_EQ(RestoreTo(vm_, true, dir_ / "key"), "");
  EXPECT_FALSE(fs::exists(vm_ + ".key")) << "the key stays where it is";
  EXPECT_TRUE(OpenState(vm_, dir_ / "key").ok());
}

TEST_F(StateBackup, WithoutTheKeyTheNewestIsTakenUnchecked) {
  ASSERT_EQ(BackUp(false), "");
  fs::remove_all(vm_);
  fs::rename(vm_ + ".key", dir_ / "key");
  const auto done = RestoreState({file_, vm_, "", false});
  ASSERT_TRUE(done.ok()) << done.error().message;
  EXPECT_FALSE(done->checked);
  EXPECT_TRUE(OpenState(vm_, dir_ / "key").ok());
}

TEST_F(StateBackup, ANewStateHasOnlyItsRoot) {
  Remove(vm_);
  ASSERT_TRUE(StateKey::Open(vm_, TestUuid(7), ReadHostKey(vm_ + ".key", true).value()).ok());
  ASSERT_EQ(BackUp(), "");
  Remove(vm_);
  ASSERT_EQ(RestoreTo(vm_, true), "");
  EXPECT_EQ(ObjectsIn(vm_), 0U);
}

TEST_F(StateBackup, IsRefusedWhenItCannotBeWhole) {
  {
    const auto running = MustOpenState(vm_);
    EXPECT_THAT(BackUp(), AllOf(HasSubstr("web) uses"), HasSubstr("stop the other one first")));
  }
  fs::rename(vm_ + ".anchor", dir_ / "anchor");
  EXPECT_THAT(BackUp(), HasSubstr("is missing"));
  fs::rename(dir_ / "anchor", vm_ + ".anchor");
  fs::rename(vm_ + ".key", dir_ / "key");
  EXPECT_THAT(BackUp(), AllOf(HasSubstr("cannot open the host key"), HasSubstr("--without-key")));
  fs::rename(dir_ / "key", vm_ + ".key");
  fs::rename(vm_ + "/root.sealed", dir_ / "root");
  EXPECT_THAT(BackUp(), HasSubstr("is no state folder of vtee"));
  PutBytes(vm_ + "/root.sealed", TestBytes(100, 1));
  EXPECT_THAT(BackUp(), HasSubstr("damaged or not vtee's"));
  fs::rename(dir_ / "root", vm_ + "/root.sealed");
  ExpectOnly({"vm", "vm.anchor", "vm.key"});
  PutBytes(file_, TestBytes(1, 1));
  EXPECT_THAT(BackUp(), HasSubstr("is there already"));
  EXPECT_EQ(fs::file_size(file_), 1U);
  fs::remove(file_);
  EXPECT_EQ(BackUp(), "");
}

TEST_F(StateBackup, DoesNotReplaceWhatIsThere) {
  ASSERT_EQ(BackUp(), "");
  EXPECT_THAT(RestoreTo(vm_, true),
              AllOf(HasSubstr("is there and not empty"), HasSubstr("vtee state destroy")));
  PutBytes(dir_ / "plain", {});
  EXPECT_THAT(RestoreTo(dir_ / "plain", true), HasSubstr("is there and not empty"));
  EXPECT_EQ(ObjectsIn(vm_), 2U);
  fs::create_directory(dir_ / "empty");
  EXPECT_EQ(RestoreTo(dir_ / "empty", true), "");
  EXPECT_EQ(ObjectsIn(dir_ / "empty"), 2U);
}

TEST_F(StateBackup, AForeignAnchorOrKeyIsLeftAlone) {
  ASSERT_EQ(BackUp(), "");
  const std::string other = dir_ / "other";
  FileAnchor anchor(other + ".anchor", TestUuid(9), TestBytes(32, 1));
  ASSERT_TRUE(anchor.Advance({5, {}}).ok());
  EXPECT_THAT(RestoreTo(other, true), HasSubstr("restore to a folder of its own"));
  EXPECT_EQ(anchor.Read()->epoch, 5U);
  PutBytes(other + ".anchor", TestBytes(8192, 1));
  EXPECT_THAT(RestoreTo(other, true), HasSubstr("is damaged"));
  fs::remove(other + ".anchor");
  ASSERT_TRUE(ReadHostKey(other + ".key", true).ok());
  EXPECT_THAT(RestoreTo(other, true), HasSubstr("is another key than the backup's"));
  ExpectOnly({"vm", "vm.anchor", "vm.key", "backup.tar", "other.key"});
}

TEST_F(StateBackup, ATruncatedOrLongerFileIsRefused) {
  ASSERT_EQ(BackUp(), "");
  const SecretBytes good = BytesOf(file_);
  for (std::size_t size = 0; size < good.size(); size += size < 2048 ? 61 : 509) {
    PutBytes(file_, ConstBytes(good).first(size));
    EXPECT_THAT(RestoreTo(dir_ / "x", true), HasSubstr("is no whole backup")) << size;
  }
  PutBytes(file_, ConstBytes(good).first(good.size() - 1));
  EXPECT_THAT(RestoreTo(dir_ / "x", true), HasSubstr("is no whole backup"));
  SecretBytes longer = good;
  longer.resize(good.size() + 512);
  PutBytes(file_, longer);
  EXPECT_THAT(RestoreTo(dir_ / "x", true), HasSubstr("is no whole backup"));
  ExpectOnly({"vm", "vm.anchor", "vm.key", "backup.tar"});
  PutBytes(file_, good);
  EXPECT_EQ(RestoreTo(dir_ / "x", true), "");
}

TEST_F(StateBackup, NoFlippedBitIsTaken) {
  ASSERT_EQ(BackUp(), "");
  const SecretBytes good = BytesOf(file_);
  for (std::size_t i = 0; i < good.size(); i += i < 1024 || i > good.size() - 2048 ? 1 : 37) {
    SecretBytes bad = good;
    bad[i] ^= static_cast<std::byte>(1U << i % 8);
    PutBytes(file_, bad);
    EXPECT_NE(RestoreTo(dir_ / "x", true), "") << i;
  }
  ExpectOnly({"vm", "vm.anchor", "vm.key", "backup.tar"});
}

TEST_F(StateBackup, AFullDiskLeavesNothing) {
  ASSERT_EQ(BackUp(), "");
  fs::rename(file_, dir_ / "good.tar");
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  for (const rlim_t size : {0U, 600U, 20000U}) {
    const rlimit small{size, limit.rlim_max};
    ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
    const auto made = BackUpState({vm_, file_, "", true});
    const auto restored = RestoreState({dir_ / "good.tar", dir_ / "x", "", true});
    setrlimit(RLIMIT_FSIZE, &limit);
    ASSERT_FALSE(made.ok() || restored.ok()) << size;
    EXPECT_THAT(made.error().message, HasSubstr("cannot write"));
    EXPECT_THAT(restored.error().message, HasSubstr("cannot write"));
    EXPECT_EQ(made.error().code, ErrorCode::kSystem);
    ExpectOnly({"vm", "vm.anchor", "vm.key", "good.tar"});
  }
  EXPECT_EQ(BackUp(), "");
}

TEST_F(StateBackup, KilledAtEachCallItIsThereAsAWholeOrNot) {
  ASSERT_EQ(BackUp(), "");
  const SecretBytes good = BytesOf(file_);
  Killed killed = Killed::kYes;
  int calls = 1;
  for (; killed == Killed::kYes && !HasFailure(); ++calls) {
    fs::remove(file_);
    killed = KillAtCall(calls, [&] { static_cast<void>(BackUp()); });
    if (killed == Killed::kCannot) GTEST_SKIP() << "processes cannot be traced here";
    EXPECT_TRUE(!fs::exists(file_) || BytesOf(file_) == good) << calls;
  }
  EXPECT_TRUE(fs::exists(file_));
  EXPECT_GT(calls, 30);
  EXPECT_EQ(ObjectsIn(vm_), 2U);
}

TEST_F(StateBackup, ARestoreKilledAtEachCallCanBeDoneAgain) {
  ASSERT_EQ(BackUp(), "");
  AddObject(vm_, "c");
  fs::copy(vm_ + ".anchor", dir_ / "anchor");
  Killed killed = Killed::kYes;
  int calls = 1;
  for (; killed == Killed::kYes && !HasFailure(); ++calls) {
    Remove(vm_);
    fs::copy(dir_ / "anchor", vm_ + ".anchor");
    killed = KillAtCall(calls, [&] { static_cast<void>(RestoreTo(vm_, true)); });
    if (killed == Killed::kCannot) GTEST_SKIP() << "processes cannot be traced here";
    ASSERT_EQ(fs::exists(vm_) ? "" : RestoreTo(vm_, true), "") << calls;
    ASSERT_EQ(ObjectsIn(vm_), 2U) << calls;
    ASSERT_FALSE(fs::exists(vm_ + ".restoring")) << calls;
  }
  EXPECT_GT(calls, 50);
}

}  // namespace
}  // namespace vtee::ta
