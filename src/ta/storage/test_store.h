// SPDX-License-Identifier: BSD-3-Clause
// What the tests of the store share: a directory, keys, a way to look at all that is stored.
// Threading: one thread.
#pragma once

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "ta/storage/memory_store.h"
#include "ta/storage/object_store.h"
#include "ta/storage/sqlite_store.h"
#include "ta/storage/state_key.h"

namespace vtee::ta {

class TestDir {
 public:
  TestDir() {
    // Thousands of flushes: in memory where that can be had.
    const bool memory = ::access("/dev/shm", W_OK) == 0;
    std::string name = (memory ? "/dev/shm/" : testing::TempDir()) + "vtee-store-XXXXXX";
    EXPECT_NE(mkdtemp(name.data()), nullptr);
    path_ = name;
  }
  ~TestDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TestDir(const TestDir&) = delete;
  TestDir& operator=(const TestDir&) = delete;
  std::string operator/(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

inline tee::Uuid TestUuid(std::uint8_t last) {
  tee::Uuid uuid;
  uuid.octets[0] = 0xAB;
  uuid.octets[15] = last;
  return uuid;
}

inline SecretBytes TestBytes(std::size_t size, std::uint8_t seed) {
  SecretBytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(seed + i * 7 + i / 251);
  return bytes;
}

inline ObjectId TestId(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

inline ObjectKey TestKey(std::string_view id, std::uint8_t ta = 1) {
  return {TestUuid(ta), TestId(id)};
}

inline ObjectRecord TestRecord(std::uint32_t usage = 0xFFFFFFFF) {
  return {TestBytes(40, 99), usage, 0};
}

inline SqliteStoreOptions TestOptions(const std::string& dir, std::uint8_t vm = 7,
                                      std::uint8_t key = 3) {
  SqliteStoreOptions options;
  options.dir = dir;
  options.vm = TestUuid(vm);
  options.root_key = TestBytes(kRootBytes, key);
  return options;
}

inline std::unique_ptr<SqliteStore> MustOpen(SqliteStoreOptions options) {
  auto store = SqliteStore::Open(std::move(options));
  if (!store.ok()) {
    ADD_FAILURE() << store.error().message;
    return nullptr;
  }
  return std::move(store).value();
}

// The sentence with which it is refused.
inline std::string Refusal(SqliteStoreOptions options) {
  auto store = SqliteStore::Open(std::move(options));
  return store.ok() ? "" : store.error().message;
}

struct StoredContent {
  std::uint32_t usage = 0;
  SecretBytes object;
  SecretBytes data;
  friend bool operator==(const StoredContent&, const StoredContent&) = default;
};
using Content = std::map<ObjectId, StoredContent>;

inline std::uint32_t ReadAll(ObjectStore& store, const ObjectKey& key, StoredContent& content) {
  ObjectRecord record;
  std::uint32_t result = store.Load(key, record);
  if (result != tee::code::kSuccess) return result;
  content = {record.usage, record.object, SecretBytes(record.size)};
  std::uint64_t got = 0;
  result = store.Read(key, 0, content.data, got);
  return result == tee::code::kSuccess && got != record.size ? kCorruptObject : result;
}

// All objects of a TA; nothing when something cannot be read.
inline std::optional<Content> ContentOf(ObjectStore& store, std::uint8_t ta = 1) {
  Content content;
  std::vector<ObjectId> ids;
  if (store.List(TestUuid(ta), kPrivateStorage, ids) != tee::code::kSuccess) return std::nullopt;
  for (const ObjectId& id : ids) {
    if (ReadAll(store, {TestUuid(ta), id}, content[id]) != tee::code::kSuccess) return std::nullopt;
  }
  return content;
}

// A sequence with every kind of change, for crashes and outages.
inline constexpr int kTestSteps = 9;
inline std::uint32_t TestStep(ObjectStore& store, int step) {
  switch (step) {
    case 0:
      return store.Create(TestKey("a"), TestRecord(), TestBytes(9000, 1), false);
    case 1:
      return store.Create(TestKey("b"), TestRecord(), TestBytes(10, 2), false);
    case 2:
      return store.Write(TestKey("a"), 4000, TestBytes(5000, 3));
    case 3:
      return store.Write(TestKey("b"), 20000, TestBytes(300, 4));
    case 4:
      return store.Truncate(TestKey("a"), 4100);
    case 5:
      return store.Rename(TestKey("a"), TestId("c"));
    case 6:
      return store.SetUsage(TestKey("c"), 5);
    case 7:
      return store.Create(TestKey("b"), TestRecord(9), TestBytes(5000, 5), true);
    default:
      return store.Remove(TestKey("c"));
  }
}

// What is there after each number of steps.
inline std::vector<Content> ExpectedContent() {
  std::vector<Content> expected;
  MemoryStore model(1 << 20);
  for (int step = 0;; ++step) {
    expected.push_back(ContentOf(model).value());
    if (step == kTestSteps) return expected;
    EXPECT_EQ(TestStep(model, step), tee::code::kSuccess);
  }
}

}  // namespace vtee::ta
