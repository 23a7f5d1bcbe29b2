// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/tpm.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ta/storage/test_store.h"
#include "ta/storage/test_tpm.h"

namespace vtee::ta {
namespace {

using testing::HasSubstr;

constexpr std::uint32_t kIndex = 0x01800123;

class TpmTest : public testing::Test {
 protected:
  void SetUp() override {
    if (!SoftTpm::Available()) GTEST_SKIP() << "no swtpm or no tpm2-tss here";
    soft_.emplace(dir_ / "tpm");
    ASSERT_TRUE(soft_->on());
  }
  Tpm Own() const { return Tpm(soft_->tcti()); }

  TestDir dir_;
  std::optional<SoftTpm> soft_;
};

TEST_F(TpmTest, UnsealsWhatItSealedAfterAPowerCycle) {
  const SecretBytes key = TestBytes(32, 5);
  const auto sealed = Own().Seal(key);
  ASSERT_TRUE(sealed.ok()) << sealed.error().message;
  EXPECT_EQ(std::search(sealed->begin(), sealed->end(), key.begin(), key.begin() + 8),
            sealed->end());
  soft_->Off();
  soft_->On();
  const auto opened = Own().Unseal(*sealed);
  ASSERT_TRUE(opened.ok()) << opened.error().message;
  EXPECT_EQ(*opened, key);
}

TEST_F(TpmTest, AClearedOneOpensNothing) {
  const auto sealed = Own().Seal(TestBytes(32, 5));
  ASSERT_TRUE(sealed.ok());
  soft_->Clear();
  EXPECT_THAT(Own().Unseal(*sealed).error().message, HasSubstr("this one was cleared since"));
}

TEST_F(TpmTest, ADamagedSecretIsRefused) {
  const auto sealed = Own().Seal(TestBytes(32, 5));
  ASSERT_TRUE(sealed.ok());
  for (std::size_t i = 0; i < sealed->size(); i += 7) {
    SecretBytes bad = *sealed;
    bad[i] ^= std::byte{1};
    EXPECT_FALSE(Own().Unseal(bad).ok()) << i;
  }
  for (std::size_t size = 0; size < sealed->size(); size += 17) {
    EXPECT_FALSE(Own().Unseal(ConstBytes(*sealed).first(size)).ok()) << size;
  }
}

TEST_F(TpmTest, CountersOnlyGoUp) {
  const SecretBytes auth = TestBytes(32, 6);
  const auto first = Own().MakeCounter(kIndex, auth);
  ASSERT_TRUE(first.ok()) << first.error().message;
  EXPECT_EQ(Own().ReadCounter(kIndex, auth).value(), *first);
  EXPECT_EQ(Own().Increment(kIndex, auth).value(), *first + 1);
  soft_->Off();
  soft_->On();
  EXPECT_EQ(Own().ReadCounter(kIndex, auth).value(), *first + 1);
  EXPECT_EQ(Own().MakeCounter(kIndex, auth).error().code, ErrorCode::kResourceExhausted);
  ASSERT_TRUE(Own().RemoveCounter(kIndex, auth).ok());
  EXPECT_EQ(Own().ReadCounter(kIndex, auth).error().code, ErrorCode::kNotFound);
  EXPECT_GT(Own().MakeCounter(kIndex, auth).value(), *first + 1);
}

TEST_F(TpmTest, NobodyElseReadsCountsOrRemovesIt) {
  const SecretBytes auth = TestBytes(32, 6);
  ASSERT_TRUE(Own().MakeCounter(kIndex, auth).ok());
  const SecretBytes other = TestBytes(32, 7);
  for (int i = 0; i < 8; ++i) {  // and no lockout follows
    EXPECT_EQ(Own().ReadCounter(kIndex, other).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(Own().Increment(kIndex, other).error().code, ErrorCode::kNotFound);
    EXPECT_EQ(Own().RemoveCounter(kIndex, other).error().code, ErrorCode::kNotFound);
  }
  EXPECT_TRUE(Own().Increment(kIndex, auth).ok());
}

TEST_F(TpmTest, LeavesNothingInTheTpm) {
  for (int i = 0; i < 10; ++i) {  // it has room for three objects and as many sessions
    const auto sealed = Own().Seal(TestBytes(32, 5));
    ASSERT_TRUE(sealed.ok()) << sealed.error().message;
    ASSERT_TRUE(Own().Unseal(*sealed).ok());
  }
}

TEST_F(TpmTest, OneThatIsOffIsSaid) {
  soft_->Off();
  const auto error = Own().Seal(TestBytes(32, 5)).error();
  EXPECT_EQ(error.code, ErrorCode::kUnavailable);
  EXPECT_THAT(error.message, HasSubstr("cannot be reached"));
  EXPECT_THAT(Tpm("device:/nonexistent").Seal({}).error().message, HasSubstr("/nonexistent"));
}

}  // namespace
}  // namespace vtee::ta
