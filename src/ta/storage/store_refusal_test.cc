// SPDX-License-Identifier: BSD-3-Clause
// What somebody with access to a store's files can do to it, and what comes of it: a refusal or
// CORRUPT_OBJECT, never another state or other data.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <random>

#include "ta/storage/durable_file.h"
#include "ta/storage/sqlite_store.h"
#include "ta/storage/test_store.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;
namespace fs = std::filesystem;
using testing::AnyOf;
using testing::HasSubstr;

class StoreRefusal : public testing::Test {
 protected:
  void SetUp() override {
    auto store = MustOpen(TestOptions(vm_));
    ASSERT_NE(store, nullptr);
    std::uint32_t newest = 0;
    ASSERT_EQ(store->Create(TestKey("a"), TestRecord(), TestBytes(9000, 1), false), code::kSuccess);
    ASSERT_EQ(store->Create(TestKey("b"), TestRecord(), TestBytes(50, 2), false), code::kSuccess);
    ASSERT_EQ(store->RaiseTaVersion(TestUuid(1), 4, newest), code::kSuccess);
    ASSERT_EQ(store->SetTimeOffset(TestUuid(1), 4), code::kSuccess);
  }
  void Run(const std::string& sql) {
    sqlite3* connection = nullptr;
    ASSERT_EQ(sqlite3_open((vm_ + "/objects.db").c_str(), &connection), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(connection, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK)
        << sqlite3_errmsg(connection);
    EXPECT_GT(sqlite3_total_changes(connection), 0) << sql;
    sqlite3_close(connection);
  }
  void Change(const std::string& id) {
    auto store = MustOpen(TestOptions(vm_));
    ASSERT_NE(store, nullptr);
    EXPECT_EQ(store->Create(TestKey(id), TestRecord(), {}, false), code::kSuccess);
  }

  TestDir dir_;
  const std::string vm_ = dir_ / "vm";
};

TEST_F(StoreRefusal, AnotherVmOrKey) {
  EXPECT_THAT(Refusal(TestOptions(vm_, 8)), HasSubstr("belongs to another VM"));
  auto other = TestOptions(vm_, 8);
  other.anchor_path = dir_ / "other.anchor";
  EXPECT_THAT(Refusal(std::move(other)), HasSubstr("not to"));
  other = TestOptions(vm_, 7, 4);
  other.anchor_path = dir_ / "other.anchor";
  EXPECT_THAT(Refusal(std::move(other)), HasSubstr("this VM's key"));
  EXPECT_EQ(Refusal(TestOptions(vm_)), "");
}

TEST_F(StoreRefusal, SwappedDirectories) {
  const auto host = TestBytes(32, 1);
  const auto open = [&](const std::string& dir, std::uint8_t vm) -> std::string {
    const auto key = StateKey::Open(dir, TestUuid(vm), host);
    if (!key.ok()) return key.error().message;
    auto options = TestOptions(dir, vm);
    options.root_key = key->Derive("storage");
    return Refusal(std::move(options));
  };
  EXPECT_EQ(open(dir_ / "one", 1), "");
  EXPECT_EQ(open(dir_ / "two", 2), "");
  fs::rename(dir_ / "one", dir_ / "three");
  fs::rename(dir_ / "two", dir_ / "one");
  fs::rename(dir_ / "three", dir_ / "two");
  EXPECT_THAT(open(dir_ / "one", 1), HasSubstr("belongs to the VM"));
  EXPECT_THAT(open(dir_ / "two", 2), HasSubstr("belongs to the VM"));
  // Only the databases, with each VM's own root.
  fs::rename(dir_ / "one/root.sealed", dir_ / "root");
  fs::rename(dir_ / "two/root.sealed", dir_ / "one/root.sealed");
  fs::rename(dir_ / "root", dir_ / "two/root.sealed");
  EXPECT_THAT(open(dir_ / "one", 1), HasSubstr("belongs to the VM"));
  EXPECT_THAT(open(dir_ / "two", 2), HasSubstr("belongs to the VM"));
}

TEST_F(StoreRefusal, AnOlderCopy) {
  fs::copy(vm_, dir_ / "old", fs::copy_options::recursive);
  Change("c");
  fs::rename(vm_, dir_ / "new");
  fs::rename(dir_ / "old", vm_);
  EXPECT_THAT(Refusal(TestOptions(vm_)), HasSubstr("is older than what the VM last used"));
  fs::remove_all(vm_);
  fs::rename(dir_ / "new", vm_);
  EXPECT_EQ(Refusal(TestOptions(vm_)), "");
}

TEST_F(StoreRefusal, AnOlderAnchor) {
  const std::string anchor = vm_ + ".anchor";
  fs::copy(anchor, dir_ / "old1");
  Change("c");
  fs::copy(anchor, dir_ / "old2");
  Change("d");
  fs::copy(dir_ / "old1", anchor, fs::copy_options::overwrite_existing);
  EXPECT_THAT(Refusal(TestOptions(vm_)), HasSubstr("does not follow"));
  // One state behind is what a crash leaves.
  fs::copy(dir_ / "old2", anchor, fs::copy_options::overwrite_existing);
  EXPECT_EQ(Refusal(TestOptions(vm_)), "");
  fs::remove(anchor);
  EXPECT_THAT(Refusal(TestOptions(vm_)), HasSubstr("does not follow"));
}

TEST_F(StoreRefusal, AnotherLineOfHistory) {
  fs::copy(vm_, dir_ / "fork", fs::copy_options::recursive);
  fs::copy(vm_ + ".anchor", dir_ / "fork.anchor");
  Change("c");
  {
    auto fork = MustOpen(TestOptions(dir_ / "fork"));
    ASSERT_NE(fork, nullptr);
    ASSERT_EQ(fork->Create(TestKey("d"), TestRecord(), {}, false), code::kSuccess);
  }
  auto same_epoch = TestOptions(dir_ / "fork");
  same_epoch.anchor_path = vm_ + ".anchor";
  EXPECT_THAT(Refusal(std::move(same_epoch)), HasSubstr("does not follow"));
  {
    auto fork = MustOpen(TestOptions(dir_ / "fork"));
    ASSERT_EQ(fork->Create(TestKey("e"), TestRecord(), {}, false), code::kSuccess);
  }
  auto next_epoch = TestOptions(dir_ / "fork");
  next_epoch.anchor_path = vm_ + ".anchor";
  EXPECT_THAT(Refusal(std::move(next_epoch)), HasSubstr("does not follow"));
}

TEST_F(StoreRefusal, ALostDatabaseIsNotMadeAnew) {
  fs::remove(vm_ + "/objects.db");
  EXPECT_THAT(Refusal(TestOptions(vm_)), HasSubstr("says that there were objects"));
}

TEST_F(StoreRefusal, ADamagedAnchor) {
  const std::string anchor = vm_ + ".anchor";
  ASSERT_TRUE(WriteDurably(anchor, TestBytes(8192, 1)).ok());
  EXPECT_THAT(Refusal(TestOptions(vm_)), HasSubstr("is damaged or was made with another key"));
  ASSERT_TRUE(WriteDurably(anchor, {}).ok());
  EXPECT_THAT(Refusal(TestOptions(vm_)), HasSubstr("is damaged or was made with another key"));
}

TEST_F(StoreRefusal, EveryKindOfChangedRow) {
  const std::string file = vm_ + "/objects.db";
  fs::copy(file, dir_ / "good");
  for (const char* sql : {
           "DELETE FROM objects WHERE charge < 1000",
           "DELETE FROM blocks WHERE place = (SELECT max(place) FROM blocks)",
           "DELETE FROM ta_versions",
           "UPDATE ta_versions SET value = 3",
           "UPDATE ta_times SET value = 5",
           "UPDATE ta_times SET ta = randomblob(17)",
           "UPDATE objects SET charge = charge + 1",
           "UPDATE objects SET epoch = epoch + 1",
           "UPDATE objects SET number = number + 1",
           "UPDATE objects SET record = substr(record, 1, 30)",
           "UPDATE objects SET name = randomblob(93)",
           "UPDATE blocks SET epoch = 1",
           "UPDATE blocks SET place = place + 1000",
           "UPDATE blocks SET seal = randomblob(28)",
           "INSERT INTO blocks SELECT place + 1000, epoch, seal, data FROM blocks",
           "INSERT INTO objects SELECT randomblob(32), name_index, number, epoch, charge, name, "
           "record FROM objects",
           "UPDATE meta SET epoch = epoch - 1",
           "UPDATE meta SET state = randomblob(length(state))",
           "UPDATE meta SET vm = randomblob(16)",
           "UPDATE meta SET format = 2",
           "DELETE FROM meta",
       }) {
    Run(sql);
    EXPECT_NE(Refusal(TestOptions(vm_)), "") << sql;
    fs::copy(dir_ / "good", file, fs::copy_options::overwrite_existing);
  }
  EXPECT_EQ(Refusal(TestOptions(vm_)), "");
}

TEST_F(StoreRefusal, ADamagedTextSpoilsOnlyItsObject) {
  Run("UPDATE blocks SET data = zeroblob(length(data)) WHERE length(data) < 100");
  auto store = MustOpen(TestOptions(vm_));
  ASSERT_NE(store, nullptr);
  StoredContent content;
  EXPECT_EQ(ReadAll(*store, TestKey("b"), content), kCorruptObject);
  EXPECT_EQ(ReadAll(*store, TestKey("a"), content), code::kSuccess);
  EXPECT_EQ(store->Remove(TestKey("b")), code::kSuccess);
  store.reset();
  store = MustOpen(TestOptions(vm_));
  ASSERT_NE(store, nullptr);
  EXPECT_EQ(ContentOf(*store)->size(), 1U);
}

TEST_F(StoreRefusal, ADamagedRecordCanBeReplaced) {
  Run("UPDATE objects SET record = substr(record, 1, 28) || zeroblob(length(record) - 28)");
  auto store = MustOpen(TestOptions(vm_));
  ASSERT_NE(store, nullptr);
  ObjectRecord record;
  EXPECT_EQ(store->Load(TestKey("a"), record), kCorruptObject);
  EXPECT_EQ(store->Write(TestKey("a"), 0, TestBytes(1, 1)), kCorruptObject);
  EXPECT_EQ(store->Create(TestKey("a"), TestRecord(), {}, true), code::kSuccess);
  EXPECT_EQ(store->Remove(TestKey("b")), code::kSuccess);
  store.reset();
  store = MustOpen(TestOptions(vm_));
  ASSERT_NE(store, nullptr);
  EXPECT_EQ(ContentOf(*store)->size(), 1U);
}

// Any byte of the file.
TEST_F(StoreRefusal, NoFlippedBitGivesOtherData) {
  const std::string file = vm_ + "/objects.db";
  fs::copy(file, dir_ / "good");
  Content good;
  {
    auto store = MustOpen(TestOptions(vm_));
    good = ContentOf(*store).value();
  }
  std::mt19937 random(7);
  const std::uint64_t size = fs::file_size(dir_ / "good");
  for (int i = 0; i < 400; ++i) {
    fs::copy(dir_ / "good", file, fs::copy_options::overwrite_existing);
    fs::remove(file + "-wal");
    const auto place = static_cast<off_t>(random() % size);
    {
      const UniqueFd fd(::open(file.c_str(), O_RDWR | O_CLOEXEC));
      unsigned char byte = 0;
      ASSERT_EQ(::pread(fd.get(), &byte, 1, place), 1);
      byte ^= static_cast<unsigned char>(1U << random() % 8);
      ASSERT_EQ(::pwrite(fd.get(), &byte, 1, place), 1);
    }
    auto store = SqliteStore::Open(TestOptions(vm_));
    if (!store.ok()) continue;
    for (const auto& [id, content] : good) {
      StoredContent now;
      const std::uint32_t result = ReadAll(**store, {TestUuid(1), id}, now);
      EXPECT_THAT(result, AnyOf(code::kSuccess, kCorruptObject)) << place;
      EXPECT_TRUE(result != code::kSuccess || now == content) << place;
    }
  }
}

}  // namespace
}  // namespace vtee::ta
