// SPDX-License-Identifier: BSD-3-Clause
#include "runner/access_check.h"

#include <gtest/gtest.h>

namespace vtee::runner {
namespace {

constexpr Region kRegions[] = {
    {0x1000, 0x2000, kRegionRead | kRegionExecute | kRegionPrivate, 0},
    {0x2000, 0x4000, kRegionRead | kRegionWrite | kRegionPrivate, 0},
    {0x5000, 0x6000, kRegionRead | kRegionWrite | kRegionNonSecure, 0},
    {0x6000, 0x7000, kRegionRead | kRegionWrite, 0},
};

std::uint64_t Check(std::uint64_t flags, std::uint64_t address, std::uint64_t size) {
  return CheckAccess(kRegions, std::size(kRegions), flags, address, size);
}

TEST(CheckAccess, OfNoBytesIsAllowed) {
  EXPECT_EQ(Check(kAccessRead, 0, 0), 0u);
  EXPECT_EQ(Check(kAccessWrite, ~0ull, 0), 0u);
}

TEST(CheckAccess, WantsEachPageMappedWithTheRights) {
  EXPECT_EQ(Check(kAccessRead, 0x1000, 0x1000), 0u);
  EXPECT_EQ(Check(kAccessWrite, 0x1000, 1), kAccessDenied);
  EXPECT_EQ(Check(kAccessRead | kAccessWrite, 0x2000, 0x2000), 0u);
  EXPECT_EQ(Check(kAccessRead, 0x3fff, 2), kAccessDenied);
  EXPECT_EQ(Check(kAccessRead, 0xfff, 1), kAccessDenied);
  EXPECT_EQ(Check(kAccessRead, 0x7000, 1), kAccessDenied);
}

TEST(CheckAccess, WithoutAnyOwnerWantsOneRegionOfTheTas) {
  EXPECT_EQ(Check(kAccessRead, 0x1ff0, 0x20), kAccessDenied);
  EXPECT_EQ(Check(kAccessRead | kAccessAnyOwner, 0x1ff0, 0x20), 0u);
  EXPECT_EQ(Check(kAccessRead, 0x5000, 1), kAccessDenied);
  EXPECT_EQ(Check(kAccessRead | kAccessAnyOwner, 0x5800, 0x1000), 0u);
}

TEST(CheckAccess, TellsTheGuestsMemoryFromTheTees) {
  EXPECT_EQ(Check(kAccessAnyOwner | kAccessNonSecure, 0x5000, 0x1000), 0u);
  EXPECT_EQ(Check(kAccessAnyOwner | kAccessNonSecure, 0x5000, 0x1001), kAccessDenied);
  EXPECT_EQ(Check(kAccessAnyOwner | kAccessSecure, 0x5000, 1), kAccessDenied);
  EXPECT_EQ(Check(kAccessAnyOwner | kAccessSecure, 0x6000, 1), 0u);
  EXPECT_EQ(Check(kAccessAnyOwner | kAccessSecure | kAccessNonSecure, 0x6000, 1), kAccessDenied);
}

TEST(CheckAccess, DoesNotWrap) {
  EXPECT_EQ(Check(kAccessRead | kAccessAnyOwner, 0x1000, ~0ull), kAccessDenied);
  EXPECT_EQ(Check(kAccessRead | kAccessAnyOwner, ~0ull, 1), kAccessDenied);
}

TEST(CheckAccess, CountsThatLieReadNoFurther) {
  EXPECT_EQ(CheckAccess(kRegions, 0, kAccessRead, 0x1000, 1), kAccessDenied);
}

}  // namespace
}  // namespace vtee::runner
