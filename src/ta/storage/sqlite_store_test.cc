// SPDX-License-Identifier: BSD-3-Clause
// What a store does when all is well.
#include "ta/storage/sqlite_store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <iterator>
#include <random>
#include <thread>

#include "ta/storage/memory_store.h"
#include "ta/storage/test_store.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

class SqliteStoreTest : public testing::Test {
 protected:
  void SetUp() override { Reopen(); }
  void Reopen() {
    store_.reset();
    auto options = TestOptions(dir_ / "vm");
    options.most_bytes = most_bytes_;
    store_ = MustOpen(std::move(options));
    ASSERT_NE(store_, nullptr);
  }
  SecretBytes Data(std::string_view id) {
    StoredContent content;
    EXPECT_EQ(ReadAll(*store_, TestKey(id), content), code::kSuccess);
    return content.data;
  }

  TestDir dir_;
  std::uint64_t most_bytes_ = 1 << 20;
  std::unique_ptr<SqliteStore> store_;
};

TEST_F(SqliteStoreTest, KeepsAnObject) {
  ASSERT_EQ(store_->Create(TestKey("x"), TestRecord(6), TestBytes(10000, 1), false),
            code::kSuccess);
  Reopen();
  ObjectRecord record;
  ASSERT_EQ(store_->Load(TestKey("x"), record), code::kSuccess);
  EXPECT_EQ(record.usage, 6U);
  EXPECT_EQ(record.size, 10000U);
  EXPECT_EQ(record.object, TestRecord().object);
  EXPECT_EQ(Data("x"), TestBytes(10000, 1));
}

TEST_F(SqliteStoreTest, ReplacesOnlyWhenAsked) {
  const auto create = [&](std::uint8_t seed, bool overwrite) {
    return store_->Create(TestKey("x"), TestRecord(), TestBytes(5000, seed), overwrite);
  };
  ASSERT_EQ(create(1, false), code::kSuccess);
  EXPECT_EQ(create(2, false), code::kAccessConflict);
  EXPECT_EQ(Data("x"), TestBytes(5000, 1));
  ASSERT_EQ(create(3, true), code::kSuccess);
  EXPECT_EQ(Data("x"), TestBytes(5000, 3));
}

TEST_F(SqliteStoreTest, SeparatesTasAndStorages) {
  ObjectKey other = TestKey("x");
  other.storage = 0x80000100;
  ASSERT_EQ(store_->Create(TestKey("x", 1), TestRecord(), TestBytes(1, 1), false), code::kSuccess);
  ASSERT_EQ(store_->Create(TestKey("x", 2), TestRecord(), TestBytes(2, 2), false), code::kSuccess);
  ASSERT_EQ(store_->Create(other, TestRecord(), TestBytes(3, 3), false), code::kSuccess);
  EXPECT_EQ(Data("x"), TestBytes(1, 1));
  std::vector<ObjectId> ids;
  ASSERT_EQ(store_->List(TestUuid(1), 0x80000100, ids), code::kSuccess);
  EXPECT_EQ(ids.size(), 1U);
  ASSERT_EQ(store_->Remove(TestKey("x", 2)), code::kSuccess);
  ObjectRecord record;
  EXPECT_EQ(store_->Load(TestKey("x", 2), record), code::kItemNotFound);
  EXPECT_EQ(store_->Load(other, record), code::kSuccess);
}

TEST_F(SqliteStoreTest, WritesOverBlockEdgesAndFillsGapsWithZeros) {
  ASSERT_EQ(store_->Create(TestKey("x"), TestRecord(), {}, false), code::kSuccess);
  ASSERT_EQ(store_->Write(TestKey("x"), 4090, TestBytes(20, 1)), code::kSuccess);
  ASSERT_EQ(store_->Write(TestKey("x"), 20000, TestBytes(5, 2)), code::kSuccess);
  SecretBytes expected(20005);
  std::ranges::copy(TestBytes(20, 1), expected.begin() + 4090);
  std::ranges::copy(TestBytes(5, 2), expected.begin() + 20000);
  EXPECT_EQ(Data("x"), expected);
  SecretBytes out(100);
  std::uint64_t got = 1;
  EXPECT_EQ(store_->Read(TestKey("x"), 20005, out, got), code::kSuccess);
  EXPECT_EQ(got, 0U);
  EXPECT_EQ(store_->Read(TestKey("x"), 20000, out, got), code::kSuccess);
  EXPECT_EQ(got, 5U);
}

TEST_F(SqliteStoreTest, WhatWasCutOffComesBackAsZeros) {
  ASSERT_EQ(store_->Create(TestKey("x"), TestRecord(), TestBytes(9000, 1), false), code::kSuccess);
  ASSERT_EQ(store_->Truncate(TestKey("x"), 4100), code::kSuccess);
  ASSERT_EQ(store_->Truncate(TestKey("x"), 9000), code::kSuccess);
  SecretBytes expected = TestBytes(9000, 1);
  std::fill(expected.begin() + 4100, expected.end(), std::byte{0});
  EXPECT_EQ(Data("x"), expected);
}

TEST_F(SqliteStoreTest, RenamesToAFreeNameOnly) {
  ASSERT_EQ(store_->Create(TestKey("x"), TestRecord(), TestBytes(9, 1), false), code::kSuccess);
  ASSERT_EQ(store_->Create(TestKey("y"), TestRecord(), {}, false), code::kSuccess);
  EXPECT_EQ(store_->Rename(TestKey("x"), TestId("y")), code::kAccessConflict);
  EXPECT_EQ(store_->Rename(TestKey("z"), TestId("w")), code::kItemNotFound);
  ASSERT_EQ(store_->Rename(TestKey("x"), TestId("")), code::kSuccess);
  EXPECT_EQ(Data(""), TestBytes(9, 1));
  ObjectRecord record;
  EXPECT_EQ(store_->Load(TestKey("x"), record), code::kItemNotFound);
}

TEST_F(SqliteStoreTest, TakesNamesOf64Bytes) {
  const std::string longest(64, 'n');
  ASSERT_EQ(store_->Create(TestKey(longest), TestRecord(), {}, false), code::kSuccess);
  EXPECT_EQ(ContentOf(*store_)->begin()->first, TestId(longest));
  EXPECT_EQ(store_->Create(TestKey(longest + "n"), TestRecord(), {}, false), code::kBadParameters);
  EXPECT_EQ(store_->Rename(TestKey(longest), TestId(longest + "n")), code::kBadParameters);
}

TEST_F(SqliteStoreTest, HasAQuota) {
  EXPECT_EQ(store_->Create(TestKey("x"), TestRecord(), TestBytes(most_bytes_, 1), false),
            kStorageNoSpace);
  ASSERT_EQ(store_->Create(TestKey("x"), TestRecord(), TestBytes(most_bytes_ / 2, 1), false),
            code::kSuccess);
  EXPECT_EQ(store_->Write(TestKey("x"), most_bytes_, TestBytes(1, 1)), kStorageNoSpace);
  EXPECT_EQ(store_->Truncate(TestKey("x"), ~std::uint64_t{0} - 100), kStorageNoSpace);
  EXPECT_EQ(store_->Write(TestKey("x"), ~std::uint64_t{0}, TestBytes(5, 1)), kStorageNoSpace);
  EXPECT_EQ(store_->Create(TestKey("y"), TestRecord(), TestBytes(most_bytes_ / 2, 1), false),
            kStorageNoSpace);
  EXPECT_EQ(Data("x"), TestBytes(most_bytes_ / 2, 1));
  ASSERT_EQ(store_->Remove(TestKey("x")), code::kSuccess);
  EXPECT_EQ(store_->used_bytes(), 0U);
  EXPECT_EQ(store_->Create(TestKey("y"), TestRecord(), TestBytes(most_bytes_ / 2, 1), false),
            code::kSuccess);
}

TEST_F(SqliteStoreTest, VersionsNeverFall) {
  std::uint32_t newest = 0;
  ASSERT_EQ(store_->RaiseTaVersion(TestUuid(1), 5, newest), code::kSuccess);
  EXPECT_EQ(newest, 5U);
  ASSERT_EQ(store_->RaiseTaVersion(TestUuid(1), 3, newest), code::kSuccess);
  EXPECT_EQ(newest, 5U);
  ASSERT_EQ(store_->RaiseTaVersion(TestUuid(1), 0xFFFFFFFF, newest), code::kSuccess);
  Reopen();
  ASSERT_EQ(store_->GetTaVersion(TestUuid(1), newest), code::kSuccess);
  EXPECT_EQ(newest, 0xFFFFFFFFU);
  ASSERT_EQ(store_->GetTaVersion(TestUuid(1), newest, SqliteStore::VersionOf::kSubkey),
            code::kSuccess);
  EXPECT_EQ(newest, 0U);
}

TEST_F(SqliteStoreTest, KeepsTimeOffsets) {
  std::optional<std::int64_t> offset;
  ASSERT_EQ(store_->GetTimeOffset(TestUuid(1), offset), code::kSuccess);
  EXPECT_FALSE(offset);
  ASSERT_EQ(store_->SetTimeOffset(TestUuid(1), 12), code::kSuccess);
  ASSERT_EQ(store_->SetTimeOffset(TestUuid(1), -12345678901), code::kSuccess);
  Reopen();
  ASSERT_EQ(store_->GetTimeOffset(TestUuid(1), offset), code::kSuccess);
  EXPECT_EQ(offset, -12345678901);
}

// Random changes, the same on a store in memory.
TEST_F(SqliteStoreTest, DoesWhatAStoreInMemoryDoes) {
  MemoryStore model(1 << 20);
  std::mt19937 random(1);
  const auto any = [&](unsigned int limit) { return static_cast<unsigned int>(random() % limit); };
  for (int i = 0; i < 600; ++i) {
    const ObjectKey key = TestKey(std::string(1, static_cast<char>('a' + any(4))));
    const SecretBytes data = TestBytes(any(9000), static_cast<std::uint8_t>(i));
    const std::uint64_t position = any(14000);
    const bool overwrite = any(2) == 0;
    const ObjectId id = TestId(std::string(1, static_cast<char>('a' + any(4))));
    const unsigned int kind = any(8);
    const auto run = [&](ObjectStore& store) {
      if (kind == 0) return store.Create(key, TestRecord(), data, overwrite);
      if (kind < 4) return store.Write(key, position, data);
      if (kind == 4) return store.Truncate(key, position);
      if (kind == 5) return store.Rename(key, id);
      return kind == 6 ? store.Remove(key) : store.SetUsage(key, 1);
    };
    ASSERT_EQ(run(*store_), run(model)) << i;
    if (i % 100 == 99) Reopen();
    if (i % 10 != 0) continue;
    ASSERT_EQ(ContentOf(*store_), ContentOf(model)) << i;
  }
  Reopen();
  EXPECT_EQ(ContentOf(*store_), ContentOf(model));
}

TEST_F(SqliteStoreTest, NoNameOrTextIsReadableInTheFiles) {
  const std::string id = "a-name-to-be-found";
  const std::string text = "a-text-that-is-secret";
  ASSERT_EQ(store_->Create(TestKey(id), TestRecord(), std::as_bytes(std::span(text)), false),
            code::kSuccess);
  const auto search = [&] {
    for (const auto& file : std::filesystem::directory_iterator(dir_ / "vm")) {
      std::ifstream stream(file.path(), std::ios::binary);
      const std::string all(std::istreambuf_iterator<char>(stream), {});
      EXPECT_EQ(all.find(id), std::string::npos) << file.path();
      EXPECT_EQ(all.find(text), std::string::npos) << file.path();
    }
  };
  search();
  store_.reset();
  search();
}

TEST_F(SqliteStoreTest, ServesThreads) {
  std::vector<std::thread> threads;
  for (std::uint8_t i = 0; i < 4; ++i) {
    threads.emplace_back([this, i] {
      const ObjectKey key = TestKey("x", i);
      EXPECT_EQ(store_->Create(key, TestRecord(), {}, false), code::kSuccess);
      for (std::size_t j = 0; j < 20; ++j) {
        EXPECT_EQ(store_->Write(key, j * 100, TestBytes(100, i)), code::kSuccess);
        StoredContent content;
        EXPECT_EQ(ReadAll(*store_, key, content), code::kSuccess);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  Reopen();
  for (std::uint8_t i = 0; i < 4; ++i) EXPECT_EQ(ContentOf(*store_, i)->size(), 1U);
}

TEST_F(SqliteStoreTest, KeepsASecondUserOut) {
  EXPECT_THAT(Refusal(TestOptions(dir_ / "vm")), testing::ContainsRegex("another process .* uses"));
}

}  // namespace
}  // namespace vtee::ta
