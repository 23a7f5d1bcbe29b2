// SPDX-License-Identifier: BSD-3-Clause
// Guests that rewrite memory while it is read, and vCPUs that race each other.
//
// These tests assert little about results: what must hold is that each call gets exactly one
// reply with a code of the ABI, and that at the end nobody holds anything.
#include <gtest/gtest.h>

#include <random>

#include "dialect/optee/test_flipper.h"
#include "dialect/optee/test_guest.h"
#include "dialect/optee/test_names.h"

namespace vtee::optee {
namespace {

constexpr std::uint64_t kCookie = 0x1000;

bool IsFinalCode(std::uint64_t a0) { return a0 <= ret::kNotAvailable; }

struct RewriteCase {
  const char* name;
  std::size_t word;  // of the message: four words of header, four for each parameter
  std::uint64_t other;
};

const RewriteCase kRewrites[] = {
    {"CommandAndFunction", 0, 0xFFFFFFFF'0000000B},
    {"SessionAndCancelId", 1, 0xFFFFFFFF'FFFFFFFF},
    {"Result", 2, 0x12345678'9ABCDEF0},
    {"OriginAndParamCount", 3, 0xFFFFFFFF'00000000},
    {"OneParamMore", 3, 3ull << 32},
    {"FirstAttribute", 4, attr::kTmemInOut | attr::kNonContiguous},
    {"FirstAddress", 5, ~std::uint64_t{0} - 4095},
    {"FirstSize", 6, ~std::uint64_t{0}},
    {"FirstCookie", 7, ~std::uint64_t{0}},
    {"SecondAttribute", 8, attr::kRmemOut},
    {"SecondOffset", 9, ~std::uint64_t{0}},
    {"SecondSize", 10, 0x1'0000'0001},
    {"SecondCookie", 11, 0},
};

class RewriteTest : public ::testing::TestWithParam<RewriteCase> {};

TEST_P(RewriteTest, OfAMessageThatIsRead) {
  TestGuest guest;
  const auto pages = guest.ram().Scattered(2);
  ASSERT_EQ(guest.Register(kCookie, pages, 0, 2 * kPage).code(), tee::code::kSuccess);
  const std::uint32_t session = guest.Open(backend::fake::kEchoUuid);
  const std::uint64_t at = guest.ram().Page();
  const TestMessage message = InvokeMessage(
      session, 0,
      {Memory(attr::kRmemIn, 16, 64, kCookie), Memory(attr::kRmemOut, kPage, 64, kCookie)});
  guest.Place(at, message);
  {
    const Flipper flipper(guest.ram(), at + GetParam().word * 8, GetParam().other);
    for (int i = 0; i < 300; ++i) {
      EXPECT_TRUE(IsFinalCode(guest.Smc0({smc::kCallWithArg, at >> 32, at & 0xFFFFFFFF})));
    }
  }
  EXPECT_EQ(guest.Unregister(kCookie).code(), tee::code::kSuccess);
  EXPECT_EQ(guest.tee().counters().registered_memories, 0u);
}

INSTANTIATE_TEST_SUITE_P(Table, RewriteTest, ::testing::ValuesIn(kRewrites), RowName());

TEST(HostileTest, RewriteOfAPageListThatIsWalked) {
  TestGuest guest;
  const auto pages = guest.ram().Scattered(600);
  const std::uint64_t list = guest.ram().List(pages);
  const std::uint32_t session = guest.Open(backend::fake::kHelloUuid);
  for (const std::size_t entry : {0u, 510u, 511u}) {
    const Flipper flipper(guest.ram(), list + entry * 8, TestRam::kHole + entry);
    for (int i = 0; i < 100; ++i) {
      const TestResult result = guest.Invoke(
          session, 0, {Memory(attr::kTmemIn | attr::kNonContiguous, list, 600 * kPage)});
      EXPECT_TRUE(IsFinalCode(result.a0));
    }
  }
  EXPECT_EQ(guest.tee().counters().registered_memories, 0u);
}

TEST(HostileTest, SlotsChangeWhileCallsRun) {
  TestGuest guest;
  const std::uint64_t at = TestRam::kAreas[1].base;
  const std::uint32_t session = guest.Open(backend::fake::kEchoUuid);
  guest.Place(at, InvokeMessage(session, 1, {Memory(attr::kTmemInOut, at + kPage, 4 * kPage)}));
  std::atomic<bool> stop{false};
  std::thread vmm([&] {
    while (!stop) {
      guest.ram().RemoveSlot(1);
      guest.ram().SetSlot(1);
    }
  });
  for (int i = 0; i < 500; ++i) {
    EXPECT_TRUE(IsFinalCode(guest.Smc0({smc::kCallWithArg, at >> 32, at & 0xFFFFFFFF})));
  }
  stop = true;
  vmm.join();
  EXPECT_EQ(guest.tee().counters().registered_memories, 0u);
}

// One cookie, registered, used and unregistered by three vCPUs at once (Xen 5b13eb1d97).
TEST(HostileTest, OneCookieFromEveryVcpu) {
  TestGuest guest;
  const auto pages = guest.ram().Scattered(1);
  const std::uint64_t list = guest.ram().List(pages);
  const std::uint32_t session = guest.Open(backend::fake::kEchoUuid);
  const TestMessage messages[] = {
      {cmd::kRegisterShm,
       0,
       0,
       0,
       {Memory(attr::kTmemOut | attr::kNonContiguous, list, kPage, kCookie)}},
      {cmd::kUnregisterShm, 0, 0, 0, {Memory(attr::kRmemIn, 0, 0, kCookie)}},
      InvokeMessage(session, 1, {Memory(attr::kRmemInOut, 0, 64, kCookie)}),
  };
  std::vector<std::thread> vcpus;
  for (const TestMessage& message : messages) {
    vcpus.emplace_back([&guest, &message] {
      const std::uint64_t at = guest.ram().Page();
      for (int i = 0; i < 500; ++i) {
        guest.Place(at, message);
        EXPECT_EQ(guest.Smc0({smc::kCallWithArg, at >> 32, at & 0xFFFFFFFF}), ret::kOk);
        const std::uint32_t code = guest.ram().Get<MsgHeader>(at).ret;
        EXPECT_TRUE(code == tee::code::kSuccess || code == tee::code::kBadParameters);
      }
    });
  }
  for (std::thread& vcpu : vcpus) vcpu.join();
  guest.Shutdown();
  EXPECT_EQ(guest.tee().counters().registered_memories, 0u);
}

// A call that asks the guest again and again, while its vCPU is asked for at every moment.
class ParkRaceTest : public ::testing::TestWithParam<bool> {};

TEST_P(ParkRaceTest, RpcsSurviveParksAtAnyMoment) {
  TestGuest guest({}, /*interrupt=*/GetParam());
  constexpr tee::Uuid kAsker{{0xA5}};
  std::atomic<int> wrong{0};
  guest.tee().SetApplication(kAsker, {.name = "asker",
                                      .open = {},
                                      .invoke =
                                          [&](backend::FakeCall& call) {
                                            for (int i = 0; i < 20; ++i) {
                                              tee::Upcall upcall;
                                              upcall.params[0].kind =
                                                  tee::UpcallParam::Kind::kValueOut;
                                              const tee::Outcome answer = call.Upcall(upcall);
                                              if (!answer.ok() || upcall.params[0].b != 42) ++wrong;
                                            }
                                            return tee::Outcome{};
                                          },
                                      .close = {}});
  const std::uint32_t session = guest.Open(kAsker);
  if (GetParam()) {
    EXPECT_EQ(guest.Smc0({smc::kEnableAsyncNotif}), ret::kOk);
  }
  mediator::TestReplyPort port;
  std::atomic<bool> stop{false};
  std::thread vmm([&] {
    while (!stop) {
      port.AskToPark();
      std::this_thread::yield();
    }
  });
  for (const std::uint32_t function : {smc::kCallWithRpcArg, smc::kCallWithArg}) {
    for (int i = 0; i < 15; ++i) {
      TestCall call(guest, InvokeMessage(session, 0), function);
      call.UseVcpu(port);
      ASSERT_EQ(call.Run().a0, ret::kOk);
    }
  }
  stop = true;
  vmm.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(port.protocol_errors(), 0);
}

INSTANTIATE_TEST_SUITE_P(WithAndWithoutInterrupt, ParkRaceTest, ::testing::Bool());

// The interrupt's descriptor is the VMM's: one on which a write waits must not hold a call.
TEST(HostileTest, AFullInterruptDescriptorHoldsNobody) {
  TestGuest guest;
  auto gate = std::make_shared<backend::FakeGate>();
  constexpr tee::Uuid kHeld{{0x6A}};
  guest.tee().SetApplication(kHeld,
                             {.name = "held", .open = {}, .invoke = HeldAt(gate), .close = {}});
  const UniqueFd full(eventfd(0, EFD_CLOEXEC));
  const std::uint64_t most = ~std::uint64_t{0} - 1;
  ASSERT_EQ(write(full.get(), &most, sizeof most), static_cast<ssize_t>(sizeof most));
  guest.dialect().SetInterrupt(UniqueFd(dup(full.get())));
  ASSERT_EQ(guest.Smc0({smc::kEnableAsyncNotif}), ret::kOk);
  TestCall call(guest, InvokeMessage(guest.Open(kHeld), 0));
  call.Start();
  ASSERT_TRUE(gate->WaitForCalls(1, std::chrono::seconds(5)));
  call.port().AskToPark();
  const auto parked = call.Wait();
  ASSERT_TRUE(parked && parked->x[0] == ret::kRpcCommand);
  gate->Release();
  guest.JoinThreads();  // the call has ended and raised its notification
  const auto taken = guest.Smc({smc::kGetAsyncNotifValue});
  EXPECT_EQ(taken.x[2], kAsyncNotifValid);
  call.Return();
  EXPECT_EQ(call.Finish().code(), tee::code::kSuccess);
}

TEST(HostileTest, RestartsWhileVcpusCall) {
  TestGuest guest;
  std::atomic<bool> stop{false};
  std::vector<std::thread> vcpus;
  for (int v = 0; v < 2; ++v) {
    vcpus.emplace_back([&] {
      const std::uint64_t at = guest.ram().Page();
      while (!stop) {
        guest.Place(at, OpenMessage(backend::fake::kHelloUuid));
        EXPECT_TRUE(IsFinalCode(guest.Smc0({smc::kCallWithArg, at >> 32, at & 0xFFFFFFFF})));
        // A restart waits for a moment without calls.
        std::this_thread::sleep_for(std::chrono::microseconds(200));
      }
    });
  }
  for (int i = 0; i < 20; ++i) guest.dialect().Reset();
  stop = true;
  for (std::thread& vcpu : vcpus) vcpu.join();
  guest.Shutdown();
  EXPECT_EQ(guest.tee().counters().open_sessions, 0u);
  EXPECT_EQ(guest.dialect().session_count(), 0u);
}

// Registers of all kinds of garbage; one reply each.
TEST(HostileTest, RandomRegisters) {
  TestGuest guest;
  std::minstd_rand random(4711);
  const std::uint64_t page = guest.ram().Page();
  const std::uint64_t ids[] = {smc::kCallWithArg, smc::kCallWithRpcArg, smc::kCallWithRegdArg,
                               smc::kReturnFromRpc, smc::kExchangeCapabilities};
  for (int i = 0; i < 20000; ++i) {
    mediator::SecureCall call;
    for (std::uint64_t& x : call.x) x = (std::uint64_t{random()} << 33) ^ random();
    if (i % 2 == 0) call.x[0] = ids[random() % std::size(ids)];
    if (i % 3 == 0) call.x[1] = 0;
    if (i % 3 == 0) call.x[2] = page;
    mediator::TestReplyPort port;
    guest.dialect().Handle(call, port.NewRequest());
    ASSERT_TRUE(port.WaitReply(std::chrono::milliseconds(0)));
    ASSERT_EQ(port.protocol_errors(), 0);
  }
}

}  // namespace
}  // namespace vtee::optee
