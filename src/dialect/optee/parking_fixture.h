// SPDX-License-Identifier: BSD-3-Clause
// ParkingTest: a TestGuest with a TA that holds its calls until the test lets them go.
#pragma once

#include <gtest/gtest.h>

#include "dialect/optee/test_guest.h"

namespace vtee::optee {

using backend::FakeGate;

inline constexpr tee::Uuid kGated{{0x6A, 0x7E}};
inline constexpr tee::Uuid kGatedOpen{{0x6A, 0x7F}};
inline constexpr auto kSoon = std::chrono::seconds(5);

inline mediator::Policy FourCalls() {
  mediator::Policy policy;
  policy.max_calls = 4;
  return policy;
}

// A TA that holds its calls at a gate; command 1 then asks for the time, command 2 is deaf to
// cancellation.
class ParkingTest : public ::testing::Test {
 protected:
  explicit ParkingTest(bool interrupt = true, const mediator::Policy& policy = FourCalls())
      : gate_(std::make_shared<FakeGate>()), guest_(policy, interrupt) {
    tee::Upcall time;
    time.params[0].kind = tee::UpcallParam::Kind::kValueOut;
    const auto hold = HeldAt(gate_);
    const auto ask = HeldAt(gate_, true, {time});
    const auto deaf = HeldAt(gate_, false);
    backend::FakeApplication gated;
    gated.name = "gated";
    gated.invoke = [=](backend::FakeCall& call) {
      return call.command() == 0 ? hold(call) : call.command() == 1 ? ask(call) : deaf(call);
    };
    guest_.tee().SetApplication(kGated, gated);
    gated.open = hold;
    guest_.tee().SetApplication(kGatedOpen, gated);
    session_ = guest_.Open(kGated);
    if (!interrupt) return;
    EXPECT_EQ(guest_.Smc0({smc::kEnableAsyncNotif}), ret::kOk);
  }
  ~ParkingTest() override {
    gate_->Release();
    guest_.Shutdown();
    EXPECT_EQ(guest_.tee().counters().open_sessions, 0u);
    EXPECT_EQ(guest_.tee().counters().registered_memories, 0u);
  }

  // Starts the call and waits until the TEE has it.
  void Hold(TestCall& call) {
    const std::size_t before = gate_->waiting();
    call.Start();
    ASSERT_TRUE(gate_->WaitForCalls(before + 1, kSoon));
  }
  // The same, parked; the registers the guest got.
  mediator::RegisterReply Park(TestCall& call) {
    Hold(call);
    call.port().AskToPark();
    return call.Wait().value_or(mediator::RegisterReply{});
  }
  TestMessage Invoke(std::uint32_t command = 0, std::uint32_t cancel_id = 0) const {
    return InvokeMessage(session_, command, {}, cancel_id);
  }

  std::shared_ptr<FakeGate> gate_;
  TestGuest guest_;
  std::uint32_t session_ = 0;
};

}  // namespace vtee::optee
