// SPDX-License-Identifier: BSD-3-Clause
#include "mediator/yielding_call.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "mediator/test_reply_port.h"

namespace vtee::mediator {
namespace {

constexpr std::uint64_t kNotYet = 100;
constexpr std::uint64_t kDone = 200;
constexpr std::uint64_t kQuestion = 300;
constexpr std::uint64_t kFarewell = 400;
constexpr std::uint64_t kGoAway = 500;

RegisterReply Registers(std::uint64_t x0) {
  RegisterReply reply;
  reply.count = 1;
  reply.x[0] = x0;
  return reply;
}

class Tongue final : public GuestTongue {
 public:
  RegisterReply SayNotYet(YieldingCall&, bool may_sleep, bool& guest_sleeps) override {
    guest_sleeps = sleeps && may_sleep;
    if (guest_sleeps) ++slept;
    return Registers(kNotYet);
  }
  bool SendAway(YieldingCall&, RegisterReply& reply, bool& guest_sleeps) override {
    if (!sends_away) return false;
    guest_sleeps = sleeps;
    reply = Registers(kGoAway);
    return true;
  }
  void Ring(YieldingCall&) override { ++rings; }
  void OnFree(YieldingCall&) override { ++freed; }

  bool sleeps = true;
  bool sends_away = false;
  std::atomic<int> rings{0};
  std::atomic<int> slept{0};
  std::atomic<int> freed{0};
};

class YieldingCallTest : public ::testing::Test {
 protected:
  Tongue tongue_;
  TestReplyPort port_;
  std::shared_ptr<YieldingCall> call_ = std::make_shared<YieldingCall>(tongue_, 0);
};

TEST_F(YieldingCallTest, AQuickCallRepliesWithoutHandOver) {
  call_->Begin(port_.NewRequest());
  call_->Finish(Registers(kDone));
  EXPECT_EQ(port_.WaitReply()->x[0], kDone);
  EXPECT_EQ(port_.detached(), 0);
  EXPECT_EQ(tongue_.freed, 1);
}

TEST_F(YieldingCallTest, AParkedCallHandsTheVcpuOverAndRingsWhenDone) {
  call_->Begin(port_.NewRequest());
  port_.AskToPark();
  EXPECT_EQ(port_.WaitReply()->x[0], kNotYet);
  EXPECT_EQ(port_.detached(), 1);
  call_->Finish(Registers(kDone));
  EXPECT_EQ(tongue_.rings, 1);
  EXPECT_EQ(tongue_.freed, 0);  // the guest has yet to fetch its result
  Responder back = port_.NewRequest();
  EXPECT_TRUE(call_->Resume({}, back));
  EXPECT_EQ(port_.WaitReply()->x[0], kDone);
  EXPECT_EQ(tongue_.freed, 1);
  EXPECT_EQ(port_.protocol_errors(), 0);
}

TEST_F(YieldingCallTest, AResumedCallThatIsNotDoneIsParkedAgain) {
  tongue_.sleeps = false;
  call_->Begin(port_.NewRequest());
  for (int i = 0; i < 3; ++i) {
    port_.AskToPark();
    EXPECT_EQ(port_.WaitReply()->x[0], kNotYet);
    Responder back = port_.NewRequest();
    EXPECT_TRUE(call_->Resume({}, back));
    EXPECT_FALSE(port_.replied());
  }
  call_->Finish(Registers(kDone));
  EXPECT_EQ(port_.WaitReply()->x[0], kDone);
  EXPECT_EQ(tongue_.rings, 0);
  EXPECT_EQ(port_.detached(), 1);  // only the first time was the serving thread tied up
}

TEST_F(YieldingCallTest, ParkingAnAnsweredCallDoesNothing) {
  call_->Begin(port_.NewRequest());
  call_->Finish(Registers(kDone));
  port_.AskToPark();
  EXPECT_EQ(port_.WaitReply()->x[0], kDone);
  EXPECT_EQ(port_.protocol_errors(), 0);
}

TEST_F(YieldingCallTest, ResumeOfACallThatIsNotParkedIsRefused) {
  Responder early = port_.NewRequest();
  EXPECT_FALSE(call_->Resume({}, early));  // free
  EXPECT_TRUE(early.armed());
  call_->Begin(port_.NewRequest());
  TestReplyPort other;
  Responder second = other.NewRequest();
  EXPECT_FALSE(call_->Resume({}, second));  // running and attached
  EXPECT_TRUE(second.armed());
  call_->Finish(Registers(kDone));
  EXPECT_FALSE(call_->Resume({}, second));  // finished and fetched
}

TEST_F(YieldingCallTest, AskGuestReturnsTheGuestsAnswer) {
  SecureCall answer;
  std::thread worker([&] {
    call_->Begin(port_.NewRequest());
    EXPECT_TRUE(call_->AskGuest(Registers(kQuestion), answer));
    call_->Finish(Registers(kDone));
  });
  EXPECT_EQ(port_.WaitReply()->x[0], kQuestion);
  SecureCall back;
  back.x[4] = 42;
  Responder responder = port_.NewRequest();
  EXPECT_TRUE(call_->Resume(back, responder));
  EXPECT_EQ(port_.WaitReply()->x[0], kDone);
  worker.join();
  EXPECT_EQ(answer.x[4], 42u);
}

TEST_F(YieldingCallTest, AParkedCallRingsBeforeItAsksTheGuest) {
  call_->Begin(port_.NewRequest());
  port_.AskToPark();
  EXPECT_EQ(port_.WaitReply()->x[0], kNotYet);
  std::thread worker([&] {
    SecureCall answer;
    EXPECT_TRUE(call_->AskGuest(Registers(kQuestion), answer));
    call_->Finish(Registers(kDone));
  });
  while (tongue_.rings == 0) std::this_thread::yield();
  Responder first = port_.NewRequest();
  EXPECT_TRUE(call_->Resume({}, first));
  EXPECT_EQ(port_.WaitReply()->x[0], kQuestion);
  Responder second = port_.NewRequest();
  EXPECT_TRUE(call_->Resume({}, second));
  EXPECT_EQ(port_.WaitReply()->x[0], kDone);
  worker.join();
}

TEST_F(YieldingCallTest, AbortFreesAWorkerThatWaitsForTheGuest) {
  std::thread worker([&] {
    call_->Begin(port_.NewRequest());
    SecureCall answer;
    EXPECT_FALSE(call_->AskGuest(Registers(kQuestion), answer));
    EXPECT_FALSE(call_->WhileGuestIsThere([] { FAIL(); }));
    call_->Finish(Registers(kDone));
  });
  EXPECT_EQ(port_.WaitReply()->x[0], kQuestion);
  call_->Abort(Registers(kFarewell));
  worker.join();
  EXPECT_EQ(tongue_.freed, 1);
}

TEST_F(YieldingCallTest, AbortFreesAFinishedCallNobodyFetched) {
  call_->Begin(port_.NewRequest());
  port_.AskToPark();
  call_->Finish(Registers(kDone));
  call_->Abort(Registers(kFarewell));
  EXPECT_EQ(tongue_.freed, 1);
  Responder late = port_.NewRequest();
  EXPECT_FALSE(call_->Resume({}, late));
}

TEST_F(YieldingCallTest, AnAbortedCallGivesItsVcpuBackAtOnce) {
  call_->Begin(port_.NewRequest());
  call_->Abort(Registers(kFarewell));
  EXPECT_EQ(port_.WaitReply()->x[0], kFarewell);
  EXPECT_EQ(port_.detached(), 1);
  port_.AskToPark();
  Responder late = port_.NewRequest();
  EXPECT_FALSE(call_->Resume({}, late));
  EXPECT_EQ(tongue_.freed, 0);  // the worker is inside the TEE still
  call_->Finish(Registers(kDone));
  EXPECT_FALSE(port_.replied());
  EXPECT_EQ(port_.protocol_errors(), 0);
  EXPECT_EQ(tongue_.freed, 1);
}

TEST_F(YieldingCallTest, AGuestThatIsBackEarlyCanBeSentAwayAtOnce) {
  tongue_.sends_away = true;
  call_->Begin(port_.NewRequest());
  port_.AskToPark();
  for (int i = 0; i < 3; ++i) {
    Responder back = port_.NewRequest();
    EXPECT_TRUE(call_->Resume({}, back));
    EXPECT_EQ(port_.WaitReply()->x[0], kGoAway);
  }
  call_->Finish(Registers(kDone));
  EXPECT_EQ(tongue_.rings, 1);
  Responder last = port_.NewRequest();
  EXPECT_TRUE(call_->Resume({}, last));
  EXPECT_EQ(port_.WaitReply()->x[0], kDone);
}

TEST_F(YieldingCallTest, AGuestThatIsWantedIsNotSentAway) {
  tongue_.sends_away = true;
  call_->Begin(port_.NewRequest());
  port_.AskToPark();
  std::thread worker([&] {
    SecureCall answer;
    EXPECT_TRUE(call_->AskGuest(Registers(kQuestion), answer));
    call_->Finish(Registers(kDone));
  });
  while (tongue_.rings == 0) std::this_thread::yield();
  Responder first = port_.NewRequest();
  EXPECT_TRUE(call_->Resume({}, first));
  EXPECT_EQ(port_.WaitReply()->x[0], kQuestion);
  Responder second = port_.NewRequest();
  EXPECT_TRUE(call_->Resume({}, second));
  worker.join();
}

// The guest's answer is there, but the worker has yet to wake when the vCPU is wanted back: the
// guest must not be put to sleep, for nobody would ring it, and the answer must not be lost.
TEST_F(YieldingCallTest, AParkRightAfterTheAnswerKeepsTheAnswer) {
  for (std::uint64_t round = 0; round < 300; ++round) {
    SecureCall answer;
    // Here, not in the worker: the reply of the round before must be gone when this one waits.
    Responder first = port_.NewRequest();
    std::thread worker([&] {
      call_->Begin(std::move(first));
      EXPECT_TRUE(call_->AskGuest(Registers(kQuestion), answer));
      call_->Finish(Registers(kDone));
    });
    ASSERT_EQ(port_.WaitReply()->x[0], kQuestion);
    SecureCall back;
    back.x[4] = round;
    Responder responder = port_.NewRequest();
    ASSERT_TRUE(call_->Resume(back, responder));
    const int slept = tongue_.slept;
    port_.AskToPark();
    auto reply = port_.WaitReply();
    while (reply && reply->x[0] == kNotYet) {
      if (tongue_.slept != slept) {
        // Parked after the answer was taken: as any long call.
        while (tongue_.rings == 0) std::this_thread::yield();
      }
      SecureCall again;
      again.x[4] = 99999;
      Responder next = port_.NewRequest();
      ASSERT_TRUE(call_->Resume(again, next));
      reply = port_.WaitReply();
    }
    worker.join();
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->x[0], kDone);
    EXPECT_EQ(answer.x[4], round);
    tongue_.rings = 0;
  }
}

// The same before the question: the guest has come back to be asked and is parked again at once.
TEST_F(YieldingCallTest, AParkRightBeforeTheQuestionDoesNotPutTheGuestToSleep) {
  for (int round = 0; round < 300; ++round) {
    call_->Begin(port_.NewRequest());
    port_.AskToPark();
    ASSERT_EQ(port_.WaitReply()->x[0], kNotYet);
    std::thread worker([&] {
      SecureCall answer;
      EXPECT_TRUE(call_->AskGuest(Registers(kQuestion), answer));
      call_->Finish(Registers(kDone));
    });
    while (tongue_.rings == 0) std::this_thread::yield();
    const int slept = tongue_.slept;
    auto reply = port_.WaitReply();
    while (reply && reply->x[0] == kNotYet) {
      Responder back = port_.NewRequest();
      ASSERT_TRUE(call_->Resume({}, back));
      port_.AskToPark();
      reply = port_.WaitReply();
    }
    ASSERT_TRUE(reply);
    EXPECT_EQ(reply->x[0], kQuestion);
    EXPECT_EQ(tongue_.slept, slept);
    Responder last = port_.NewRequest();
    ASSERT_TRUE(call_->Resume({}, last));
    ASSERT_EQ(port_.WaitReply()->x[0], kDone);
    worker.join();
    tongue_.rings = 0;
  }
}

// What prepare() writes is what the guest finds, however often it is parked in between.
TEST_F(YieldingCallTest, NothingIsAskedWhenItCannotBePrepared) {
  call_->Begin(port_.NewRequest());
  EXPECT_FALSE(call_->AskGuest(
      Registers(kQuestion), [] { return false; },
      [](const SecureCall&) {
        ADD_FAILURE();
        return true;
      }));
  EXPECT_FALSE(port_.replied());
  call_->Finish(Registers(kDone));
  EXPECT_EQ(port_.WaitReply()->x[0], kDone);
}

// Parking, finishing and resuming race in every order; each request gets exactly one reply.
TEST_F(YieldingCallTest, RacesGiveEachRequestOneReply) {
  for (int round = 0; round < 2000; ++round) {
    // Here, not in the worker: the reply of the round before must be gone when this one waits.
    Responder first = port_.NewRequest();
    std::thread worker([&] {
      call_->Begin(std::move(first));
      call_->Finish(Registers(kDone));
    });
    std::thread parker([&] { port_.AskToPark(); });
    auto reply = port_.WaitReply();
    parker.join();
    worker.join();
    ASSERT_TRUE(reply);
    if (reply->x[0] == kNotYet) {
      Responder back = port_.NewRequest();
      ASSERT_TRUE(call_->Resume({}, back));
      ASSERT_EQ(port_.WaitReply()->x[0], kDone);
    }
    ASSERT_EQ(tongue_.freed, round + 1);
  }
  EXPECT_EQ(port_.protocol_errors(), 0);
}

}  // namespace
}  // namespace vtee::mediator
