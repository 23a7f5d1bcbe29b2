// SPDX-License-Identifier: BSD-3-Clause
// The lives of a guest's drivers: a machine's restart, and a driver that starts where another left
// things behind (kexec, kdump, a boot loader's driver before the kernel's).
#include "dialect/optee/parking_fixture.h"

namespace vtee::optee {
namespace {

class DriverLifeTest : public ParkingTest {
 protected:
  // What every driver does when it starts; what it is told.
  mediator::RegisterReply Probe() { return guest_.Smc({smc::kExchangeCapabilities}); }
};

mediator::Policy OldDriversMayStay() {
  mediator::Policy policy = FourCalls();
  policy.one_driver = false;
  return policy;
}

class OldDriverStaysTest : public ParkingTest {
 protected:
  OldDriverStaysTest() : ParkingTest(true, OldDriversMayStay()) {}
};

TEST_F(DriverLifeTest, ANewDriverFindsTheTeeAsTheFirstDid) {
  const auto pages = guest_.ram().Scattered(2);
  ASSERT_EQ(guest_.Register(0x77, pages, 0, kPage).code(), tee::code::kSuccess);
  ASSERT_EQ(guest_
                .Run(InvokeMessage(guest_.Open(backend::fake::kEchoUuid), 1,
                                   {Memory(attr::kRmemInOut, 0, 8, 0x77)}))
                .code(),
            tee::code::kSuccess);
  EXPECT_EQ(guest_.tee().counters().open_sessions, 2u);
  EXPECT_EQ(guest_.tee().counters().registered_memories, 1u);
  const std::uint32_t old = session_;
  EXPECT_EQ(Probe().x[0], ret::kOk);
  EXPECT_EQ(guest_.tee().counters().open_sessions, 0u);
  EXPECT_EQ(guest_.tee().counters().registered_memories, 0u);
  EXPECT_EQ(guest_.dialect().session_count(), 0u);
  EXPECT_EQ(guest_.dialect().shm_count(), 0u);
  EXPECT_EQ(guest_.Invoke(old, 0).code(), tee::code::kBadParameters);
  // A kernel takes its buffers' addresses for cookies: the next one's may be the same.
  EXPECT_EQ(guest_.Register(0x77, pages, 0, kPage).code(), tee::code::kSuccess);
}

TEST_F(DriverLifeTest, ParkedCallsOfTheOldDriverAreCancelledAndTheirTokensNameNothing) {
  TestCall first(guest_, Invoke());
  TestCall second(guest_, Invoke());
  ASSERT_EQ(Park(first).x[0], ret::kRpcCommand);
  ASSERT_EQ(Park(second).x[0], ret::kRpcCommand);
  guest_.ram().Put(first.message_at(), std::uint64_t{0x01D});  // the new kernel's by now
  const TestRpc rpc = second.ReadRpc();
  Probe();
  guest_.JoinThreads();
  EXPECT_EQ(guest_.ram().Get<std::uint64_t>(first.message_at()), 0x01Du);
  EXPECT_EQ(guest_.ram().Get<MsgHeader>(first.message_at()).ret, 0xDEADBEEF);
  EXPECT_EQ(second.ReadRpc().header.ret, rpc.header.ret);
  for (TestCall* call : {&first, &second}) {
    call->Return();
    EXPECT_EQ(call->Wait()->x[0], ret::kResume);
  }
  EXPECT_EQ(guest_.TakeInterrupts(), 0u);
  EXPECT_EQ(guest_.tee().counters().open_sessions, 0u);
}

TEST_F(DriverLifeTest, NotificationsAreOffUntilTheNewDriverWantsThem) {
  TestCall call(guest_, Invoke());
  ASSERT_EQ(Park(call).x[0], ret::kRpcCommand);
  gate_->Release();
  guest_.JoinThreads();
  EXPECT_EQ(guest_.TakeInterrupts(), 1u);
  Probe();
  EXPECT_EQ(guest_.Smc({smc::kGetAsyncNotifValue}).x[2], 0u);
  session_ = guest_.Open(kGated);
  TestCall next(guest_, Invoke());
  EXPECT_EQ(next.Run().code(), tee::code::kSuccess);
}

// As with a TA in an endless loop: its slots stay taken, the new driver has its own.
TEST_F(DriverLifeTest, DeafCallsOfTheOldDriverTakeNoThreadOfTheNewOne) {
  std::vector<std::unique_ptr<TestCall>> deaf;
  for (int i = 0; i < 4; ++i) {
    deaf.push_back(std::make_unique<TestCall>(guest_, Invoke(2)));
    ASSERT_EQ(Park(*deaf.back()).x[0], ret::kRpcCommand);
  }
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(Probe().x[0], ret::kOk);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(4));
  EXPECT_EQ(guest_.Smc0({smc::kEnableAsyncNotif}), ret::kOk);
  session_ = guest_.Open(kGated);
  std::vector<std::unique_ptr<TestCall>> calls;
  for (int i = 0; i < 4; ++i) {
    calls.push_back(std::make_unique<TestCall>(guest_, Invoke()));
    ASSERT_EQ(Park(*calls.back()).x[0], ret::kRpcCommand);
    for (const auto& old : deaf) EXPECT_NE(calls.back()->token(), old->token());
  }
  const std::uint64_t page = guest_.ram().Page();
  guest_.Place(page, {cmd::kDoBottomHalf, 0, 0, 0, {}});
  EXPECT_EQ(guest_.Smc0({smc::kCallWithArg, page >> 32, page & 0xFFFFFFFF}), ret::kThreadLimit);
  gate_->Release();
  for (const auto& call : calls) {
    call->Answer(*call->port().WaitReply());
    EXPECT_EQ(call->Finish().code(), tee::code::kSuccess);
  }
}

// A guest that starts drivers for ever leaves no more in the TEE than twice its calls.
TEST_F(DriverLifeTest, DeafCallsOfManyDriversAreBounded) {
  std::vector<std::unique_ptr<TestCall>> deaf;
  for (int i = 0; i < 8; ++i) {
    if (i == 4) {
      Probe();
      session_ = guest_.Open(kGated);
    }
    deaf.push_back(std::make_unique<TestCall>(guest_, Invoke(2)));
    Hold(*deaf.back());
  }
  Probe();
  const std::uint64_t page = guest_.ram().Page();
  guest_.Place(page, {cmd::kDoBottomHalf, 0, 0, 0, {}});
  EXPECT_EQ(guest_.Smc0({smc::kCallWithArg, page >> 32, page & 0xFFFFFFFF}), ret::kThreadLimit);
  gate_->Release();
  guest_.JoinThreads();
  EXPECT_EQ(guest_.Smc0({smc::kCallWithArg, page >> 32, page & 0xFFFFFFFF}), ret::kOk);
}

TEST_F(DriverLifeTest, AnotherVcpusCallGivesItsVcpuBack) {
  TestCall call(guest_, Invoke());
  Hold(call);
  Probe();
  EXPECT_EQ(call.Wait()->x[0], ret::kResume);
  EXPECT_EQ(call.port().protocol_errors(), 0);
  EXPECT_EQ(guest_.ram().Get<MsgHeader>(call.message_at()).ret, 0xDEADBEEF);
}

TEST_F(DriverLifeTest, AnUpcallOfTheOldDriversCallEndsIt) {
  TestCall call(guest_, Invoke(1));
  gate_->Release();
  call.Start();
  ASSERT_EQ(call.Wait()->x[0], ret::kRpcCommand);  // the guest is asked for its time
  Probe();
  guest_.JoinThreads();
  call.Return();
  EXPECT_EQ(call.Wait()->x[0], ret::kResume);
  EXPECT_EQ(guest_.dialect().session_count(), 0u);
}

TEST_F(DriverLifeTest, CapabilitiesThatAreRefusedEndNothing) {
  EXPECT_EQ(guest_.Smc0({smc::kExchangeCapabilities, 2}), ret::kNotAvailable);
  EXPECT_EQ(guest_.dialect().session_count(), 1u);
}

// A close in the TEE may take as long as the TA likes.
TEST_F(DriverLifeTest, ASessionThatWillNotCloseHoldsTheNewDriverUpForTwoSecondsOnly) {
  const auto deaf = std::make_shared<FakeGate>();
  const tee::Uuid uuid{{0xC1, 0x05}};
  guest_.tee().SetApplication(uuid, {.name = "slow to close", .close = HeldAt(deaf, false)});
  guest_.Open(uuid);
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(Probe().x[0], ret::kOk);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(4));
  EXPECT_EQ(deaf->waiting(), 1u);
  guest_.Open(backend::fake::kHelloUuid);
  deaf->Release();
}

// Until they are closed, sessions of the past count.
TEST_F(DriverLifeTest, StartingDriversForEverEvadesNoQuota) {
  const auto deaf = std::make_shared<FakeGate>();
  mediator::Policy policy;
  policy.max_sessions = 3;
  TestGuest guest(policy);
  const tee::Uuid uuid{{0xC1, 0x05}};
  guest.tee().SetApplication(uuid, {.name = "slow to close", .close = HeldAt(deaf, false)});
  for (int i = 0; i < 2; ++i) {
    guest.Open(uuid);
    EXPECT_EQ(guest.Smc0({smc::kExchangeCapabilities}), ret::kOk);
  }
  guest.Open(uuid);
  EXPECT_EQ(guest.Run(OpenMessage(uuid)).code(), tee::code::kOutOfMemory);
  deaf->Release();
}

TEST_F(DriverLifeTest, CallsAndNewDriversOnAllVcpusAtOnce) {
  gate_->Release();
  std::atomic<bool> stop = false;
  std::vector<std::thread> vcpus;
  for (int i = 0; i < 3; ++i) {
    vcpus.emplace_back([&, page = guest_.ram().Page()] {
      while (!stop) {
        guest_.Place(page, OpenMessage(backend::fake::kHelloUuid));
        mediator::SecureCall call;
        call.x = {smc::kCallWithArg, page >> 32, page & 0xFFFFFFFF};
        mediator::TestReplyPort port;
        guest_.dialect().Handle(call, port.NewRequest());
        EXPECT_TRUE(port.WaitReply());
        EXPECT_EQ(port.protocol_errors(), 0);
      }
    });
  }
  for (int i = 0; i < 200; ++i) EXPECT_EQ(Probe().x[0], ret::kOk);
  stop = true;
  for (std::thread& vcpu : vcpus) vcpu.join();
  Probe();
  EXPECT_EQ(guest_.tee().counters().open_sessions, 0u);
}

TEST_F(OldDriverStaysTest, WhenThePolicySaysSo) {
  EXPECT_EQ(guest_.Smc0({smc::kExchangeCapabilities}), ret::kOk);
  EXPECT_EQ(guest_.dialect().session_count(), 1u);
  TestCall call(guest_, Invoke());
  EXPECT_EQ(Park(call).x[0], ret::kRpcCommand);  // notifications are on still
  gate_->Release();
  call.Answer(*call.port().WaitReply());
  EXPECT_EQ(call.Finish().code(), tee::code::kSuccess);
}

// ---- the machine's restart ------------------------------------------------------------------

TEST_F(ParkingTest, ResetWhileACallIsParked) {
  TestCall call(guest_, Invoke());
  Park(call);
  guest_.dialect().Reset();
  guest_.JoinThreads();
  EXPECT_EQ(guest_.tee().counters().open_sessions, 0u);
  call.Return();
  EXPECT_EQ(call.Wait()->x[0], ret::kResume);
  EXPECT_EQ(guest_.TakeInterrupts(), 0u);  // nobody listens: notifications are off again
  EXPECT_EQ(guest_.Smc({smc::kGetAsyncNotifValue}).x[2], 0u);
}

TEST_F(ParkingTest, ResetWhileAFinishedCallIsNotFetched) {
  TestCall call(guest_, Invoke());
  Park(call);
  gate_->Release();
  guest_.JoinThreads();
  guest_.dialect().Reset();
  call.Return();
  EXPECT_EQ(call.Wait()->x[0], ret::kResume);
  EXPECT_EQ(guest_.Smc({smc::kGetAsyncNotifValue}).x[2], 0u);
}

TEST_F(ParkingTest, ResetWhileACallIsInsideTheTee) {
  TestCall call(guest_, Invoke());
  Hold(call);
  guest_.dialect().Reset();
  EXPECT_TRUE(call.Wait());  // its vCPU is not left without a reply
  EXPECT_EQ(guest_.ram().Get<MsgHeader>(call.message_at()).ret, 0xDEADBEEF);  // nothing written
  EXPECT_EQ(guest_.dialect().session_count(), 0u);
}

TEST_F(ParkingTest, ResetWhileASessionIsBeingOpened) {
  TestCall call(guest_, OpenMessage(kGatedOpen));
  Hold(call);
  const auto start = std::chrono::steady_clock::now();
  guest_.dialect().Reset();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(1500));
  EXPECT_TRUE(call.Wait());
  EXPECT_EQ(guest_.dialect().session_count(), 0u);
  EXPECT_EQ(guest_.tee().counters().open_sessions, 0u);
}

TEST_F(ParkingTest, ResetDoesNotWaitForeverForADeafTa) {
  TestCall call(guest_, Invoke(2));
  Hold(call);
  const auto start = std::chrono::steady_clock::now();
  guest_.dialect().Reset();
  const auto took = std::chrono::steady_clock::now() - start;
  EXPECT_GE(took, std::chrono::milliseconds(1900));
  EXPECT_LT(took, std::chrono::seconds(4));
  EXPECT_TRUE(call.port().replied());  // its vCPU is free at once
  EXPECT_EQ(guest_.dialect().session_count(), 0u);
  EXPECT_EQ(guest_.tee().counters().open_sessions, 1u);  // a close would wait for the TA
  gate_->Release();
  guest_.JoinThreads();
  EXPECT_EQ(guest_.tee().counters().open_sessions, 0u);
}

TEST_F(ParkingTest, ASessionOpenedForAGuestThatIsGoneIsClosed) {
  const auto deaf = std::make_shared<FakeGate>();
  const tee::Uuid uuid{{0xDE, 0xAF}};
  guest_.tee().SetApplication(
      uuid, {.name = "deaf", .open = HeldAt(deaf, false), .invoke = {}, .close = {}});
  TestCall call(guest_, OpenMessage(uuid));
  call.Start();
  ASSERT_TRUE(deaf->WaitForCalls(1, kSoon));
  guest_.dialect().Reset();
  deaf->Release();
  guest_.JoinThreads();
  EXPECT_EQ(guest_.dialect().session_count(), 0u);
  EXPECT_EQ(guest_.tee().counters().open_sessions, 0u);
}

TEST_F(ParkingTest, ResetEndsAWaitingUnregister) {
  const auto pages = guest_.ram().Scattered(1);
  ASSERT_EQ(guest_.Register(0x77, pages, 0, kPage).code(), tee::code::kSuccess);
  TestCall user(guest_, InvokeMessage(session_, 0, {Memory(attr::kRmemIn, 0, 8, 0x77)}));
  Hold(user);
  TestCall leaver(guest_, {cmd::kUnregisterShm, 0, 0, 0, {Memory(attr::kRmemIn, 0, 0, 0x77)}});
  leaver.Start();
  EXPECT_FALSE(leaver.Wait(std::chrono::milliseconds(10)));
  const auto start = std::chrono::steady_clock::now();
  guest_.dialect().Reset();
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(1500));
  EXPECT_TRUE(leaver.Wait());
  EXPECT_TRUE(user.Wait());
  EXPECT_EQ(guest_.dialect().shm_count(), 0u);
  // The cookie is free for the guest that starts now.
  EXPECT_EQ(guest_.Register(0x77, pages, 0, kPage).code(), tee::code::kSuccess);
}

TEST_F(ParkingTest, AfterAResetOldSessionsNameNothing) {
  const std::uint32_t old = session_;
  guest_.dialect().Reset();
  EXPECT_EQ(guest_.Invoke(old, 0).code(), tee::code::kBadParameters);
  session_ = guest_.Open(kGated);
  EXPECT_NE(session_, old);
}

}  // namespace
}  // namespace vtee::optee
