// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/anchor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <random>

#include "ta/storage/durable_file.h"
#include "ta/storage/test_store.h"

namespace vtee::ta {
namespace {

using testing::AnyOf;
using testing::HasSubstr;

AnchorValue Value(std::uint64_t epoch) {
  AnchorValue value;
  value.epoch = epoch;
  value.state.fill(static_cast<std::byte>(epoch));
  return value;
}

class AnchorTest : public testing::Test {
 protected:
  FileAnchor Anchored(std::uint8_t vm = 1, std::uint8_t key = 2) {
    return {path_, TestUuid(vm), TestBytes(32, key)};
  }
  // With a value in each slot.
  void Fill(std::uint64_t last) {
    FileAnchor anchor = Anchored();
    for (std::uint64_t epoch = last - 2; epoch <= last; ++epoch) {
      ASSERT_TRUE(anchor.Advance(Value(epoch)).ok());
    }
  }
  std::uint64_t Epoch() {
    const auto value = Anchored().Read();
    if (!value.ok()) return 0;
    EXPECT_EQ(*value, Value(value->epoch));
    return value->epoch;
  }
  SecretBytes Bytes() { return ReadSmallFile(path_).value().value(); }

  TestDir dir_;
  const std::string path_ = dir_ / "anchor";
};

TEST_F(AnchorTest, KeepsTheLastValue) {
  EXPECT_EQ(Anchored().Read().value().epoch, 0U);
  for (const std::uint64_t epoch : {1, 2, 3, 9, 4}) {  // back, too: whoever has the key decides
    FileAnchor anchor = Anchored();
    ASSERT_TRUE(anchor.Read().ok());
    ASSERT_TRUE(anchor.Advance(Value(epoch)).ok());
    EXPECT_EQ(Epoch(), epoch);
  }
}

TEST_F(AnchorTest, OverwritesInPlaceForItsOwnerAlone) {
  FileAnchor anchor = Anchored();
  ASSERT_TRUE(anchor.Advance(Value(1)).ok());
  struct stat before {
  }, after{};
  ASSERT_EQ(stat(path_.c_str(), &before), 0);
  EXPECT_EQ(before.st_mode & 0777, 0600U);
  for (std::uint64_t epoch = 2; epoch < 6; ++epoch) {
    ASSERT_TRUE(anchor.Advance(Value(epoch)).ok());
  }
  ASSERT_EQ(stat(path_.c_str(), &after), 0);
  EXPECT_EQ(after.st_ino, before.st_ino);
  EXPECT_EQ(after.st_size, before.st_size);
  EXPECT_EQ(after.st_blocks, before.st_blocks);
}

TEST_F(AnchorTest, AWriteCutShortLeavesTheOneBefore) {
  Fill(7);
  const SecretBytes before = Bytes();
  FileAnchor anchor = Anchored();
  ASSERT_TRUE(anchor.Read().ok());
  ASSERT_TRUE(anchor.Advance(Value(8)).ok());
  const SecretBytes after = Bytes();
  std::mt19937 random(5);
  int old = 0;
  for (std::size_t cut = 0; cut <= after.size(); ++cut) {
    SecretBytes mixed = after;  // up to `cut`, or any bytes of it
    for (std::size_t i = cut; i < mixed.size(); ++i) mixed[i] = before[i];
    ASSERT_TRUE(WriteDurably(path_, mixed).ok());
    EXPECT_THAT(Epoch(), AnyOf(7U, 8U)) << cut;
    for (std::size_t i = 0; i < mixed.size(); ++i) mixed[i] = (random() % 2 ? before : after)[i];
    ASSERT_TRUE(WriteDurably(path_, mixed).ok());
    old += Epoch() == 7 ? 1 : 0;
    if (cut > 200) cut += 61;
  }
  EXPECT_GT(old, 100);
}

TEST_F(AnchorTest, AFlippedBitIsNeverAnotherValue) {
  Fill(7);
  const SecretBytes good = Bytes();
  for (std::size_t i = 0; i < good.size(); i += i % 4096 < 128 ? 1 : 31) {
    SecretBytes bad = good;
    bad[i] ^= std::byte{0x10};
    ASSERT_TRUE(WriteDurably(path_, bad).ok());
    EXPECT_THAT(Epoch(), AnyOf(6U, 7U)) << i;
  }
}

TEST_F(AnchorTest, TheSlotsCannotChangePlaces) {
  Fill(7);
  SecretBytes bytes = Bytes();
  std::rotate(bytes.begin(), bytes.begin() + 4096, bytes.end());
  ASSERT_TRUE(WriteDurably(path_, bytes).ok());
  EXPECT_FALSE(Anchored().Read().ok());
}

TEST_F(AnchorTest, RefusesWhatIsNotItsOwn) {
  Fill(7);
  const auto sentence = [&](FileAnchor anchor) {
    const auto value = anchor.Read();
    return value.ok() ? "" : value.error().message;
  };
  EXPECT_THAT(sentence(Anchored(3)), HasSubstr("belongs to another VM"));
  EXPECT_THAT(sentence(Anchored(1, 3)), HasSubstr("damaged or was made with another key"));
  SecretBytes bytes = Bytes();
  bytes.resize(bytes.size() - 1);
  ASSERT_TRUE(WriteDurably(path_, bytes).ok());
  EXPECT_THAT(sentence(Anchored()), HasSubstr("damaged"));
}

TEST_F(AnchorTest, ClaimsWhoseItIs) {
  Fill(7);
  const auto claim = ClaimOfAnchor(Bytes());
  ASSERT_TRUE(claim);
  EXPECT_EQ(claim->vm, TestUuid(1));
  EXPECT_EQ(claim->value, Value(7));
  EXPECT_FALSE(ClaimOfAnchor(TestBytes(8192, 3)));
  EXPECT_FALSE(ClaimOfAnchor({}));
}

// A counter that fails as told.
struct Counted {
  std::uint64_t value = 40;
  bool there = false;
  int fail_in = 0;         // the n-th increment fails
  bool but_count = false;  // after it was done
};
class FakeCounter final : public RollbackCounter {
 public:
  explicit FakeCounter(Counted& counted) : counted_(counted) {}
  Result<std::uint64_t> Read() override {
    if (!counted_.there) return Error{ErrorCode::kNotFound, "none"};
    return counted_.value;
  }
  Result<std::uint64_t> Make() override {
    counted_.there = true;
    return counted_.value;
  }
  Result<std::uint64_t> Increment() override {
    const bool fails = counted_.fail_in == 1;
    if (counted_.fail_in > 0) --counted_.fail_in;
    if (!fails || counted_.but_count) ++counted_.value;
    if (fails) return Error{ErrorCode::kSystem, "told to fail"};
    return counted_.value;
  }
  Status Remove() override { return {}; }
  std::string name() const override { return "the counter"; }

 private:
  Counted& counted_;
};

class CountedAnchor : public AnchorTest {
 protected:
  FileAnchor Counting(std::uint32_t every) {
    return {path_, TestUuid(1), TestBytes(32, 2), {std::make_unique<FakeCounter>(counted_), every}};
  }
  std::string Sentence(FileAnchor anchor) {
    const auto value = anchor.Read();
    return value.ok() ? "" : value.error().message;
  }
  Counted counted_;
};

TEST_F(CountedAnchor, CountsTheFirstChangeAndEachBatch) {
  {
    FileAnchor anchor = Counting(3);
    ASSERT_TRUE(anchor.Read().ok());
    for (std::uint64_t epoch = 1; epoch <= 7; ++epoch) {
      ASSERT_TRUE(anchor.Advance(Value(epoch)).ok());
    }
  }
  EXPECT_EQ(counted_.value, 43U);  // 1, 4, 7
  FileAnchor again = Counting(3);
  ASSERT_EQ(again.Read().value(), Value(7));
  EXPECT_EQ(counted_.value, 43U);
  ASSERT_TRUE(again.Advance(Value(8)).ok());
  ASSERT_TRUE(again.Advance(Value(9)).ok());
  EXPECT_EQ(counted_.value, 44U);
}

TEST_F(CountedAnchor, AnOldFileIsRefused) {
  FileAnchor anchor = Counting(2);
  ASSERT_TRUE(anchor.Advance(Value(1)).ok());
  const SecretBytes old = Bytes();
  ASSERT_TRUE(anchor.Advance(Value(2)).ok());
  EXPECT_EQ(Sentence(Counting(2)), "");
  ASSERT_TRUE(anchor.Advance(Value(3)).ok());
  ASSERT_TRUE(WriteDurably(path_, old).ok());
  EXPECT_THAT(Sentence(Counting(2)), HasSubstr("is older than what the VM last used"));
  counted_.value -= 5;
  EXPECT_THAT(Sentence(Counting(2)), HasSubstr("is ahead of what should be"));
  counted_.there = false;
  EXPECT_THAT(Sentence(Counting(2)), HasSubstr("do not go together"));
  EXPECT_THAT(Sentence(Anchored()), HasSubstr("add state_key=tpm:"));
}

TEST_F(CountedAnchor, OneThatNeverCountedIsRefused) {
  Fill(7);
  EXPECT_THAT(Sentence(Counting(1)), HasSubstr("do not go together"));
  std::filesystem::remove(path_);
  counted_.there = true;
  EXPECT_THAT(Sentence(Counting(1)), HasSubstr("says that there was one"));
}

// Of each increment, whether it was done or not.
TEST_F(CountedAnchor, FailuresOfTheCounterAreMadeUpFor) {
  for (const bool but_count : {false, true}) {
    for (int fail = 1; fail <= 4; ++fail) {
      for (const bool restart : {false, true}) {
        std::filesystem::remove(path_);
        counted_ = {40, false, fail, but_count};
        auto anchor = std::make_unique<FileAnchor>(Counting(2));
        int failures = 0;
        for (std::uint64_t epoch = 1; epoch <= 9; ++epoch) {
          while (!anchor->Advance(Value(epoch)).ok()) {
            ++failures;
            if (!restart) continue;
            anchor = std::make_unique<FileAnchor>(Counting(2));
            ASSERT_EQ(anchor->Read().value(), Value(epoch));
          }
        }
        EXPECT_EQ(failures, 1);
        EXPECT_EQ(Sentence(Counting(2)), "");
      }
    }
  }
}

TEST_F(CountedAnchor, RestartedItRefusesEveryOlderFile) {
  FileAnchor anchor = Counting(8);
  ASSERT_TRUE(anchor.Advance(Value(5)).ok());
  ASSERT_TRUE(anchor.Advance(Value(6)).ok());
  const SecretBytes old = Bytes();
  ASSERT_TRUE(Counting(8).Restart(Value(2)).ok());
  EXPECT_EQ(Counting(8).Read().value(), Value(2));
  ASSERT_TRUE(WriteDurably(path_, old).ok());
  EXPECT_THAT(Sentence(Counting(8)), HasSubstr("is older"));
}

TEST_F(AnchorTest, AFullDiskIsSaidAndLeavesNothing) {
  ::signal(SIGXFSZ, SIG_IGN);
  rlimit limit{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &limit), 0);
  const rlimit small{4096, limit.rlim_max};
  ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &small), 0);
  FileAnchor anchor = Anchored();
  const Status status = anchor.Advance(Value(1));
  setrlimit(RLIMIT_FSIZE, &limit);
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message, HasSubstr("cannot write"));
  EXPECT_EQ(Anchored().Read().value().epoch, 0U);
  EXPECT_TRUE(anchor.Advance(Value(1)).ok());
  EXPECT_EQ(Epoch(), 1U);
}

}  // namespace
}  // namespace vtee::ta
