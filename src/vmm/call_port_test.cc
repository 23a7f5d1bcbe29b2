// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/call_port.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <signal.h>

#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/futex.h"
#include "base/socket.h"

namespace vtee::vmm {
namespace {

constexpr std::uint64_t kMillisecond = 1'000'000;

// One mailbox, its port, and the hands of a vteed that the test moves itself.
class CallPortTest : public testing::Test {
 protected:
  void SetUp() override {
    auto pair = MakeSocketPair();
    ASSERT_TRUE(pair.ok());
    ours_ = std::move(pair->first);
    theirs_ = std::move(pair->second);
    health_.SetPeer(ours_.get(), 4711);
    mailbox_->served = 1;
    mailbox_->park_after_us = 900'000;
    mailbox_->spin_us = 100;
    port_.Init(header_.get(), mailbox_.get(), &health_, &spinners_);
  }

  bool Submit(std::uint64_t x0) {
    const std::uint64_t x[] = {x0, x0 + 1, x0 + 2};
    return port_.Submit(kConduitSmc, x, 3);
  }
  void Reply(std::uint32_t sequence, std::uint64_t x0, std::uint32_t count = 4) {
    for (std::uint64_t i = 0; i < kCallRegisters; ++i) mailbox_->reply_x[i] = x0 + i;
    mailbox_->reply_count = count;
    mailbox_->reply.store(sequence);
    if (mailbox_->vmm_sleeping.load() != 0) FutexWakeShared(mailbox_->reply, 1);
  }
  template <typename Condition>
  static bool Eventually(Condition condition) {
    const std::uint64_t until = MonotonicNanos() + 5'000 * kMillisecond;
    while (!condition()) {
      if (MonotonicNanos() > until) return false;
      std::this_thread::yield();
    }
    return true;
  }
  static void Collect(void* context, const char* sentence) {
    static_cast<std::vector<std::string>*>(context)->emplace_back(sentence);
  }
  static bool AlwaysStop(void*, bool) { return true; }
  static bool StopWhenInterrupted(void*, bool interrupted) { return interrupted; }

  std::vector<std::string> said_;
  UniqueFd ours_;
  UniqueFd theirs_;
  std::unique_ptr<RingHeader> header_ = std::make_unique<RingHeader>();
  std::unique_ptr<Mailbox> mailbox_ = std::make_unique<Mailbox>();
  PeerHealth health_{MessageSink{Collect, &said_}};
  SpinLimit spinners_{1};
  CallPort port_;
  CallRegisters reply_;
};

TEST_F(CallPortTest, CarriesRegistersBothWays) {
  ASSERT_TRUE(Submit(100));
  EXPECT_EQ(mailbox_->request.load(), 1u);
  EXPECT_EQ(mailbox_->conduit, kConduitSmc);
  EXPECT_EQ(mailbox_->x[2], 102u);
  EXPECT_EQ(mailbox_->x[3], 0u);
  Reply(1, 7);
  ASSERT_EQ(port_.Wait({}, reply_), CallPort::Outcome::kReplied);
  EXPECT_EQ(reply_.count, 4u);
  EXPECT_EQ(reply_.x[3], 10u);
  EXPECT_EQ(reply_.x[4], 0u) << "beyond count";
  EXPECT_FALSE(port_.pending());
  EXPECT_EQ(port_.Wait({}, reply_), CallPort::Outcome::kIdle);
  EXPECT_EQ(header_->park_doorbell.load(), 0u) << "a quick call rings nothing";
}

TEST_F(CallPortTest, AllEighteenRegistersCanBeAnswered) {
  ASSERT_TRUE(Submit(1));
  Reply(1, 50, kCallRegisters);
  ASSERT_EQ(port_.Wait({}, reply_), CallPort::Outcome::kReplied);
  EXPECT_EQ(reply_.count, kCallRegisters);
  EXPECT_EQ(reply_.x[17], 67u);
}

TEST_F(CallPortTest, OldRegistersDoNotLeakIntoTheNextCall) {
  const std::uint64_t eight[] = {1, 2, 3, 4, 5, 6, 7, 8};
  ASSERT_TRUE(port_.Submit(kConduitSmc, eight, 8));
  Reply(1, 0);
  ASSERT_EQ(port_.Wait({}, reply_), CallPort::Outcome::kReplied);
  ASSERT_TRUE(Submit(9));
  EXPECT_EQ(mailbox_->x[7], 0u);
}

TEST_F(CallPortTest, SleepsAndIsWoken) {
  ASSERT_TRUE(Submit(1));
  std::thread vteed([&] {
    EXPECT_TRUE(Eventually([&] { return mailbox_->vmm_sleeping.load() == 1; }));
    Reply(1, 20);
  });
  EXPECT_EQ(port_.Wait({}, reply_), CallPort::Outcome::kReplied);
  vteed.join();
  EXPECT_EQ(reply_.x[0], 20u);
  EXPECT_EQ(mailbox_->vmm_sleeping.load(), 0u);
}

TEST_F(CallPortTest, WakesSleepingVteed) {
  std::thread vteed([&] {
    mailbox_->vteed_sleeping.store(1);
    while (mailbox_->request.load() == 0) {
      FutexWaitShared(mailbox_->request, 0, 5'000 * kMillisecond);
    }
    Reply(1, 3);
  });
  ASSERT_TRUE(Eventually([&] { return mailbox_->vteed_sleeping.load() == 1; }));
  const std::uint64_t started = MonotonicNanos();
  ASSERT_TRUE(Submit(1));
  EXPECT_EQ(port_.Wait({}, reply_), CallPort::Outcome::kReplied);
  vteed.join();
  EXPECT_LT(MonotonicNanos() - started, 4'000 * kMillisecond);
}

TEST_F(CallPortTest, AsksToParkAfterTheTimeVteedAllows) {
  mailbox_->park_after_us = 3'000;
  const std::uint64_t started = MonotonicNanos();
  ASSERT_TRUE(Submit(1));
  std::uint64_t asked_after = 0;
  std::thread vteed([&] {
    EXPECT_TRUE(Eventually([&] { return header_->park_doorbell.load() != 0; }));
    asked_after = MonotonicNanos() - started;
    EXPECT_EQ(mailbox_->park.load(), 1u);
    Reply(1, 0xffff0000);
  });
  EXPECT_EQ(port_.Wait({}, reply_), CallPort::Outcome::kReplied);
  vteed.join();
  EXPECT_EQ(reply_.x[0], 0xffff0000u);
  EXPECT_GE(asked_after, 3 * kMillisecond);
  EXPECT_GE(header_->park_doorbell.load(), 1u) << "asked again until the reply comes";
}

TEST_F(CallPortTest, RingsForMailboxThatNobodyServesYet) {
  mailbox_->served = 0;
  ASSERT_TRUE(Submit(1));
  EXPECT_EQ(header_->park_doorbell.load(), 1u);
  EXPECT_EQ(mailbox_->park.load(), 0u);
}

TEST_F(CallPortTest, StoppedCallStaysPendingAndIsResumed) {
  ASSERT_TRUE(Submit(1));
  EXPECT_EQ(port_.Wait({AlwaysStop, nullptr}, reply_), CallPort::Outcome::kStopped);
  EXPECT_TRUE(port_.pending());
  EXPECT_FALSE(Submit(2)) << "one call at a time";
  EXPECT_EQ(port_.Wait({AlwaysStop, nullptr}, reply_), CallPort::Outcome::kStopped);
  Reply(1, 30);
  // A reply that is there wins over the wish to stop.
  ASSERT_EQ(port_.Wait({AlwaysStop, nullptr}, reply_), CallPort::Outcome::kReplied);
  EXPECT_EQ(reply_.x[0], 30u);
  EXPECT_EQ(mailbox_->request.load(), 1u) << "never sent twice";
}

TEST_F(CallPortTest, SignalStopsSleepingWait) {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  sigaction(SIGUSR1, &action, nullptr);
  ASSERT_TRUE(Submit(1));
  const pthread_t waiter = pthread_self();
  std::atomic<bool> done{false};
  std::thread kicker([&] {
    while (!done.load()) {
      if (mailbox_->vmm_sleeping.load() == 1) pthread_kill(waiter, SIGUSR1);
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  });
  EXPECT_EQ(port_.Wait({StopWhenInterrupted, nullptr}, reply_), CallPort::Outcome::kStopped);
  done.store(true);
  kicker.join();
  EXPECT_TRUE(port_.pending());
}

TEST_F(CallPortTest, DeadPeerAnswersNotSupportedAndIsToldOnce) {
  ASSERT_TRUE(Submit(1));
  theirs_.Reset();
  ASSERT_EQ(port_.Wait({}, reply_), CallPort::Outcome::kReplied);
  EXPECT_EQ(reply_.count, 1u);
  EXPECT_EQ(reply_.x[0], kSmcccNotSupported);
  const std::uint64_t started = MonotonicNanos();
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(Submit(2));
    ASSERT_EQ(port_.Wait({}, reply_), CallPort::Outcome::kReplied);
    EXPECT_EQ(reply_.x[0], kSmcccNotSupported);
  }
  EXPECT_LT(MonotonicNanos() - started, 100 * kMillisecond) << "later calls do not wait";
  ASSERT_EQ(said_.size(), 1u);
  EXPECT_NE(said_[0].find("4711"), std::string::npos) << said_[0];
  EXPECT_NE(said_[0].find("start it again"), std::string::npos) << said_[0];
}

TEST_F(CallPortTest, DeathIsSeenThoughEachWaitIsStoppedSoon) {
  ASSERT_TRUE(Submit(1));
  CallRegisters reply;
  ASSERT_EQ(port_.Wait({AlwaysStop, nullptr}, reply), CallPort::Outcome::kStopped);
  theirs_.Reset();
  EXPECT_TRUE(Eventually([&] {
    return port_.Wait({AlwaysStop, nullptr}, reply) == CallPort::Outcome::kReplied;
  }));
  EXPECT_EQ(reply.x[0], ~std::uint64_t{0});
}

TEST_F(CallPortTest, ReplyThatCameBeforeTheDeathCounts) {
  ASSERT_TRUE(Submit(1));
  Reply(1, 77);
  theirs_.Reset();
  EXPECT_FALSE(health_.Check());
  ASSERT_EQ(port_.Wait({}, reply_), CallPort::Outcome::kReplied);
  EXPECT_EQ(reply_.x[0], 77u);
}

TEST_F(CallPortTest, AbandonedCallIsParkedAndItsReplyDropped) {
  ASSERT_TRUE(Submit(1));
  ASSERT_EQ(port_.Wait({AlwaysStop, nullptr}, reply_), CallPort::Outcome::kStopped);
  port_.Abandon();
  EXPECT_FALSE(port_.pending());
  EXPECT_EQ(mailbox_->park.load(), 1u) << "so that the old call ends soon";
  ASSERT_TRUE(Submit(500));
  EXPECT_EQ(mailbox_->request.load(), 1u) << "the old call still owns the mailbox";
  EXPECT_EQ(mailbox_->x[0], 1u);
  EXPECT_EQ(port_.Wait({AlwaysStop, nullptr}, reply_), CallPort::Outcome::kStopped);
  std::thread vteed([&] {
    Reply(1, 0xbad);
    EXPECT_TRUE(Eventually([&] { return mailbox_->request.load() == 2; }));
    EXPECT_EQ(mailbox_->x[0], 500u);
    Reply(2, 600);
  });
  EXPECT_EQ(port_.Wait({}, reply_), CallPort::Outcome::kReplied);
  vteed.join();
  EXPECT_EQ(reply_.x[0], 600u);
}

TEST_F(CallPortTest, AbandonForgetsQueuedCallToo) {
  ASSERT_TRUE(Submit(1));
  port_.Abandon();
  ASSERT_TRUE(Submit(2));
  port_.Abandon();
  EXPECT_FALSE(port_.pending());
  Reply(1, 9);
  EXPECT_EQ(port_.Wait({}, reply_), CallPort::Outcome::kIdle);
  EXPECT_EQ(mailbox_->request.load(), 1u);
  port_.Abandon();  // nothing to abandon: no effect
  ASSERT_TRUE(Submit(3));
  EXPECT_EQ(mailbox_->request.load(), 2u);
}

TEST_F(CallPortTest, PeerThatDiesWhileDrainingStillAnswersTheNewCall) {
  ASSERT_TRUE(Submit(1));
  port_.Abandon();
  ASSERT_TRUE(Submit(2));
  theirs_.Reset();
  ASSERT_EQ(port_.Wait({}, reply_), CallPort::Outcome::kReplied);
  EXPECT_EQ(reply_.x[0], kSmcccNotSupported);
}

TEST_F(CallPortTest, GarbageCountEndsTheConnection) {
  ASSERT_TRUE(Submit(1));
  Reply(1, 5, 1000);
  ASSERT_EQ(port_.Wait({}, reply_), CallPort::Outcome::kReplied);
  EXPECT_EQ(reply_.count, 1u);
  EXPECT_EQ(reply_.x[0], kSmcccNotSupported);
  EXPECT_TRUE(health_.dead());
  EXPECT_EQ(said_.size(), 1u);
}

TEST_F(CallPortTest, ReplyToAnotherRequestIsNoReply) {
  ASSERT_TRUE(Submit(1));
  Reply(99, 5);
  EXPECT_EQ(port_.Wait({AlwaysStop, nullptr}, reply_), CallPort::Outcome::kStopped);
  Reply(0, 5);
  EXPECT_EQ(port_.Wait({AlwaysStop, nullptr}, reply_), CallPort::Outcome::kStopped);
}

}  // namespace
}  // namespace vtee::vmm
