// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/stored_objects.h"

#include <gtest/gtest.h>

#include "ta/storage/memory_store.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;
using dataflag::kOverwrite;
using dataflag::kRead;
using dataflag::kShareRead;
using dataflag::kShareWrite;
using dataflag::kWrite;
using dataflag::kWriteMeta;

constexpr std::uint64_t kRoom = 10'000;

ObjectKey Key(std::string_view id, std::uint8_t ta = 1) {
  ObjectKey key;
  key.ta.octets[0] = ta;
  const auto bytes = std::as_bytes(std::span(id));
  key.id.assign(bytes.begin(), bytes.end());
  return key;
}

class Stored : public ::testing::Test {
 protected:
  std::uint32_t Create(const ObjectKey& key, std::uint32_t flags,
                       std::shared_ptr<StoredObject>& object, std::string_view data = "data") {
    ObjectRecord record;
    record.usage = 0xFF;
    return objects.Create(key, flags, record, std::as_bytes(std::span(data)), object);
  }
  std::uint32_t Open(const ObjectKey& key, std::uint32_t flags,
                     std::shared_ptr<StoredObject>& object) {
    ObjectRecord record;
    return objects.Open(key, flags, record, object);
  }
  std::uint32_t OpensWith(std::uint32_t before, std::uint32_t now) {
    std::shared_ptr<StoredObject> first;
    std::shared_ptr<StoredObject> second;
    EXPECT_EQ(Open(Key("a"), before, first), code::kSuccess);
    return Open(Key("a"), now, second);
  }

  StoredObjects objects{std::make_unique<MemoryStore>(kRoom)};
};

TEST_F(Stored, AnObjectIsThereAfterItsHandleIsGone) {
  std::shared_ptr<StoredObject> object;
  ASSERT_EQ(Create(Key("a"), kWrite, object), code::kSuccess);
  object.reset();
  ASSERT_EQ(Open(Key("a"), kRead, object), code::kSuccess);
  EXPECT_EQ(object->size(), 4u);
  SecretBytes bytes(10);
  std::uint64_t got = 0;
  ASSERT_EQ(object->Read(1, bytes, got), code::kSuccess);
  EXPECT_EQ(got, 3u);
  EXPECT_EQ(bytes[0], std::byte{'a'});
  ASSERT_EQ(object->Read(100, bytes, got), code::kSuccess);
  EXPECT_EQ(got, 0u);
}

TEST_F(Stored, TasDoNotSeeEachOthersObjects) {
  std::shared_ptr<StoredObject> object;
  ASSERT_EQ(Create(Key("a"), kWrite, object), code::kSuccess);
  EXPECT_EQ(Open(Key("a", 2), kRead, object), code::kItemNotFound);
  std::vector<ObjectId> ids;
  ASSERT_EQ(objects.store().List(Key("", 2).ta, kPrivateStorage, ids), code::kSuccess);
  EXPECT_TRUE(ids.empty());
  ASSERT_EQ(objects.store().List(Key("", 1).ta, kPrivateStorage, ids), code::kSuccess);
  EXPECT_EQ(ids.size(), 1u);
}

TEST_F(Stored, AreSharedAsTheirFlagsAllow) {
  std::shared_ptr<StoredObject> object;
  ASSERT_EQ(Create(Key("a"), kWrite, object), code::kSuccess);
  object.reset();
  EXPECT_EQ(OpensWith(kRead, kRead), code::kAccessConflict);
  EXPECT_EQ(OpensWith(kRead | kShareRead, kRead | kShareRead), code::kSuccess);
  EXPECT_EQ(OpensWith(kRead | kShareRead, kRead), code::kAccessConflict);
  EXPECT_EQ(OpensWith(kWrite | kShareWrite, kWrite | kShareWrite), code::kSuccess);
  EXPECT_EQ(OpensWith(kWrite | kShareWrite, kWrite), code::kAccessConflict);
  EXPECT_EQ(OpensWith(kRead | kShareRead, kWrite | kShareWrite), code::kAccessConflict);
  EXPECT_EQ(OpensWith(kRead | kShareRead | kShareWrite, kWrite | kShareRead | kShareWrite),
            code::kSuccess);
  EXPECT_EQ(OpensWith(kWriteMeta, kRead | kShareRead), code::kAccessConflict);
  EXPECT_EQ(OpensWith(kRead | kShareRead, kWriteMeta | kShareRead), code::kAccessConflict);
  EXPECT_EQ(OpensWith(0, kRead), code::kAccessConflict);
}

TEST_F(Stored, AreNotReplacedUnlessToldTo) {
  std::shared_ptr<StoredObject> object;
  ASSERT_EQ(Create(Key("a"), kWrite, object), code::kSuccess);
  std::shared_ptr<StoredObject> other;
  EXPECT_EQ(Create(Key("a"), kWrite, other), code::kAccessConflict);
  object.reset();
  EXPECT_EQ(Create(Key("a"), kWrite, other), code::kAccessConflict);
  ASSERT_EQ(Create(Key("a"), kWrite | kOverwrite, other, "longer data"), code::kSuccess);
  EXPECT_EQ(other->size(), 11u);
}

TEST_F(Stored, GapsReadAsZeros) {
  std::shared_ptr<StoredObject> object;
  ASSERT_EQ(Create(Key("a"), kWrite | kRead, object), code::kSuccess);
  const std::byte one{1};
  ASSERT_EQ(object->Write(100, ConstBytes(&one, 1)), code::kSuccess);
  EXPECT_EQ(object->size(), 101u);
  ASSERT_EQ(object->Truncate(2), code::kSuccess);
  ASSERT_EQ(object->Truncate(50), code::kSuccess);
  SecretBytes bytes(50, std::byte{9});
  std::uint64_t got = 0;
  ASSERT_EQ(object->Read(0, bytes, got), code::kSuccess);
  EXPECT_EQ(got, 50u);
  EXPECT_EQ(bytes[1], std::byte{'a'});
  for (std::size_t i = 2; i < 50; ++i) EXPECT_EQ(bytes[i], std::byte{0});
}

TEST_F(Stored, RenamingMovesAndDoesNotReplace) {
  std::shared_ptr<StoredObject> a;
  std::shared_ptr<StoredObject> b;
  ASSERT_EQ(Create(Key("a"), kWriteMeta, a), code::kSuccess);
  ASSERT_EQ(Create(Key("b"), kWriteMeta, b), code::kSuccess);
  EXPECT_EQ(a->Rename(Key("b").id), code::kAccessConflict);
  b.reset();
  EXPECT_EQ(a->Rename(Key("b").id), code::kAccessConflict);
  EXPECT_EQ(a->Rename(Key("c").id), code::kSuccess);
  a.reset();
  EXPECT_EQ(Open(Key("a"), kRead, a), code::kItemNotFound);
  EXPECT_EQ(Open(Key("c"), kRead, a), code::kSuccess);
}

TEST_F(Stored, SharedObjectsAreNotRenamed) {
  std::shared_ptr<StoredObject> first;
  std::shared_ptr<StoredObject> second;
  ASSERT_EQ(Create(Key("a"), kRead | kShareRead, first), code::kSuccess);
  ASSERT_EQ(Open(Key("a"), kRead | kShareRead, second), code::kSuccess);
  const std::shared_ptr<StoredObject> also = second;
  EXPECT_EQ(first->Rename(Key("b").id), code::kBadState);
}

TEST_F(Stored, UsageIsSharedByAllHandlesAndOnlyShrinks) {
  std::shared_ptr<StoredObject> first;
  std::shared_ptr<StoredObject> second;
  ASSERT_EQ(Create(Key("a"), kRead | kShareRead, first), code::kSuccess);
  ASSERT_EQ(Open(Key("a"), kRead | kShareRead, second), code::kSuccess);
  ASSERT_EQ(first->RestrictUsage(0x0F), code::kSuccess);
  EXPECT_EQ(second->usage(), 0x0Fu);
  ASSERT_EQ(second->RestrictUsage(0xF1), code::kSuccess);
  EXPECT_EQ(first->usage(), 0x01u);
}

TEST_F(Stored, TheQuotaIsKept) {
  constexpr std::uint64_t kMost = kRoom - kObjectCharge - 10;
  std::shared_ptr<StoredObject> object;
  ASSERT_EQ(Create(Key("a"), kWrite, object, std::string(kMost, 'x')), code::kSuccess);
  std::shared_ptr<StoredObject> other;
  EXPECT_EQ(Create(Key("b"), kWrite, other, "eleven bytes"), kStorageNoSpace);
  EXPECT_EQ(object->Truncate(kMost + 11), kStorageNoSpace);
  EXPECT_EQ(object->size(), kMost);
  const std::byte one{1};
  EXPECT_EQ(object->Write(~std::uint64_t{0}, ConstBytes(&one, 1)), kStorageNoSpace);
  ASSERT_EQ(object->Truncate(0), code::kSuccess);
  EXPECT_EQ(Create(Key("b"), kWrite, other, "eleven bytes"), code::kSuccess);
}

TEST_F(Stored, EmptyObjectsCountToo) {
  std::vector<std::shared_ptr<StoredObject>> made(1);
  while (made.size() < 1000 &&
         Create(Key(std::to_string(made.size())), kWriteMeta, made.back(), "") == code::kSuccess) {
    made.emplace_back();
  }
  EXPECT_EQ(made.size() - 1, kRoom / kObjectCharge);
  ASSERT_EQ(objects.store().Remove(made.front()->key()), code::kSuccess);
  EXPECT_EQ(Create(Key("again"), kWrite, made.back(), ""), code::kSuccess);
}

}  // namespace
}  // namespace vtee::ta
