// SPDX-License-Identifier: BSD-3-Clause
// vteed and its VMM, killed and stopped at every system call that they make in a whole life.
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <thread>

#include "daemon/test_life_run.h"

namespace vtee::daemon {
namespace {

using Action = StepPlan::Action;
using Victim = LifeRun::Victim;

constexpr std::size_t kFewestSteps = 150;

bool EndedWell(int status) { return WIFEXITED(status) && WEXITSTATUS(status) == 0; }
bool WasKilled(int status) { return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL; }

// How many system calls the victim makes when nothing is done to it.
std::size_t CountSteps(Victim victim) {
  LifeRun run;
  run.victim = victim;
  run.Run();
  EXPECT_TRUE(run.in_time && EndedWell(run.vmm_status) && EndedWell(run.vteed_status))
      << run.Describe();
  EXPECT_GE(run.steps.size(), kFewestSteps);
  return run.steps.size();
}

// One life for each step; check(run) looks at each.
template <typename Check>
void AtEachStep(Victim victim, StepPlan plan, LifeJudge judge, Check check) {
  const std::size_t steps = CountSteps(victim);
  std::size_t lives = 0;
  std::size_t reached = 0;
  for (plan.at = 1; plan.at <= steps && !testing::Test::HasFailure(); plan.at += LifeStride()) {
    LifeRun run;
    run.victim = victim;
    run.judge = judge;
    run.plan = plan;
    run.Run();
    ++lives;
    reached += run.reached ? 1 : 0;
    ASSERT_TRUE(run.in_time) << run.Describe();
    check(run);
  }
  std::printf("%zu steps; %zu lives, of which %zu came to their step\n", steps, lives, reached);
  // No two lives are quite the same: a thread sleeps in one and need not in the other.
  EXPECT_GE(reached * 10, lives * (VTEED_SLOW_BUILD ? 5 : 8));
}

TEST(CrashStepsTest, UndisturbedLivesGoWell) {
  LifeRun run;
  run.Run();
  ASSERT_TRUE(run.in_time);
  EXPECT_TRUE(EndedWell(run.vmm_status) && EndedWell(run.vteed_status)) << run.Describe();
  EXPECT_EQ(run.vmm->attached, 1u);
  EXPECT_EQ(run.vmm->lost, 0u);
  EXPECT_EQ(run.vmm->sentences.load(), 0u);
  EXPECT_GT(run.vmm->calls.load(), 30u);
  EXPECT_EQ(run.vmm->own_descriptors, 0u);
  EXPECT_EQ(run.vmm->guest_mappings, 2u) << "one for each slot";
}

TEST(CrashStepsTest, VteedKilled) {
  StepPlan plan;
  plan.action = Action::kKill;
  AtEachStep(Victim::kVteed, plan, LifeJudge::kUntilLost, [](const LifeRun& run) {
    EXPECT_TRUE(EndedWell(run.vmm_status)) << run.Describe();
    EXPECT_TRUE(WasKilled(run.vteed_status) == run.reached) << run.Describe();
    const bool lost = run.vmm->attached == 0 || run.vmm->lost != 0;
    EXPECT_EQ(run.vmm->sentences.load(), lost ? 1u : 0u) << run.Describe();
    EXPECT_EQ(run.vmm->own_descriptors, 0u) << run.Describe();
  });
}

TEST(CrashStepsTest, VteedStopped) {
  StepPlan plan;
  plan.action = Action::kStop;
  std::size_t held = 0;
  plan.while_stopped = [&held] {
    const LifeShared& vmm = LifeRun::shared();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));  // what it had done arrives
    const std::uint32_t calls = vmm.calls.load();
    const std::uint32_t inside = vmm.in_call.load();
    const std::uint32_t before = vmm.interruptions.load();
    for (int i = 0; i < 1000 && vmm.interruptions.load() == before; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(i < 30 ? 1 : 10));
      if (inside == 0 && i > 5) break;  // waits for no call
      if (calls != vmm.calls.load() || inside != vmm.in_call.load()) break;
    }
    if (inside == 0 || calls != vmm.calls.load() || inside != vmm.in_call.load()) return;
    ++held;
    EXPECT_GT(vmm.interruptions.load(), before) << "a vCPU's thread could not be had back";
  };
  AtEachStep(Victim::kVteed, plan, LifeJudge::kStrict, [](const LifeRun& run) {
    EXPECT_TRUE(EndedWell(run.vmm_status)) << run.Describe();
    EXPECT_TRUE(EndedWell(run.vteed_status)) << run.Describe();
    EXPECT_EQ(run.vmm->sentences.load(), 0u) << run.Describe();
    EXPECT_EQ(run.vmm->own_descriptors, 0u) << run.Describe();
  });
  std::printf("%zu times a vCPU waited in a call and could be had back\n", held);
  EXPECT_GT(held, 60 / LifeStride());
}

TEST(CrashStepsTest, VmmKilled) {
  StepPlan plan;
  plan.action = Action::kKill;
  std::chrono::nanoseconds longest{0};
  AtEachStep(Victim::kVmm, plan, LifeJudge::kStrict, [&longest](const LifeRun& run) {
    EXPECT_TRUE(WasKilled(run.vmm_status) == run.reached) << run.Describe();
    EXPECT_TRUE(EndedWell(run.vteed_status)) << run.Describe();
    if (run.reached) longest = std::max(longest, run.vteed_outlived_vmm);
  });
  const auto milliseconds = std::chrono::duration_cast<std::chrono::milliseconds>(longest).count();
  std::printf("vteed ended %lld ms after its VMM at the latest\n",
              static_cast<long long>(milliseconds));
  EXPECT_LT(milliseconds, VTEED_SLOW_BUILD ? 20'000 : 2'000)
      << "without a load it is 100 ms: vteed_test";
}

TEST(CrashStepsTest, VmmStopped) {
  StepPlan plan;
  plan.action = Action::kStop;
  plan.while_stopped = [] { std::this_thread::sleep_for(std::chrono::milliseconds(3)); };
  AtEachStep(Victim::kVmm, plan, LifeJudge::kStrict, [](const LifeRun& run) {
    EXPECT_TRUE(EndedWell(run.vmm_status)) << run.Describe();
    EXPECT_TRUE(EndedWell(run.vteed_status)) << run.Describe();
    EXPECT_EQ(run.vmm->sentences.load(), 0u) << run.Describe();
  });
}

}  // namespace
}  // namespace vtee::daemon
