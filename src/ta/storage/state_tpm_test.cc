// SPDX-License-Identifier: BSD-3-Clause
// States whose key is sealed to a TPM and whose anchor goes with its counter, on a TPM in a
// process.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ta/storage/state_backup.h"
#include "ta/storage/state_destroy.h"
#include "ta/storage/test_state.h"
#include "ta/storage/test_tpm.h"
#include "ta/storage/tpm_counter.h"

namespace vtee::ta {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

class StateTpm : public testing::Test {
 protected:
  void SetUp() override {
    if (!SoftTpm::Available()) GTEST_SKIP() << "no swtpm or no tpm2-tss here";
    soft_.emplace(dir_ / "tpm");
    ASSERT_TRUE(soft_->on());
  }
  std::string Key() const { return "tpm:" + soft_->tcti(); }

  Result<std::unique_ptr<SqliteStore>> Open(const std::string& folder, std::uint32_t every = 1) {
    VTEE_ASSIGN_OR_RETURN(const SecretBytes host, OpenHostKey(Key(), folder, true));
    VTEE_ASSIGN_OR_RETURN(const StateKey root, StateKey::Open(folder, TestUuid(7), host));
    SqliteStoreOptions options = TestOptions(folder);
    options.root_key = root.Derive(kStorageLabel);
    options.counting.every = every;
    options.counting.counter = std::make_unique<TpmCounter>(
        TpmOf(Key()).value(), root.Derive(kCounterLabel, TpmCounter::kKeyBytes));
    return SqliteStore::Open(std::move(options));
  }
  std::string Refused(const std::string& folder) {
    const auto store = Open(folder);
    return store.ok() ? "" : store.error().message;
  }
  void Add(const std::string& folder, const std::string& id, std::uint32_t every = 1) {
    const auto store = Open(folder, every);
    ASSERT_TRUE(store.ok()) << store.error().message;
    EXPECT_EQ((*store)->Create(TestKey(id), TestRecord(), {}, false), tee::code::kSuccess);
  }
  std::size_t Objects(const std::string& folder) {
    const auto store = Open(folder);
    EXPECT_TRUE(store.ok()) << store.error().message;
    return store.ok() ? ContentOf(**store)->size() : 0;
  }
  // The folder and what is beside it, as a snapshot of the disk has it.
  void Copy(const std::string& from, const std::string& to) {
    for (const char* part : {"", ".anchor"}) {
      fs::remove_all(to + part);
      fs::copy(from + part, to + part, fs::copy_options::recursive);
    }
  }

  TestDir dir_;
  std::optional<SoftTpm> soft_;
  const std::string vm_ = dir_ / "vm";
};

TEST_F(StateTpm, IsThereAgainAfterAPowerCycle) {
  Add(vm_, "a");
  soft_->Off();
  EXPECT_THAT(Refused(vm_), HasSubstr("cannot be reached"));
  soft_->On();
  EXPECT_EQ(Objects(vm_), 1U);
  EXPECT_FALSE(fs::exists(vm_ + ".key")) << "no key lies on the disk";
}

TEST_F(StateTpm, AllFilesPutBackAreRefused) {
  Add(vm_, "a");
  Copy(vm_, dir_ / "old");
  Add(vm_, "b");
  Copy(dir_ / "old", vm_);
  EXPECT_THAT(Refused(vm_), AllOf(HasSubstr("is older than what the VM last used"),
                                  HasSubstr("--accept-rollback")));
}

TEST_F(StateTpm, FewerChangesThanABatchCanBeTakenBack) {
  Add(vm_, "a", 4);
  auto store = Open(vm_, 4);
  ASSERT_TRUE(store.ok());
  const auto create = [&](const char* id) {
    EXPECT_EQ((*store)->Create(TestKey(id), TestRecord(), {}, false), tee::code::kSuccess);
  };
  create("b");  // the first since the start
  Copy(vm_, dir_ / "first");
  create("c");
  create("d");
  create("e");
  create("f");  // the fourth after that
  Copy(vm_, dir_ / "fifth");
  create("g");
  store->reset();
  Copy(vm_, dir_ / "newest");
  Copy(dir_ / "first", vm_);
  EXPECT_THAT(Refused(vm_), HasSubstr("is older"));
  Copy(dir_ / "fifth", vm_);  // which is the price of a batch
  EXPECT_EQ(Refused(vm_), "");
  Add(vm_, "h", 4);
  Copy(dir_ / "newest", vm_);
  EXPECT_THAT(Refused(vm_), HasSubstr("is older"));
}

TEST_F(StateTpm, AStartThatChangesNothingDoesNotCount) {
  Add(vm_, "a");
  Copy(vm_, dir_ / "same");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Objects(vm_), 1U);
  Copy(dir_ / "same", vm_);
  EXPECT_EQ(Objects(vm_), 1U);
}

TEST_F(StateTpm, AClearedOrForeignTpmIsSaid) {
  Add(vm_, "a");
  soft_->Clear();
  EXPECT_THAT(Refused(vm_), AllOf(HasSubstr("key.tpm"), HasSubstr("this one was cleared since")));
  fs::remove(vm_ + "/key.tpm");
  EXPECT_THAT(Refused(vm_), HasSubstr("key.tpm is missing"));
}

TEST_F(StateTpm, ALostCounterIsSaid) {
  Add(vm_, "a");
  const auto host = OpenHostKey(Key(), vm_, false);
  const auto root = StateKey::Open(vm_, TestUuid(7), *host);
  TpmCounter counter(TpmOf(Key()).value(), root->Derive(kCounterLabel, TpmCounter::kKeyBytes));
  ASSERT_TRUE(counter.Remove().ok());
  EXPECT_THAT(Refused(vm_), HasSubstr("do not go together"));
}

TEST_F(StateTpm, WhoKeepsOnlyTheRootDoesNotBeginAnew) {
  Add(vm_, "a");
  fs::remove(vm_ + "/objects.db");
  fs::remove(vm_ + ".anchor");
  EXPECT_THAT(Refused(vm_), HasSubstr("says that there was one"));
}

TEST_F(StateTpm, ABackupComesBackOnAnotherTpm) {
  Add(vm_, "a");
  const std::string file = dir_ / "b.tar";
  const auto without = BackUpState({vm_, file, "", true});
  EXPECT_THAT(without.error().message, HasSubstr("sealed to a TPM"));
  ASSERT_TRUE(BackUpState({vm_, file, Key(), true}).ok());
  fs::remove_all(vm_);
  fs::remove(vm_ + ".anchor");
  soft_->Clear();
  const auto done = RestoreState({file, vm_, Key(), true});
  ASSERT_TRUE(done.ok()) << done.error().message;
  EXPECT_EQ(Objects(vm_), 1U);
  EXPECT_FALSE(fs::exists(vm_ + ".key"));
  EXPECT_FALSE(fs::exists(vm_ + "/key"));
  Copy(vm_, dir_ / "old");
  Add(vm_, "b");
  Copy(dir_ / "old", vm_);
  EXPECT_THAT(Refused(vm_), HasSubstr("is older")) << "the new one counts, too";
}

TEST_F(StateTpm, ARollbackEndsAllOtherCopies) {
  Add(vm_, "a");
  const std::string file = dir_ / "b.tar";
  ASSERT_TRUE(BackUpState({vm_, file, Key(), false}).ok());
  Add(vm_, "b");
  Copy(vm_, dir_ / "newer");
  fs::remove_all(vm_);
  EXPECT_THAT(RestoreState({file, vm_, Key(), false}).error().message,
              HasSubstr("add --accept-rollback"));
  const auto done = RestoreState({file, vm_, Key(), true});
  ASSERT_TRUE(done.ok()) << done.error().message;
  EXPECT_EQ(Objects(vm_), 1U);
  Copy(dir_ / "newer", vm_);
  EXPECT_THAT(Refused(vm_), HasSubstr("is older"));
}

TEST_F(StateTpm, AnAnchorPutBackDoesNotMakeABackupTheNewest) {
  Add(vm_, "a");
  const std::string file = dir_ / "b.tar";
  ASSERT_TRUE(BackUpState({vm_, file, Key(), true}).ok());
  Copy(vm_, dir_ / "old");
  fs::remove_all(vm_);
  ASSERT_TRUE(RestoreState({file, vm_, Key(), false}).ok()) << "it was, then";
  Add(vm_, "b");
  Copy(dir_ / "old", vm_);
  fs::remove_all(vm_);
  EXPECT_THAT(RestoreState({file, vm_, Key(), false}).error().message, HasSubstr("is older"));
  EXPECT_FALSE(fs::exists(vm_));
}

TEST_F(StateTpm, ABackupComesBackWithoutATpm) {
  Add(vm_, "a");
  const std::string file = dir_ / "b.tar";
  ASSERT_TRUE(BackUpState({vm_, file, Key(), true}).ok());
  const auto by_default = OpenHostKey("", vm_, true);
  EXPECT_THAT(by_default.error().message, HasSubstr("state_key=tpm:"));
  EXPECT_FALSE(fs::exists(vm_ + ".key"));
  const auto done = RestoreState({file, dir_ / "new", "", true});
  ASSERT_TRUE(done.ok()) << done.error().message;
  EXPECT_EQ(ObjectsIn(dir_ / "new"), 1U);
  EXPECT_FALSE(fs::exists((dir_ / "new") + "/key.tpm"));
}

TEST_F(StateTpm, TheSameKeyWithoutTheCounterIsRefused) {
  Add(vm_, "a");
  PutBytes(vm_ + ".key", OpenHostKey(Key(), vm_, false).value());
  fs::permissions(vm_ + ".key", fs::perms(0600));
  EXPECT_THAT(StateRefusal(vm_), HasSubstr("goes with a TPM's counter"));
}

TEST_F(StateTpm, DestroyingRemovesTheCounter) {
  Add(vm_, "a");
  const auto host = OpenHostKey(Key(), vm_, false);
  const auto root = StateKey::Open(vm_, TestUuid(7), *host);
  TpmCounter counter(TpmOf(Key()).value(), root->Derive(kCounterLabel, TpmCounter::kKeyBytes));
  ASSERT_TRUE(counter.Read().ok());
  soft_->Off();
  EXPECT_THAT(DestroyState(vm_, Key()).error().message, HasSubstr("without --state-key"));
  soft_->On();
  // Where it is reached has changed with its port.
  TpmCounter same(TpmOf(Key()).value(), root->Derive(kCounterLabel, TpmCounter::kKeyBytes));
  const Status done = DestroyState(vm_, Key());
  ASSERT_TRUE(done.ok()) << done.error().message;
  EXPECT_FALSE(fs::exists(vm_));
  EXPECT_EQ(same.Read().error().code, ErrorCode::kNotFound);
}

}  // namespace
}  // namespace vtee::ta
