// SPDX-License-Identifier: BSD-3-Clause
// A disk that is full, fails or loses power at each of its operations; an anchor that cannot be
// reached.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "ta/storage/anchor.h"
#include "ta/storage/durable_file.h"
#include "ta/storage/sqlite_store.h"
#include "ta/storage/test_store.h"
#include "ta/storage/test_vfs.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;
constexpr const char* kVfs = "vtee-test-faulty";

SqliteStoreOptions FaultyOptions(const std::string& dir) {
  SqliteStoreOptions options = TestOptions(dir);
  options.vfs = kVfs;
  return options;
}

// Takes each step until it has happened. False: something is wrong.
bool RunThroughOutage(SqliteStore& store, FaultyVfs& vfs, const std::vector<Content>& expected) {
  for (std::size_t step = 0; step < kTestSteps;) {
    const std::uint32_t result = TestStep(store, static_cast<int>(step));
    if (result == code::kSuccess) {
      ++step;
      continue;
    }
    EXPECT_EQ(result, code::kStorageNotAvailable);
    EXPECT_TRUE(vfs.happened());
    vfs.Heal();
    const auto content = ContentOf(store);
    if (result != code::kStorageNotAvailable || !content) return false;
    if (*content == expected[step + 1]) {
      ++step;
    } else if (*content != expected[step]) {
      return false;
    }
  }
  return true;
}

void OutageAtEachOperation(FaultyVfs::Fault fault) {
  FaultyVfs vfs(kVfs);
  const std::vector<Content> expected = ExpectedContent();
  bool happened = true;
  int operation = 1;
  for (; happened && !testing::Test::HasFailure(); ++operation) {
    const TestDir dir;
    auto store = MustOpen(FaultyOptions(dir / "vm"));
    ASSERT_NE(store, nullptr);
    vfs.Arm(operation, fault);
    ASSERT_TRUE(RunThroughOutage(*store, vfs, expected)) << operation;
    happened = vfs.happened();
    vfs.Heal();
    store.reset();
    store = MustOpen(FaultyOptions(dir / "vm"));
    ASSERT_NE(store, nullptr) << operation;
    EXPECT_EQ(ContentOf(*store), expected.back()) << operation;
  }
  EXPECT_GT(operation, 20);
}

TEST(StoreOutage, OneOperationFails) { OutageAtEachOperation(FaultyVfs::Fault::kOnce); }

TEST(StoreOutage, AllOperationsFailForAWhile) { OutageAtEachOperation(FaultyVfs::Fault::kStays); }

// Of bytes that were being overwritten as the power failed, each may be there or not.
SecretBytes Mixed(const SecretBytes& before, SecretBytes after, std::mt19937& random) {
  for (std::size_t i = 0; i < after.size(); ++i) {
    if (random() % 2 == 0) after[i] = before[i];
  }
  return after;
}

// A FileAnchor on the disk that loses power.
class PoweredAnchor final : public Anchor {
 public:
  PoweredAnchor(const std::string& path, FaultyVfs& vfs, std::mt19937& random)
      : path_(path), file_(path, TestUuid(7), TestBytes(32, 9)), vfs_(vfs), random_(random) {}
  Result<AnchorValue> Read() override { return file_.Read(); }
  Status Advance(const AnchorValue& value) override {
    const Error off{ErrorCode::kSystem, "no power"};
    if (vfs_.down()) return off;
    const auto before = ReadSmallFile(path_);
    VTEE_TRY(file_.Advance(value));
    if (!vfs_.Fails()) return {};
    const auto after = ReadSmallFile(path_);
    if (before.ok() && *before) {
      EXPECT_TRUE(WriteDurably(path_, Mixed(**before, **after, random_)).ok());
    } else if (random_() % 2 == 0) {
      std::filesystem::remove(path_);  // a rename is done or not
    }
    return off;
  }
  std::string name() const override { return path_; }

 private:
  const std::string path_;
  FileAnchor file_;
  FaultyVfs& vfs_;
  std::mt19937& random_;
};

TEST(StoreOutage, PowerFailsAtEachOperation) {
  FaultyVfs vfs(kVfs);
  const std::vector<Content> expected = ExpectedContent();
  std::mt19937 random(3);
  bool happened = true;
  int operation = 1;
  for (; happened && !testing::Test::HasFailure(); ++operation) {
    const TestDir dir;
    vfs.Arm(operation, FaultyVfs::Fault::kPower);
    std::size_t done = 0;
    const auto options = [&](const char* file_system) {
      SqliteStoreOptions chosen = TestOptions(dir / "vm");
      chosen.vfs = file_system;
      chosen.anchor = std::make_unique<PoweredAnchor>(dir / "anchor", vfs, random);
      return chosen;
    };
    {
      auto store = SqliteStore::Open(options(kVfs));
      while (store.ok() && done < kTestSteps &&
             TestStep(**store, static_cast<int>(done)) == code::kSuccess) {
        ++done;
      }
    }
    happened = vfs.happened();
    vfs.LosePower(random);
    auto store = MustOpen(options(nullptr));
    ASSERT_NE(store, nullptr) << operation;
    const auto content = ContentOf(*store);
    ASSERT_TRUE(content) << operation;
    EXPECT_TRUE(*content == expected[done] || (done < kTestSteps && *content == expected[done + 1]))
        << "operation " << operation << ", after step " << done;
  }
  EXPECT_GT(operation, 20);
}

class FlakyAnchor final : public Anchor {
 public:
  FlakyAnchor(std::unique_ptr<Anchor> real, const bool& works)
      : real_(std::move(real)), works_(works) {}
  Result<AnchorValue> Read() override { return real_->Read(); }
  Status Advance(const AnchorValue& value) override {
    if (!works_) return Error{ErrorCode::kUnavailable, "test"};
    return real_->Advance(value);
  }
  std::string name() const override { return "test"; }

 private:
  std::unique_ptr<Anchor> real_;
  const bool& works_;
};

SqliteStoreOptions FlakyOptions(const TestDir& dir, const bool& works) {
  SqliteStoreOptions options = TestOptions(dir / "vm");
  options.anchor = std::make_unique<FlakyAnchor>(
      std::make_unique<FileAnchor>(dir / "anchor", options.vm, TestBytes(32, 9)), works);
  return options;
}

TEST(StoreOutage, NothingGoesOnWithoutTheAnchor) {
  const TestDir dir;
  bool works = true;
  auto store = MustOpen(FlakyOptions(dir, works));
  ASSERT_NE(store, nullptr);
  ASSERT_EQ(store->Create(TestKey("a"), TestRecord(), TestBytes(10, 1), false), code::kSuccess);
  works = false;
  ObjectRecord record;
  EXPECT_EQ(store->SetUsage(TestKey("a"), 1), code::kStorageNotAvailable);
  EXPECT_EQ(store->Load(TestKey("a"), record), code::kStorageNotAvailable);
  EXPECT_EQ(store->SetUsage(TestKey("a"), 2), code::kStorageNotAvailable);
  works = true;
  EXPECT_EQ(store->Load(TestKey("a"), record), code::kSuccess);
  EXPECT_EQ(store->SetUsage(TestKey("a"), 3), code::kSuccess);
  // And with an end of the process in between.
  works = false;
  EXPECT_EQ(store->SetUsage(TestKey("a"), 4), code::kStorageNotAvailable);
  store.reset();
  EXPECT_THAT(Refusal(FlakyOptions(dir, works)), testing::HasSubstr("cannot write the anchor"));
  works = true;
  store = MustOpen(FlakyOptions(dir, works));
  ASSERT_NE(store, nullptr);
  EXPECT_EQ(store->Load(TestKey("a"), record), code::kSuccess);
  EXPECT_EQ(record.usage, 4U);
}

}  // namespace
}  // namespace vtee::ta
