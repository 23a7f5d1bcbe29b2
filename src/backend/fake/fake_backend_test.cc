// SPDX-License-Identifier: BSD-3-Clause
#include "backend/fake/fake_backend.h"

#include <gtest/gtest.h>

#include <future>
#include <thread>

#include "backend/fake/vector_memory.h"

namespace vtee::backend {
namespace {

using tee::Direction;
using tee::OperationId;
using tee::Origin;
using tee::Param;
using tee::SessionId;
using std::chrono_literals::operator""ms;
using std::chrono_literals::operator""s;
namespace code = tee::code;

const tee::Uuid kTa{{1}};

class FakeBackendTest : public testing::Test {
 protected:
  tee::Outcome Open(SessionId& session, std::uint32_t operation = 0) {
    tee::CallContext context{.upcalls = nullptr, .operation = OperationId(operation)};
    tee::Params params{};
    return backend_.OpenSession(context, {.application = kTa, .client = {}}, params, session);
  }
  SessionId OpenScripted(FakeReply reply) {
    backend_.SetApplication(kTa,
                            {.name = "test", .open = {}, .invoke = Scripted(reply), .close = {}});
    SessionId session;
    EXPECT_TRUE(Open(session).ok());
    return session;
  }
  tee::Outcome Invoke(SessionId session, tee::Params& params, std::uint32_t operation = 0,
                      tee::Upcalls* upcalls = nullptr) {
    tee::CallContext context{.upcalls = upcalls, .operation = OperationId(operation)};
    return backend_.Invoke(context, session, 0, params);
  }
  tee::Outcome Invoke(SessionId session) {
    tee::Params params{};
    return Invoke(session, params);
  }

  FakeBackend backend_;
  tee::CallContext context_{};
};

TEST_F(FakeBackendTest, UnknownApplicationAndSession) {
  SessionId session;
  auto outcome = Open(session);
  EXPECT_EQ(outcome.code, code::kItemNotFound);
  EXPECT_EQ(outcome.origin, Origin::kTee);
  EXPECT_EQ(Invoke(SessionId(5)).code, code::kBadParameters);
  EXPECT_EQ(backend_.CloseSession(context_, SessionId(5)).code, code::kBadParameters);
  EXPECT_EQ(backend_.RequestCancel(SessionId(5), OperationId(1)).code, code::kBadParameters);
}

TEST_F(FakeBackendTest, ScriptedOutcomeAndEcho) {
  const SessionId session = OpenScripted({.echo = true, .outcome = {0x1234, Origin::kTrustedApp}});
  auto guest = std::make_shared<VectorMemory>(std::string("abc"));
  auto memory = backend_.RegisterMemory(guest);
  ASSERT_TRUE(memory.ok());
  tee::Params params{};
  params[0] = Param{.kind = Param::Kind::kValue, .direction = Direction::kInOut, .a = 4};
  params[1] = Param{.kind = Param::Kind::kMemory, .direction = Direction::kInOut};
  params[1].memory = memory.value().get();
  params[1].size = 3;
  EXPECT_EQ(Invoke(session, params).code, 0x1234u);
  EXPECT_EQ(params[0].a, 8u);
  EXPECT_EQ(guest->Text(), "cba");
}

TEST_F(FakeBackendTest, RangesOutsideTheMemoryAreRefused) {
  const SessionId session = OpenScripted({});
  auto memory = backend_.RegisterMemory(std::make_shared<VectorMemory>(4));
  ASSERT_TRUE(memory.ok());
  tee::Params params{};
  params[0] = Param{.kind = Param::Kind::kMemory, .direction = Direction::kIn};
  params[0].memory = memory.value().get();
  params[0].offset = 2;
  params[0].size = 3;
  EXPECT_EQ(Invoke(session, params).code, code::kBadParameters);
}

TEST_F(FakeBackendTest, FailNth) {
  const SessionId session = OpenScripted({});
  backend_.FailNth(FakeVerb::kInvoke, 2, {code::kBusy, Origin::kTee});
  backend_.FailNth(FakeVerb::kInvoke, 3, {code::kGeneric, Origin::kComms});
  EXPECT_TRUE(Invoke(session).ok());
  EXPECT_EQ(Invoke(session).code, code::kBusy);
  EXPECT_EQ(Invoke(session).origin, Origin::kComms);
  EXPECT_TRUE(Invoke(session).ok());

  SessionId other;
  backend_.FailNth(FakeVerb::kOpen, 1, {code::kOutOfMemory, Origin::kTee});
  EXPECT_EQ(Open(other).code, code::kOutOfMemory);
  backend_.FailNth(FakeVerb::kClose, 1, {code::kBusy, Origin::kTee});
  EXPECT_EQ(backend_.CloseSession(context_, session).code, code::kBusy);
  EXPECT_EQ(backend_.counters().open_sessions, 1u);
  backend_.FailNth(FakeVerb::kCancel, 1, {code::kBusy, Origin::kTee});
  EXPECT_EQ(backend_.RequestCancel(session, OperationId(1)).code, code::kBusy);
  backend_.FailNth(FakeVerb::kRegister, 1, {code::kOutOfMemory, Origin::kTee});
  auto refused = backend_.RegisterMemory(std::make_shared<VectorMemory>(4));
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code, ErrorCode::kResourceExhausted);
}

TEST_F(FakeBackendTest, CountersFollowEverythingGivenAndTaken) {
  const SessionId session = OpenScripted({});
  {
    auto memory = backend_.RegisterMemory(std::make_shared<VectorMemory>(4096));
    ASSERT_TRUE(memory.ok());
    EXPECT_EQ(backend_.counters().registered_memories, 1u);
    EXPECT_EQ(backend_.counters().registered_bytes, 4096u);
  }
  Invoke(session);
  const FakeCounters counters = backend_.counters();
  EXPECT_EQ(counters.registered_memories, 0u);
  EXPECT_EQ(counters.registered_bytes, 0u);
  EXPECT_EQ(counters.open_sessions, 1u);
  EXPECT_EQ(counters.calls_in_flight, 0u);
  EXPECT_EQ(counters.peak_calls_in_flight, 1u);
  EXPECT_EQ(counters.Calls(FakeVerb::kInvoke), 1u);
  EXPECT_TRUE(backend_.CloseSession(context_, session).ok());
  EXPECT_EQ(backend_.counters().open_sessions, 0u);
  EXPECT_FALSE(backend_.RegisterMemory(nullptr).ok());
}

TEST_F(FakeBackendTest, GateHoldsCallsUntilReleased) {
  auto gate = std::make_shared<FakeGate>();
  const SessionId session = OpenScripted({.gate = gate});
  auto first = std::async(std::launch::async, [&] { return Invoke(session); });
  auto second = std::async(std::launch::async, [&] { return Invoke(session); });
  ASSERT_TRUE(gate->WaitForCalls(2, 10s));
  EXPECT_EQ(backend_.counters().calls_in_flight, 2u);
  EXPECT_EQ(gate->waiting(), 2u);
  gate->Release();
  EXPECT_TRUE(first.get().ok());
  EXPECT_TRUE(second.get().ok());
  EXPECT_TRUE(Invoke(session).ok());  // stays open
  EXPECT_EQ(backend_.counters().peak_calls_in_flight, 2u);
  EXPECT_FALSE(gate->WaitForCalls(1, 1ms));
}

TEST_F(FakeBackendTest, CancelLeavesAGateOnlyWhenHonoured) {
  auto gate = std::make_shared<FakeGate>();
  const SessionId session = OpenScripted({.gate = gate});
  tee::Params params{};
  auto call = std::async(std::launch::async, [&] { return Invoke(session, params, 7); });
  ASSERT_TRUE(gate->WaitForCalls(1, 10s));
  EXPECT_TRUE(backend_.RequestCancel(session, OperationId(7)).ok());
  EXPECT_EQ(call.get().code, code::kCancel);

  auto deaf_gate = std::make_shared<FakeGate>();
  const SessionId deaf = OpenScripted({.gate = deaf_gate, .honour_cancel = false});
  auto held = std::async(std::launch::async, [&] { return Invoke(deaf, params, 8); });
  ASSERT_TRUE(deaf_gate->WaitForCalls(1, 10s));
  EXPECT_TRUE(backend_.RequestCancel(deaf, OperationId(8)).ok());
  EXPECT_EQ(held.wait_for(5ms), std::future_status::timeout);
  deaf_gate->Release();
  EXPECT_TRUE(held.get().ok());
}

TEST_F(FakeBackendTest, CancelOfAnOpen) {
  auto gate = std::make_shared<FakeGate>();
  backend_.SetApplication(
      kTa, {.name = "slow open", .open = Scripted({.gate = gate}), .invoke = {}, .close = {}});
  SessionId session;
  auto open = std::async(std::launch::async, [&] { return Open(session, 11); });
  ASSERT_TRUE(gate->WaitForCalls(1, 10s));
  EXPECT_TRUE(backend_.RequestCancelOpen(OperationId(11)).ok());
  EXPECT_EQ(open.get().code, code::kCancel);
  EXPECT_EQ(backend_.counters().open_sessions, 0u);

  FakeBackend cannot(tee::BackendCapabilities{});
  EXPECT_EQ(cannot.RequestCancelOpen(OperationId(1)).code, code::kNotSupported);
}

class CountingUpcalls final : public tee::Upcalls {
 public:
  tee::Outcome Call(tee::Upcall& upcall) override {
    kinds.push_back(upcall.kind);
    return kinds.size() < 2 ? tee::Outcome{} : tee::Outcome{code::kCommunication, Origin::kComms};
  }
  std::vector<tee::UpcallKind> kinds;
};

TEST_F(FakeBackendTest, UpcallsRunInOrderAndTheFirstFailureEndsTheCall) {
  FakeReply reply;
  reply.upcalls.resize(3);
  reply.upcalls[0].kind = tee::UpcallKind::kGetTime;
  reply.upcalls[1].kind = tee::UpcallKind::kFileSystem;
  const SessionId session = OpenScripted(reply);
  CountingUpcalls upcalls;
  tee::Params params{};
  EXPECT_EQ(Invoke(session, params, 0, &upcalls).code, code::kCommunication);
  ASSERT_EQ(upcalls.kinds.size(), 2u);
  EXPECT_EQ(upcalls.kinds[1], tee::UpcallKind::kFileSystem);
  EXPECT_EQ(Invoke(session).code, code::kBadState);
}

TEST_F(FakeBackendTest, OpenAndCloseHandlers) {
  int closed = 0;
  bool allow = false;
  backend_.SetApplication(
      kTa,
      {.name = "picky",
       .open =
           [&](FakeCall&) {
             return allow ? tee::Outcome{} : tee::Outcome{code::kAccessDenied, Origin::kTrustedApp};
           },
       .invoke = {},
       .close =
           [&](FakeCall&) {
             ++closed;
             return tee::Outcome{};
           }});
  SessionId session;
  EXPECT_EQ(Open(session).code, code::kAccessDenied);
  EXPECT_EQ(backend_.counters().open_sessions, 0u);
  allow = true;
  EXPECT_TRUE(Open(session).ok());
  EXPECT_EQ(Invoke(session).code, code::kNotImplemented);
  EXPECT_TRUE(backend_.CloseSession(context_, session).ok());
  EXPECT_EQ(closed, 1);
}

TEST_F(FakeBackendTest, LifeEvents) {
  OpenScripted({});
  backend_.OnLifeEvent(tee::LifeEvent::kPaused, {});
  EXPECT_EQ(backend_.counters().open_sessions, 1u);
  backend_.OnLifeEvent(tee::LifeEvent::kReset, {});
  EXPECT_EQ(backend_.counters().open_sessions, 0u);
  ASSERT_EQ(backend_.counters().life_events.size(), 2u);
  EXPECT_EQ(backend_.counters().life_events[1], tee::LifeEvent::kReset);
}

TEST(FakeBackendLife, DestructorCancelsWhatRuns) {
  auto backend = FakeBackend::WithDefaultScript();
  tee::CallContext context{};
  tee::Params params{};
  SessionId session;
  ASSERT_TRUE(
      backend->OpenSession(context, {.application = fake::kSlowUuid, .client = {}}, params, session)
          .ok());
  auto call = std::async(std::launch::async, [&, raw = backend.get()] {
    tee::CallContext own{};
    tee::Params slow{};
    slow[0] = Param{.kind = Param::Kind::kValue, .direction = Direction::kIn, .a = 60'000};
    return raw->Invoke(own, session, 0, slow);
  });
  while (backend->counters().calls_in_flight == 0) std::this_thread::yield();
  backend.reset();
  EXPECT_EQ(call.get().code, code::kCancel);
}

TEST(FakeBackendLife, MemoryMayOutliveTheBackend) {
  auto backend = std::make_unique<FakeBackend>();
  auto memory = backend->RegisterMemory(std::make_shared<VectorMemory>(4));
  ASSERT_TRUE(memory.ok());
  backend.reset();
}

}  // namespace
}  // namespace vtee::backend
