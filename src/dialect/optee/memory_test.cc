// SPDX-License-Identifier: BSD-3-Clause
// Want of memory in the middle of a call: the call says OUT_OF_MEMORY, and nothing of it stays.
#include <gtest/gtest.h>

#include <new>

#include "dialect/optee/test_guest.h"

namespace vtee::optee {
namespace {

using backend::FakeCall;

constexpr tee::Uuid kPoor{{0x44, 0x55, 0x66, 0x77}};
constexpr tee::Outcome kOk{tee::code::kSuccess, tee::Origin::kTrustedApp};

class MemoryTest : public ::testing::Test {
 protected:
  MemoryTest() : guest_(OneSession()) {
    backend::FakeApplication poor;
    poor.name = "poor";
    poor.open = [this](FakeCall&) { return MaybeThrow(open_fails_); };
    poor.invoke = [this](FakeCall& call) {
      if (call.command() == 1) {
        tee::Upcall upcall;
        upcall.kind = tee::UpcallKind::kGetTime;
        upcall.params[0].kind = tee::UpcallParam::Kind::kValueOut;
        EXPECT_TRUE(call.Upcall(upcall).ok());
      }
      if (call.command() == 2) guest_.dialect().Reset();
      return MaybeThrow(invoke_fails_);
    };
    poor.close = [this](FakeCall&) { return MaybeThrow(close_fails_); };
    guest_.tee().SetApplication(kPoor, std::move(poor));
  }
  static mediator::Policy OneSession() {
    mediator::Policy policy;
    policy.max_sessions = 1;
    return policy;
  }
  static tee::Outcome MaybeThrow(bool fails) {
    if (fails) throw std::bad_alloc();
    return kOk;
  }
  std::size_t OpenInTee() { return guest_.tee().counters().open_sessions; }

  bool open_fails_ = false;
  bool invoke_fails_ = false;
  bool close_fails_ = false;
  TestGuest guest_;
};

TEST_F(MemoryTest, OpenGivesItsPlaceBack) {
  open_fails_ = true;
  for (int i = 0; i < 3; ++i) {
    const TestResult result = guest_.Run(OpenMessage(kPoor));
    EXPECT_EQ(result.a0, ret::kOk);
    EXPECT_EQ(result.code(), tee::code::kOutOfMemory);
    EXPECT_EQ(result.header.session, 0u);
  }
  EXPECT_EQ(guest_.dialect().session_count(), 0u);
  open_fails_ = false;
  guest_.Open(kPoor);  // the only session there may be
  EXPECT_EQ(OpenInTee(), 1u);
}

TEST_F(MemoryTest, InvokeLeavesNothingToCancel) {
  const std::uint32_t session = guest_.Open(kPoor);
  invoke_fails_ = true;
  EXPECT_EQ(guest_.Run(InvokeMessage(session, 0, {}, 7)).code(), tee::code::kOutOfMemory);
  const std::uint64_t before = guest_.tee().counters().Calls(backend::FakeVerb::kCancel);
  EXPECT_EQ(guest_.Run({cmd::kCancel, 0, session, 7, {}}).code(), tee::code::kSuccess);
  EXPECT_EQ(guest_.tee().counters().Calls(backend::FakeVerb::kCancel), before);
  invoke_fails_ = false;
  EXPECT_EQ(guest_.Invoke(session, 0).code(), tee::code::kSuccess);
}

TEST_F(MemoryTest, LentRpcMemoryIsGivenBack) {
  const std::uint32_t session = guest_.Open(kPoor);
  invoke_fails_ = true;
  const TestResult result = guest_.Run(InvokeMessage(session, 1), smc::kCallWithArg);
  EXPECT_EQ(result.code(), tee::code::kOutOfMemory);
  EXPECT_EQ(guest_.rpc_args_lent, 0);
}

TEST_F(MemoryTest, CloseHasClosed) {
  const std::uint32_t session = guest_.Open(kPoor);
  close_fails_ = true;
  EXPECT_EQ(guest_.Close(session).code(), tee::code::kOutOfMemory);
  EXPECT_EQ(OpenInTee(), 0u);
  EXPECT_EQ(guest_.Close(session).code(), tee::code::kItemNotFound);
}

TEST_F(MemoryTest, ARestartGoesOn) {
  guest_.Open(kPoor);
  close_fails_ = true;
  guest_.dialect().Reset();
  EXPECT_EQ(guest_.dialect().session_count(), 0u);
  EXPECT_EQ(OpenInTee(), 0u);
}

TEST_F(MemoryTest, ADriverThatStartsGoesOn) {
  guest_.Open(kPoor);
  close_fails_ = true;
  EXPECT_EQ(guest_.Smc0({smc::kExchangeCapabilities}), ret::kOk);
  EXPECT_EQ(guest_.dialect().session_count(), 0u);
  EXPECT_EQ(OpenInTee(), 0u);
  guest_.Open(kPoor);  // the only session there may be
}

// Its command still ran when the driver ended, so the session was left for the command to close.
TEST_F(MemoryTest, AForgottenSessionIsClosedByACommandThatFails) {
  const std::uint32_t session = guest_.Open(kPoor);
  invoke_fails_ = true;
  EXPECT_EQ(guest_.Run(InvokeMessage(session, 2)).a0, ret::kResume);
  guest_.JoinThreads();
  EXPECT_EQ(OpenInTee(), 0u);
  guest_.Open(kPoor);
}

}  // namespace
}  // namespace vtee::optee
