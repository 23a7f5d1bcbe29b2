// SPDX-License-Identifier: BSD-3-Clause
#include "mediator/chores.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <new>
#include <vector>

namespace vtee::mediator {
namespace {

std::chrono::steady_clock::time_point In(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}
constexpr std::chrono::milliseconds kLong(5000);

TEST(ChoresTest, NothingToDoIsDone) {
  Chores chores;
  EXPECT_TRUE(chores.WaitUntilDone(In(std::chrono::milliseconds(0))));
}

TEST(ChoresTest, AreDoneInOrder) {
  std::vector<int> done;
  Chores chores;
  for (int i = 0; i < 5; ++i) chores.Add([&done, i] { done.push_back(i); });
  ASSERT_TRUE(chores.WaitUntilDone(In(kLong)));
  EXPECT_EQ(done, (std::vector<int>{0, 1, 2, 3, 4}));
}

TEST(ChoresTest, OneThatTakesLongHoldsNobodyUp) {
  std::promise<void> gate;
  Chores chores;
  chores.Add([&] { gate.get_future().wait(); });
  EXPECT_FALSE(chores.WaitUntilDone(In(std::chrono::milliseconds(20))));
  gate.set_value();
  EXPECT_TRUE(chores.WaitUntilDone(In(kLong)));
}

TEST(ChoresTest, TheEndWaitsForAll) {
  std::atomic<int> done = 0;
  {
    Chores chores;
    for (int i = 0; i < 100; ++i) chores.Add([&] { ++done; });
  }
  EXPECT_EQ(done, 100);
}

TEST(ChoresTest, WhatAChoreHoldsGoesBeforeItCountsAsDone) {
  const auto held = std::make_shared<int>(1);
  Chores chores;
  chores.Add([held] {});
  ASSERT_TRUE(chores.WaitUntilDone(In(kLong)));
  EXPECT_EQ(held.use_count(), 1);
}

TEST(ChoresTest, OneWithoutMemoryIsBegunAgain) {
  int begun = 0;
  Chores chores;
  chores.Add([&] {
    if (++begun < 3) throw std::bad_alloc();
  });
  ASSERT_TRUE(chores.WaitUntilDone(In(kLong)));
  EXPECT_EQ(begun, 3);
}

}  // namespace
}  // namespace vtee::mediator
