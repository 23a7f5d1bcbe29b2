// SPDX-License-Identifier: BSD-3-Clause
// Profiles: what each guest is offered, what is refused to it, and whom the TEE may ask.
#include "dialect/optee/profile.h"

#include <gtest/gtest.h>

#include "dialect/optee/test_guest.h"
#include "dialect/optee/test_names.h"

namespace vtee::optee {
namespace {

constexpr tee::Uuid kAsker{{0xA5, 0x4E}};
constexpr tee::Uuid kGated{{0x6A, 0x7E}};
constexpr std::uint64_t kNotSupported = ret::kUnknownFunction;
// One of the test RAM's slots, with RAM right before it.
constexpr StaticWindow kWindow{TestRam::kFirstEnd, TestRam::kSecondEnd - TestRam::kFirstEnd};

GuestSetup SetupOf(std::string_view profile) {
  GuestSetup setup{FindProfile(profile), {}};
  if (setup.profile->window) setup.window = kWindow;
  return setup;
}

struct ProfileCase {
  const char* profile;
  const char* name;  // the same as a test's name may be
  std::uint32_t capabilities;
  bool window;
  bool rpc_arg;
  bool notifications;
  std::map<std::uint64_t, int> upcall_returns;  // by low byte of a0
};

constexpr std::uint32_t kDynamic = kSecCapUnregisteredShm | kSecCapDynamicShm | kSecCapMemrefNull;
constexpr std::uint32_t kStatic = kSecCapReservedShm | kSecCapMemrefNull;

const ProfileCase kCases[] = {
    {"linux", "Linux", kDynamic | kSecCapRpcArg | kSecCapAsyncNotif, false, true, true, {{5, 1}}},
    {"linux-no-rpc-arg",
     "LinuxNoRpcArg",
     kDynamic | kSecCapAsyncNotif,
     false,
     false,
     true,
     {{0, 1}, {2, 1}, {5, 1}}},
    {"static", "Static", kStatic | kSecCapRpcArg | kSecCapAsyncNotif, true, true, true, {{5, 1}}},
    {"u-boot", "UBoot", kDynamic, false, false, false, {{0, 1}, {2, 1}, {5, 1}}},
    {"edk2", "Edk2", kStatic, true, false, false, {}},
};

class ProfileTest : public ::testing::TestWithParam<ProfileCase> {
 protected:
  // With an interrupt, whether the profile wants one or not.
  ProfileTest() : guest_({}, true, nullptr, SetupOf(GetParam().profile)) {
    guest_.contiguous_payloads = GetParam().window;
    backend::FakeApplication asker;
    asker.name = "asker";
    asker.invoke = [this](backend::FakeCall& call) {
      outcome_ = call.Upcall(upcall_);
      return outcome_;
    };
    guest_.tee().SetApplication(kAsker, std::move(asker));
  }
  ~ProfileTest() override {
    guest_.Shutdown();
    EXPECT_EQ(guest_.tee().counters().open_sessions, 0u);
    EXPECT_EQ(guest_.tee().counters().registered_memories, 0u);
  }

  TestGuest guest_;
  tee::Upcall upcall_;
  tee::Outcome outcome_;
};

TEST_P(ProfileTest, OffersItsCapabilities) {
  const auto reply = guest_.Smc({smc::kExchangeCapabilities, kNsecCapUniprocessor});
  EXPECT_EQ(reply.x[0], ret::kOk);
  EXPECT_EQ(reply.x[1], GetParam().capabilities);
  EXPECT_EQ(reply.x[2], GetParam().notifications ? Notifier::kMaxValue : 0u);
  EXPECT_EQ(reply.x[3], GetParam().rpc_arg ? kRpcParams : 0u);
}

TEST_P(ProfileTest, TellsTheWindowIfItHasOne) {
  const auto reply = guest_.Smc({smc::kGetShmConfig});
  if (!GetParam().window) {
    EXPECT_EQ(reply.x[0], ret::kNotAvailable);
    return;
  }
  EXPECT_EQ(reply.x[0], ret::kOk);
  EXPECT_EQ(reply.x[1], kWindow.base);
  EXPECT_EQ(reply.x[2], kWindow.size);
  EXPECT_EQ(reply.x[3], kShmCached);
}

TEST_P(ProfileTest, AWindowThatTheVmmDoesNotGiveIsNotAvailable) {
  guest_.ram().RemoveSlot(1);
  EXPECT_EQ(guest_.Smc0({smc::kGetShmConfig}), ret::kNotAvailable);
}

TEST_P(ProfileTest, AnswersTheIdsOfItsCapabilities) {
  const bool rpc_arg = GetParam().rpc_arg;
  const bool notifications = GetParam().notifications;
  // Nothing lies at 1: what is offered looks for a message.
  for (const std::uint32_t id : {smc::kCallWithRpcArg, smc::kCallWithRegdArg}) {
    EXPECT_EQ(guest_.Smc0({id, 0, 1}), rpc_arg ? ret::kBadAddress : ret::kBadCommand);
  }
  EXPECT_EQ(guest_.Smc0({smc::kCallWithArg, 0, 1}), ret::kBadAddress);
  EXPECT_EQ(guest_.Smc0({smc::kEnableAsyncNotif}), notifications ? ret::kOk : kNotSupported);
  EXPECT_EQ(guest_.Smc0({smc::kGetAsyncNotifValue}), notifications ? ret::kOk : kNotSupported);
  // All guests may ask for these.
  EXPECT_EQ(guest_.Smc0({smc::kEnableShmCache}), ret::kOk);
  EXPECT_EQ(guest_.Smc0({smc::kDisableShmCache}), ret::kNotAvailable);
  EXPECT_EQ(guest_.Smc({smc::kGetThreadCount}).x[1], 16u);
}

TEST_P(ProfileTest, RunsTheMessagesOfItsCapabilities) {
  const std::uint64_t in_window = GetParam().window ? ret::kBadCommand : ret::kOk;
  const std::uint64_t notified = GetParam().notifications ? ret::kOk : ret::kBadCommand;
  EXPECT_EQ(guest_.Run({cmd::kRegisterShm, 0, 0, 0, {}}).a0, in_window);
  EXPECT_EQ(guest_.Run({cmd::kUnregisterShm, 0, 0, 0, {}}).a0, in_window);
  EXPECT_EQ(guest_.Run({cmd::kDoBottomHalf, 0, 0, 0, {}}).a0, notified);
  EXPECT_EQ(guest_.Run({cmd::kStopAsyncNotif, 0, 0, 0, {}}).a0, notified);
  EXPECT_EQ(guest_.Run({cmd::kCloseSession, 0, 77, 0, {}}).code(), tee::code::kItemNotFound);
  EXPECT_EQ(guest_.Run({cmd::kLendProtectedMemory, 0, 0, 0, {}}).a0, ret::kBadCommand);
}

TEST_P(ProfileTest, OpensInvokesAndCloses) {
  const std::uint32_t session = guest_.Open(backend::fake::kHelloUuid);
  const TestResult result = guest_.Invoke(session, 0, {Value(attr::kValueInOut, 41)});
  EXPECT_EQ(result.code(), tee::code::kSuccess);
  EXPECT_EQ(result.params[0].u[0], 42u);
  EXPECT_EQ(guest_.Close(session).code(), tee::code::kSuccess);
}

// SMC32: what lies in the top halves is the guest's leftovers; and HVC is as good as SMC.
TEST_P(ProfileTest, TopHalvesAndConduitMeanNothingToACall) {
  constexpr std::uint64_t kTop = 0xDEADBEEF'00000000;
  auto gate = std::make_shared<backend::FakeGate>();
  backend::FakeApplication gated;
  gated.name = "gated";
  gated.invoke = HeldAt(gate);
  guest_.tee().SetApplication(kGated, gated);
  const std::uint32_t session = guest_.Open(kGated);
  const std::uint64_t page = guest_.SharedPages(1);
  guest_.Place(page, InvokeMessage(session, 0));
  mediator::SecureCall call;
  call.is_smc = false;
  const std::uint64_t id = GetParam().rpc_arg ? smc::kCallWithRpcArg : smc::kCallWithArg;
  call.x = {kTop | id, kTop | page >> 32, kTop | (page & 0xFFFFFFFF), kTop, kTop, kTop};
  mediator::TestReplyPort port;
  guest_.Spawn([&, responder = std::make_shared<mediator::Responder>(port.NewRequest())] {
    guest_.dialect().Handle(call, std::move(*responder));
  });
  ASSERT_TRUE(gate->WaitForCalls(1, std::chrono::seconds(5)));
  port.AskToPark();
  const auto parked = port.WaitReply();
  ASSERT_TRUE(parked);
  EXPECT_EQ(parked->x[0], ret::kRpcForeignInterrupt);
  gate->Release();
  mediator::SecureCall back;
  back.is_smc = false;
  back.x = {kTop | smc::kReturnFromRpc, kTop, kTop, kTop | parked->x[3], kTop, kTop};
  guest_.dialect().Handle(back, port.NewRequest());
  const auto done = port.WaitReply();
  ASSERT_TRUE(done);
  EXPECT_EQ(done->x[0], ret::kOk);
  EXPECT_EQ(guest_.ram().Get<MsgHeader>(page).ret, tee::code::kSuccess);
  guest_.JoinThreads();
}

TEST_P(ProfileTest, TheTeeAsksWhoCanAnswer) {
  upcall_.params[0].kind = tee::UpcallParam::Kind::kValueOut;
  const std::uint32_t session = guest_.Open(kAsker);
  TestCall call(guest_, InvokeMessage(session, 0));
  const TestResult result = call.Run();
  EXPECT_EQ(call.returns, GetParam().upcall_returns);
  EXPECT_EQ(result.a0, ret::kOk) << "the call completes in any case";
  if (GetParam().upcall_returns.empty()) {
    EXPECT_EQ(result.code(), tee::code::kCommunication);
    EXPECT_EQ(outcome_.origin, tee::Origin::kComms);
    return;
  }
  EXPECT_EQ(result.code(), tee::code::kSuccess);
  EXPECT_EQ(upcall_.params[0].a, 1'700'000'000u);
}

TEST_P(ProfileTest, UpcallDataTravelsInMemoryOfTheProfile) {
  if (GetParam().upcall_returns.empty()) return;  // asked by TheTeeAsksWhoCanAnswer
  std::vector<std::byte> data(5000, std::byte{0x5A});
  upcall_.kind = tee::UpcallKind::kFileSystem;
  upcall_.params[0] = {tee::UpcallParam::Kind::kBytesIn, 0, 0, 0, data, data.size()};
  const std::uint32_t session = guest_.Open(kAsker);
  TestCall call(guest_, InvokeMessage(session, 0));
  bool seen = false;
  call.on_rpc = [&](TestRpc& rpc) {
    if (rpc.header.cmd != static_cast<std::uint32_t>(tee::UpcallKind::kFileSystem)) return false;
    rpc.header.ret = tee::code::kSuccess;
    const auto& pages = guest_.lent.begin()->second.pages;
    EXPECT_EQ(guest_.ram().GetBytes(pages, 0, data.size()), data);
    seen = true;
    return true;
  };
  EXPECT_EQ(call.Run().code(), tee::code::kSuccess);
  EXPECT_TRUE(seen);
  EXPECT_TRUE(guest_.lent.empty());
}

TEST_P(ProfileTest, ALongCallIsParkedAsTheGuestCanTakeIt) {
  auto gate = std::make_shared<backend::FakeGate>();
  backend::FakeApplication gated;
  gated.name = "gated";
  gated.invoke = HeldAt(gate);
  guest_.tee().SetApplication(kGated, gated);
  const std::uint32_t session = guest_.Open(kGated);
  if (GetParam().notifications) guest_.Smc({smc::kEnableAsyncNotif});
  TestCall call(guest_, InvokeMessage(session, 0));
  call.Start();
  ASSERT_TRUE(gate->WaitForCalls(1, std::chrono::seconds(5)));
  call.port().AskToPark();
  const auto parked = call.Wait();
  ASSERT_TRUE(parked);
  // Only a guest with a handler sleeps, and only if it has lent memory for the message.
  const bool sleeps = GetParam().notifications && GetParam().rpc_arg;
  EXPECT_EQ(parked->x[0], sleeps ? ret::kRpcCommand : ret::kRpcForeignInterrupt);
  gate->Release();
  call.Answer(*parked);
  EXPECT_EQ(call.Finish().code(), tee::code::kSuccess);
  if (!sleeps) {
    EXPECT_EQ(guest_.TakeInterrupts(), 0u);
  }
}

INSTANTIATE_TEST_SUITE_P(Table, ProfileTest, ::testing::ValuesIn(kCases), RowName());

TEST(ProfilesTest, TheTableIsComplete) {
  ASSERT_EQ(std::size(kCases), kProfiles.size());
  for (std::size_t i = 0; i < kProfiles.size(); ++i) {
    EXPECT_EQ(kProfiles[i].name, kCases[i].profile);
    EXPECT_EQ(FindProfile(kProfiles[i].name), &kProfiles[i]);
  }
  EXPECT_EQ(FindProfile(""), nullptr);
  EXPECT_EQ(FindProfile("Linux"), nullptr);
  EXPECT_EQ(GuestSetup{}.profile->name, "linux");
}

}  // namespace
}  // namespace vtee::optee
