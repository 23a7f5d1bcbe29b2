// SPDX-License-Identifier: BSD-3-Clause
#include "ta/process/runner_starter.h"

#include <gtest/gtest.h>
#include <signal.h>

#include <algorithm>
#include <chrono>
#include <set>
#include <thread>

namespace vtee::ta {
namespace {

using std::chrono::milliseconds;

class Starter : public ::testing::Test {
 protected:
  void Make(std::uint32_t pool) {
    auto program = RunnerProgram::Find();
    ASSERT_TRUE(program.ok()) << program.error().message;
    starter = std::make_unique<RunnerStarter>(
        RunnerStarter::Options{std::move(program).value(), 1u << 20, pool});
  }
  std::unique_ptr<RunnerProcess> Start() {
    auto started = starter->Start();
    EXPECT_TRUE(started.ok()) << started.error().message;
    return started.ok() ? std::move(started).value() : nullptr;
  }
  // Waits until the pool has so many that are not `other`.
  bool Pooled(std::size_t count, pid_t other = -1) {
    for (int i = 0; i < 2000; ++i) {
      const std::vector<pid_t> pids = starter->pooled();
      if (pids.size() == count && std::ranges::count(pids, other) == 0) return true;
      std::this_thread::sleep_for(milliseconds(10));
    }
    return false;
  }
  static bool Works(RunnerProcess& process) {
    process.arena().channel().args[0] = 0;
    return process.Exchange(runner::Request::kProtect) && process.arena().channel().args[0] == 0;
  }

  std::unique_ptr<RunnerStarter> starter;
};

TEST_F(Starter, ThePoolIsEmptyUntilTheFirstStart) {
  Make(2);
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_TRUE(starter->pooled().empty());
  const auto process = Start();
  ASSERT_TRUE(process);
  EXPECT_TRUE(Works(*process));
  EXPECT_TRUE(Pooled(2));
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_EQ(starter->pooled().size(), 2u);
}

TEST_F(Starter, WhatIsInThePoolIsHandedOutAndReplaced) {
  Make(1);
  const auto first = Start();
  ASSERT_TRUE(Pooled(1));
  const pid_t ahead = starter->pooled().front();
  const auto second = Start();
  ASSERT_TRUE(first && second);
  EXPECT_EQ(second->pid(), ahead);
  EXPECT_TRUE(Works(*second));
  EXPECT_TRUE(Pooled(1, ahead));
}

TEST_F(Starter, WhatHasDiedInThePoolIsNotHandedOutAndIsReplaced) {
  Make(1);
  const auto first = Start();
  ASSERT_TRUE(Pooled(1));
  const pid_t died = starter->pooled().front();
  ASSERT_EQ(kill(died, SIGKILL), 0);
  std::this_thread::sleep_for(milliseconds(100));
  const auto second = Start();
  ASSERT_TRUE(second);
  EXPECT_NE(second->pid(), died);
  EXPECT_TRUE(Works(*second));
  EXPECT_TRUE(Pooled(1, died));
}

TEST_F(Starter, WithoutAPoolNoneIsStartedAhead) {
  Make(0);
  const auto process = Start();
  ASSERT_TRUE(process);
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_TRUE(starter->pooled().empty());
}

TEST_F(Starter, ManyAtATimeGetOneEach) {
  Make(2);
  constexpr int kMany = 8;
  std::vector<std::unique_ptr<RunnerProcess>> processes(kMany);
  std::vector<std::thread> threads;
  for (auto& process : processes) threads.emplace_back([&] { process = Start(); });
  for (auto& thread : threads) thread.join();
  std::set<pid_t> pids;
  for (const auto& process : processes) {
    ASSERT_TRUE(process);
    EXPECT_TRUE(Works(*process));
    pids.insert(process->pid());
  }
  EXPECT_EQ(pids.size(), static_cast<std::size_t>(kMany));
}

TEST_F(Starter, ThePoolEndsWithTheStarter) {
  Make(1);
  Start();
  ASSERT_TRUE(Pooled(1));
  const pid_t ahead = starter->pooled().front();
  starter.reset();
  EXPECT_EQ(kill(ahead, 0), -1);
  EXPECT_EQ(errno, ESRCH);
}

// A pool that cannot be filled costs no more than the attempt.
TEST(StarterOfNothing, SaysWhyEachTime) {
  RunnerStarter starter({{"/nonexistent/vtee-ta", ""}, 1u << 20, 2});
  for (int i = 0; i < 2; ++i) {
    const auto started = starter.Start();
    ASSERT_FALSE(started.ok());
    EXPECT_NE(started.error().message.find("/nonexistent/vtee-ta"), std::string::npos);
  }
  EXPECT_TRUE(starter.pooled().empty());
}

}  // namespace
}  // namespace vtee::ta
