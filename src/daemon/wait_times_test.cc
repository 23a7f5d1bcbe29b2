// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/wait_times.h"

#include <gtest/gtest.h>
#include <sched.h>

#include <algorithm>
#include <thread>

namespace vtee::daemon {
namespace {

TEST(WaitTimesTest, AWakeUpCostsSomething) {
  const std::uint64_t wake_up = MeasureWakeUpNanos();
  EXPECT_GT(wake_up, 0u);
  EXPECT_LT(wake_up, 1'000'000'000u);
}

TEST(WaitTimesTest, FollowTheMachineWithinBounds) {
  EXPECT_EQ(FitWaitTimes(0, 0).spin_us, 200u);
  EXPECT_EQ(FitWaitTimes(0, 0).park_after_us, 2'000u);
  EXPECT_EQ(FitWaitTimes(20'000, 0).spin_us, 800u);
  EXPECT_EQ(FitWaitTimes(100'000, 0).park_after_us, 4'000u);
  EXPECT_EQ(FitWaitTimes(~std::uint64_t{0}, 0).spin_us, 2'000u);
  EXPECT_EQ(FitWaitTimes(~std::uint64_t{0}, 0).park_after_us, 10'000u);
}

TEST(WaitTimesTest, ThePersonsChoiceOfParkingStands) {
  EXPECT_EQ(FitWaitTimes(100'000, 1).park_after_us, 1u);
  EXPECT_EQ(FitWaitTimes(0, 900'000).park_after_us, 900'000u);
}

TEST(WaitTimesTest, EachSideSpinsOnHalfOfTheProcessorsAtMost) {
  cpu_set_t cpus;
  ASSERT_EQ(sched_getaffinity(0, sizeof cpus, &cpus), 0);
  EXPECT_EQ(FitWaitTimes(0, 0).spinners, std::max(1u, CPU_COUNT(&cpus) / 2u));
}

TEST(WaitTimesTest, OnASingleCpuNobodySpins) {
  std::thread([] {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(static_cast<std::size_t>(sched_getcpu()), &one);
    ASSERT_EQ(sched_setaffinity(0, sizeof one, &one), 0);
    EXPECT_EQ(FitWaitTimes(100'000, 0).spin_us, 0u);
    EXPECT_EQ(FitWaitTimes(100'000, 0).spinners, 1u);
  }).join();
}

}  // namespace
}  // namespace vtee::daemon
