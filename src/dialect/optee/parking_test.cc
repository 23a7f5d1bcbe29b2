// SPDX-License-Identifier: BSD-3-Clause
// Parking: calls that outlive the SMC that made them, notifications, cancellation.
#include "dialect/optee/parking_fixture.h"

namespace vtee::optee {
namespace {

class QuietParkingTest : public ParkingTest {
 protected:
  QuietParkingTest() : ParkingTest(/*interrupt=*/false) {}
};

TEST_F(ParkingTest, AParkedCallSleepsOnItsNotification) {
  TestCall call(guest_, Invoke());
  const auto parked = Park(call);
  ASSERT_EQ(parked.x[0], ret::kRpcCommand);
  EXPECT_EQ(call.port().detached(), 1);
  const TestRpc rpc = call.ReadRpc();
  EXPECT_EQ(rpc.header.cmd, rpc::kNotification);
  EXPECT_EQ(rpc.header.num_params, 1u);
  EXPECT_EQ(rpc.params[0].attr, attr::kValueIn);
  EXPECT_EQ(rpc.params[0].u[0], rpc::kNotificationWait);
  EXPECT_EQ(rpc.params[0].u[1], call.token() + 1);
  EXPECT_EQ(rpc.params[0].u[2], 0u);  // no timeout
  EXPECT_EQ(guest_.TakeInterrupts(), 0u);
  gate_->Release();
  call.Answer(parked);  // sleeps until the interrupt
  EXPECT_EQ(call.Finish().code(), tee::code::kSuccess);
  EXPECT_EQ(call.port().protocol_errors(), 0);
}

TEST_F(ParkingTest, NotificationValuesAreTakenOneByOne) {
  TestCall first(guest_, Invoke());
  TestCall second(guest_, Invoke());
  Park(first);
  Park(second);
  gate_->Release();
  while (guest_.tee().counters().calls_in_flight != 0) std::this_thread::yield();
  guest_.JoinThreads();
  EXPECT_EQ(guest_.TakeInterrupts(), 2u);
  const auto one = guest_.Smc({smc::kGetAsyncNotifValue});
  EXPECT_EQ(one.x[0], ret::kOk);
  EXPECT_EQ(one.x[2], kAsyncNotifValid | kAsyncNotifPending);
  const auto two = guest_.Smc({smc::kGetAsyncNotifValue});
  EXPECT_EQ(two.x[2], kAsyncNotifValid);
  EXPECT_EQ(one.x[1] + two.x[1], first.token() + second.token() + 2);
  EXPECT_NE(one.x[1], two.x[1]);
  EXPECT_EQ(guest_.Smc({smc::kGetAsyncNotifValue}).x[2], 0u);
  first.Return();
  second.Return();
  EXPECT_EQ(first.Finish().a0, ret::kOk);
  EXPECT_EQ(second.Finish().a0, ret::kOk);
}

TEST_F(QuietParkingTest, WithoutInterruptTheGuestComesBackByItself) {
  TestCall call(guest_, Invoke());
  EXPECT_EQ(Park(call).x[0], ret::kRpcForeignInterrupt);
  for (int i = 0; i < 3; ++i) {
    call.Return();
    EXPECT_FALSE(call.port().replied());
    call.port().AskToPark();
    EXPECT_EQ(call.Wait()->x[0], ret::kRpcForeignInterrupt);
  }
  EXPECT_EQ(call.port().detached(), 1);
  gate_->Release();
  call.Return();
  EXPECT_EQ(call.Finish().code(), tee::code::kSuccess);
}

TEST_F(ParkingTest, WithoutMemoryForRpcsTheGuestComesBackByItself) {
  TestCall call(guest_, Invoke(), smc::kCallWithArg);
  EXPECT_EQ(Park(call).x[0], ret::kRpcForeignInterrupt);
  gate_->Release();
  call.Return();
  EXPECT_EQ(call.Finish().code(), tee::code::kSuccess);
}

TEST_F(ParkingTest, AWaitThatTheGuestRefusesIsNotAskedAgain) {
  TestCall call(guest_, Invoke());
  ASSERT_EQ(Park(call).x[0], ret::kRpcCommand);
  TestRpc rpc = call.ReadRpc();
  rpc.header.ret = tee::code::kNotSupported;
  call.WriteRpc(rpc);
  for (int i = 0; i < 3; ++i) {
    call.Return();
    call.port().AskToPark();
    EXPECT_EQ(call.Wait()->x[0], ret::kRpcForeignInterrupt);
  }
  gate_->Release();
  call.Return();
  EXPECT_EQ(call.Finish().code(), tee::code::kSuccess);
}

TEST_F(ParkingTest, AGuestThatComesBackEarlyIsParkedAgain) {
  TestCall call(guest_, Invoke());
  ASSERT_EQ(Park(call).x[0], ret::kRpcCommand);
  for (int i = 0; i < 3; ++i) {
    TestRpc rpc = call.ReadRpc();
    rpc.header.ret = tee::code::kSuccess;
    call.WriteRpc(rpc);
    call.Return();
    call.port().AskToPark();
    EXPECT_EQ(call.Wait()->x[0], ret::kRpcCommand);
  }
  gate_->Release();
  call.Return();
  EXPECT_EQ(call.Finish().code(), tee::code::kSuccess);
}

TEST_F(ParkingTest, AfterStopAsyncNotifTheGuestIsNotPutToSleep) {
  EXPECT_EQ(guest_.Run({cmd::kStopAsyncNotif, 0, 0, 0, {}}).code(), tee::code::kSuccess);
  TestCall call(guest_, Invoke());
  EXPECT_EQ(Park(call).x[0], ret::kRpcForeignInterrupt);
  gate_->Release();
  call.Return();
  EXPECT_EQ(call.Finish().code(), tee::code::kSuccess);
  EXPECT_EQ(guest_.TakeInterrupts(), 0u);
  EXPECT_EQ(guest_.Smc0({smc::kEnableAsyncNotif}), ret::kOk);
}

TEST_F(ParkingTest, AnotherVcpuMayFetchTheResult) {
  TestCall call(guest_, Invoke());
  ASSERT_EQ(Park(call).x[0], ret::kRpcCommand);
  gate_->Release();
  guest_.JoinThreads();
  mediator::TestReplyPort other;
  call.UseVcpu(other);
  call.Return();
  EXPECT_EQ(call.Finish().code(), tee::code::kSuccess);
  // And the one that was first has nothing to fetch any more.
  EXPECT_EQ(guest_.Smc0({smc::kReturnFromRpc, 0, 0, call.token()}), ret::kResume);
}

TEST_F(ParkingTest, AnotherVcpuMayTakeAParkedCallOver) {
  TestCall call(guest_, Invoke());
  ASSERT_EQ(Park(call).x[0], ret::kRpcCommand);
  mediator::TestReplyPort other;
  call.UseVcpu(other);
  call.Return();
  // A call that runs for one vCPU cannot be resumed by a second.
  EXPECT_EQ(guest_.Smc0({smc::kReturnFromRpc, 0, 0, call.token()}), ret::kResume);
  gate_->Release();
  EXPECT_EQ(call.Finish().code(), tee::code::kSuccess);
}

TEST_F(ParkingTest, AParkRequestForAnAnsweredCallDoesNothing) {
  TestCall call(
      guest_, InvokeMessage(guest_.Open(backend::fake::kHelloUuid), 0, {Value(attr::kValueInOut)}));
  EXPECT_EQ(call.Run().code(), tee::code::kSuccess);
  call.port().AskToPark();
  EXPECT_EQ(call.port().protocol_errors(), 0);
}

TEST_F(ParkingTest, ThreadLimitWhileCallsAreParked) {
  std::vector<std::unique_ptr<TestCall>> calls;
  for (int i = 0; i < 4; ++i) {
    calls.push_back(std::make_unique<TestCall>(guest_, Invoke()));
    ASSERT_EQ(Park(*calls.back()).x[0], ret::kRpcCommand);
  }
  const std::uint64_t page = guest_.ram().Page();
  guest_.Place(page, {cmd::kDoBottomHalf, 0, 0, 0, {}});
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(guest_.Smc0({smc::kCallWithArg, page >> 32, page & 0xFFFFFFFF}), ret::kThreadLimit);
  }
  EXPECT_EQ(guest_.Smc0({smc::kGetThreadCount}), ret::kOk);  // fast calls go on
  gate_->Release();
  for (const auto& call : calls) {
    call->Return();
    EXPECT_EQ(call->Finish().code(), tee::code::kSuccess);
  }
  EXPECT_EQ(guest_.Smc0({smc::kCallWithArg, page >> 32, page & 0xFFFFFFFF}), ret::kOk);
}

TEST_F(ParkingTest, ParkedCallsOfAllVcpusGoOnSideBySide) {
  TestCall first(guest_, Invoke());
  TestCall second(guest_, Invoke(1));
  ASSERT_EQ(Park(first).x[0], ret::kRpcCommand);
  ASSERT_EQ(Park(second).x[0], ret::kRpcCommand);
  EXPECT_NE(first.token(), second.token());
  EXPECT_EQ(guest_.Invoke(guest_.Open(backend::fake::kHelloUuid), 0, {Value(attr::kValueInOut, 1)})
                .params[0]
                .u[0],
            2u);
  gate_->Release();
  second.Answer(*second.port().WaitReply());
  first.Answer(*first.port().WaitReply());
  EXPECT_EQ(second.Finish().code(), tee::code::kSuccess);
  EXPECT_EQ(first.Finish().code(), tee::code::kSuccess);
}

TEST_F(ParkingTest, AParkedCallThatAsksTheGuestRingsFirst) {
  TestCall call(guest_, Invoke(1));
  const auto parked = Park(call);
  ASSERT_EQ(parked.x[0], ret::kRpcCommand);
  gate_->Release();
  call.Answer(parked);  // wakes because the TEE wants to ask
  const auto asked = call.Wait();
  ASSERT_TRUE(asked);
  EXPECT_EQ(asked->x[0], ret::kRpcCommand);
  EXPECT_EQ(call.ReadRpc().header.cmd, rpc::kGetTime);
  call.Answer(*asked);
  EXPECT_EQ(call.Finish().code(), tee::code::kSuccess);
}

TEST_F(ParkingTest, ParkingACallWhoseGuestIsBeingAskedDoesNothing) {
  gate_->Release();
  TestCall call(guest_, Invoke(1));
  call.Start();
  const auto asked = call.Wait();
  ASSERT_TRUE(asked);
  call.port().AskToPark();
  EXPECT_EQ(call.ReadRpc().header.cmd, rpc::kGetTime);
  EXPECT_EQ(call.port().protocol_errors(), 0);
  call.Answer(*asked);
  EXPECT_EQ(call.Finish().code(), tee::code::kSuccess);
}

TEST_F(ParkingTest, CancelOfACall) {
  for (const bool parked : {false, true}) {
    TestCall call(guest_, Invoke(0, 77));
    if (parked) {
      Park(call);
    } else {
      Hold(call);
    }
    EXPECT_EQ(guest_.Run({cmd::kCancel, 0, session_, 78, {}}).code(), tee::code::kSuccess);
    EXPECT_EQ(guest_.tee().counters().calls_in_flight, 1u);  // that was another operation
    EXPECT_EQ(guest_.Run({cmd::kCancel, 0, session_, 77, {}}).code(), tee::code::kSuccess);
    if (parked) call.Answer(*call.port().WaitReply());
    const TestResult result = call.Finish();
    EXPECT_EQ(result.code(), tee::code::kCancel);
    EXPECT_EQ(result.header.ret_origin, static_cast<std::uint32_t>(tee::Origin::kTrustedApp));
  }
}

TEST_F(ParkingTest, CancelReachesEveryOperationOfItsId) {
  TestCall first(guest_, Invoke(0, 5));
  TestCall second(guest_, Invoke(0, 5));
  Hold(first);
  Hold(second);
  EXPECT_EQ(guest_.Run({cmd::kCancel, 0, session_, 5, {}}).code(), tee::code::kSuccess);
  EXPECT_EQ(first.Finish().code(), tee::code::kCancel);
  EXPECT_EQ(second.Finish().code(), tee::code::kCancel);
}

}  // namespace
}  // namespace vtee::optee
