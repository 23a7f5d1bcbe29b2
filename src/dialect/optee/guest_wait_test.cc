// SPDX-License-Identifier: BSD-3-Clause
// What a parked guest is asked until its call is done, and how vtee learns that the process that
// waits was killed. The guest's answers are those of Linux (drivers/tee/optee: notif.c, rpc.c,
// supp.c).
#include "dialect/optee/parking_fixture.h"

namespace vtee::optee {
namespace {

mediator::Policy KillsAreNoticed() {
  mediator::Policy policy = FourCalls();
  policy.notice_kill = true;
  return policy;
}

class GuestWaitTest : public ParkingTest {
 protected:
  GuestWaitTest() : GuestWaitTest(KillsAreNoticed()) {}
  explicit GuestWaitTest(const mediator::Policy& policy) : ParkingTest(true, policy) {}

  // The guest's kernel asks for the devices that need a supplicant, as it does when one starts.
  void StartSupplicant() {
    const std::uint32_t enumeration = guest_.Open(kDeviceEnumerationPta);
    guest_.Invoke(enumeration, DeviceEnumeration::kGetDevicesSupplicant,
                  {Memory(attr::kTmemOut, 0, 0)});
    guest_.Close(enumeration);
  }
  // The guest answers what it was asked last, and is sent away again at once.
  TestRpc AnswerWith(TestCall& call, std::uint32_t code) {
    TestRpc rpc = call.ReadRpc();
    rpc.header.ret = code;
    call.WriteRpc(rpc);
    call.Return();
    EXPECT_TRUE(call.port().replied());
    EXPECT_EQ(call.Wait()->x[0], ret::kRpcCommand);
    return call.ReadRpc();
  }
  // The wait was in vain and the nap is cut short by a signal; again if this machine was too slow
  // for it to look like that. What the guest is asked then.
  TestRpc CutNapShort(TestCall& call) {
    TestRpc asked;
    for (int i = 0; i < 50 && asked.header.cmd != rpc::kNobodys; ++i) {
      EXPECT_EQ(AnswerWith(call, tee::code::kTimeout).header.cmd, rpc::kSuspend);
      asked = AnswerWith(call, tee::code::kSuccess);
    }
    EXPECT_EQ(asked.header.cmd, rpc::kNobodys);
    return asked;
  }
  static bool IsWait(const TestRpc& rpc) {
    return rpc.header.cmd == rpc::kNotification && rpc.params[0].u[0] == rpc::kNotificationWait;
  }
  // The wait ended and the call is asked for; the rest of it.
  TestResult Rest(TestCall& call) {
    gate_->Release();
    call.Answer(*call.port().WaitReply());
    return call.Finish();
  }
};

class UnnoticedKillTest : public GuestWaitTest {
 protected:
  UnnoticedKillTest() : GuestWaitTest(FourCalls()) {}
};

TEST_F(GuestWaitTest, AWaitHasATimeOnceThereIsASupplicant) {
  TestCall before(guest_, Invoke());
  ASSERT_EQ(Park(before).x[0], ret::kRpcCommand);
  EXPECT_EQ(before.ReadRpc().params[0].u[2], 0u);
  StartSupplicant();
  TestCall after(guest_, Invoke());
  ASSERT_EQ(Park(after).x[0], ret::kRpcCommand);
  EXPECT_EQ(after.ReadRpc().params[0].u[2], 250u);
  gate_->Release();
  before.Answer(*before.port().WaitReply());
  after.Answer(*after.port().WaitReply());
  EXPECT_EQ(before.Finish().code(), tee::code::kSuccess);
  EXPECT_EQ(after.Finish().code(), tee::code::kSuccess);
}

TEST_F(GuestWaitTest, ANapThatLastsLeadsToTheNextWait) {
  StartSupplicant();
  TestCall call(guest_, Invoke());
  ASSERT_EQ(Park(call).x[0], ret::kRpcCommand);
  for (const std::uint64_t length : {50u, 100u, 200u, 400u, 400u}) {
    const TestRpc nap = AnswerWith(call, tee::code::kTimeout);
    EXPECT_EQ(nap.header.cmd, rpc::kSuspend);
    EXPECT_EQ(nap.params[0].attr, attr::kValueIn);
    EXPECT_EQ(nap.params[0].u[0], length);
    std::this_thread::sleep_for(std::chrono::milliseconds(nap.params[0].u[0]));
    EXPECT_TRUE(IsWait(AnswerWith(call, tee::code::kSuccess)));
  }
  EXPECT_EQ(guest_.tee().counters().Calls(backend::FakeVerb::kCancel), 0u);
  EXPECT_EQ(Rest(call).code(), tee::code::kSuccess);
}

TEST_F(GuestWaitTest, AKilledProcessCancelsItsCall) {
  StartSupplicant();
  TestCall call(guest_, Invoke());
  ASSERT_EQ(Park(call).x[0], ret::kRpcCommand);
  CutNapShort(call);
  EXPECT_TRUE(IsWait(AnswerWith(call, tee::code::kCommunication)));
  call.Answer(*call.port().WaitReply());  // rings: the TA has listened
  EXPECT_EQ(call.Finish().code(), tee::code::kCancel);
}

TEST_F(GuestWaitTest, ADeafTaIsAskedAgainAndTheProcessWaits) {
  StartSupplicant();
  TestCall call(guest_, Invoke(2));
  ASSERT_EQ(Park(call).x[0], ret::kRpcCommand);
  for (std::uint64_t i = 1; i < 3; ++i) {
    CutNapShort(call);
    EXPECT_TRUE(IsWait(AnswerWith(call, tee::code::kCommunication)));
    while (guest_.tee().counters().Calls(backend::FakeVerb::kCancel) < i) {
      std::this_thread::yield();
    }
  }
  EXPECT_EQ(Rest(call).code(), tee::code::kSuccess);
}

TEST_F(GuestWaitTest, ASignalThatDoesNotKillCancelsNothing) {
  StartSupplicant();
  TestCall call(guest_, Invoke());
  ASSERT_EQ(Park(call).x[0], ret::kRpcCommand);
  CutNapShort(call);
  EXPECT_TRUE(IsWait(AnswerWith(call, tee::code::kNotSupported)));  // from the supplicant
  EXPECT_EQ(guest_.tee().counters().Calls(backend::FakeVerb::kCancel), 0u);
  EXPECT_EQ(Rest(call).code(), tee::code::kSuccess);
}

TEST_F(GuestWaitTest, AGuestThatCannotNapIsNotAskedForItsSupplicant) {
  StartSupplicant();
  TestCall call(guest_, Invoke());
  ASSERT_EQ(Park(call).x[0], ret::kRpcCommand);
  AnswerWith(call, tee::code::kTimeout);
  EXPECT_TRUE(IsWait(AnswerWith(call, tee::code::kNotImplemented)));
  EXPECT_EQ(Rest(call).code(), tee::code::kSuccess);
}

TEST_F(GuestWaitTest, ACallThatEndsDuringANapIsFetchedAfterIt) {
  StartSupplicant();
  TestCall call(guest_, Invoke());
  ASSERT_EQ(Park(call).x[0], ret::kRpcCommand);
  AnswerWith(call, tee::code::kTimeout);
  gate_->Release();
  guest_.JoinThreads();
  EXPECT_EQ(guest_.TakeInterrupts(), 0u);  // it comes back by itself
  call.Return();
  EXPECT_EQ(call.Finish().code(), tee::code::kSuccess);
}

TEST_F(GuestWaitTest, AnUpcallDuringANapIsMadeAfterIt) {
  StartSupplicant();
  TestCall call(guest_, Invoke(1));
  ASSERT_EQ(Park(call).x[0], ret::kRpcCommand);
  AnswerWith(call, tee::code::kTimeout);
  gate_->Release();
  // The worker waits for the guest by and by; until then the guest naps on.
  TestRpc rpc = call.ReadRpc();
  while (rpc.header.cmd != rpc::kGetTime) {
    rpc.header.ret = tee::code::kSuccess;
    call.WriteRpc(rpc);
    call.Return();
    const auto reply = call.Wait();
    ASSERT_TRUE(reply);
    ASSERT_EQ(reply->x[0], ret::kRpcCommand);
    rpc = call.ReadRpc();
  }
  call.Answer(*call.port().WaitReply());
  EXPECT_EQ(call.Finish().code(), tee::code::kSuccess);
}

TEST_F(GuestWaitTest, ANewDriverHasNoSupplicantYet) {
  StartSupplicant();
  guest_.Smc({smc::kExchangeCapabilities});
  guest_.Smc({smc::kEnableAsyncNotif});
  session_ = guest_.Open(kGated);
  TestCall call(guest_, Invoke());
  ASSERT_EQ(Park(call).x[0], ret::kRpcCommand);
  EXPECT_EQ(call.ReadRpc().params[0].u[2], 0u);
  EXPECT_EQ(Rest(call).code(), tee::code::kSuccess);
}

TEST_F(UnnoticedKillTest, UnlessThePolicySaysOtherwise) {
  StartSupplicant();
  TestCall call(guest_, Invoke());
  ASSERT_EQ(Park(call).x[0], ret::kRpcCommand);
  EXPECT_EQ(call.ReadRpc().params[0].u[2], 0u);
  EXPECT_TRUE(IsWait(AnswerWith(call, tee::code::kTimeout)));
  EXPECT_EQ(Rest(call).code(), tee::code::kSuccess);
}

}  // namespace
}  // namespace vtee::optee
