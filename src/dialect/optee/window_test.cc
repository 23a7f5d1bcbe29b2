// SPDX-License-Identifier: BSD-3-Clause
// The static window: messages and buffers inside it, at its edges, and anywhere else.
#include <gtest/gtest.h>

#include "dialect/optee/test_guest.h"
#include "dialect/optee/test_names.h"

namespace vtee::optee {
namespace {

// One of the test RAM's slots. RAM lies right before it and a hole right behind it.
constexpr StaticWindow kWindow{TestRam::kFirstEnd, TestRam::kSecondEnd - TestRam::kFirstEnd};
constexpr std::uint64_t kEnd = kWindow.base + kWindow.size;
constexpr std::uint64_t kRam = TestRam::kFirstEnd - 64 * kPage;
constexpr std::uint64_t kMiddle = kWindow.base + 100 * kPage;

class WindowTest : public ::testing::Test {
 protected:
  WindowTest() : guest_({}, true, nullptr, {FindProfile("static"), kWindow}) {}
  ~WindowTest() override {
    guest_.Shutdown();
    EXPECT_EQ(guest_.tee().counters().open_sessions, 0u);
    EXPECT_EQ(guest_.tee().counters().registered_memories, 0u);
  }
  // An invocation of nothing, as far as its message can be read.
  std::uint64_t CallAt(std::uint32_t function, std::uint64_t at) {
    return guest_.Smc0({function, at >> 32, at & 0xFFFFFFFF});
  }
  TestGuest guest_;
};

// ---- messages -----------------------------------------------------------------------------

struct MessageCase {
  const char* name;
  std::uint64_t at;
  std::uint32_t params;  // in the header that lies there
  std::uint64_t with_arg;
  std::uint64_t with_rpc_arg;
};

constexpr std::uint64_t kRpcRoom = MsgSize(kRpcParams);
constexpr std::uint64_t kBad = ret::kBadAddress;

const MessageCase kMessages[] = {
    {"AtTheStart", kWindow.base, 0, ret::kOk, ret::kOk},
    {"InTheMiddleOfAPage", kMiddle + 512, 4, ret::kOk, ret::kOk},
    {"AcrossPages", kMiddle + kPage - 40, 4, ret::kOk, ret::kOk},
    {"OfAllParameters", kMiddle + 8, kMaxMsgParams, ret::kOk, ret::kOk},
    {"OfTooManyParameters", kMiddle, kMaxMsgParams + 1, kBad, kBad},
    {"OfManyMore", kMiddle, 0xFFFFFFFF, kBad, kBad},
    {"LastThatFits", kEnd - MsgSize(2) - kRpcRoom, 2, ret::kOk, ret::kOk},
    {"WithoutRoomForTheRpc", kEnd - MsgSize(2) - kRpcRoom + 8, 2, ret::kOk, kBad},
    {"UpToTheEnd", kEnd - MsgSize(2), 2, ret::kOk, kBad},
    {"PastTheEnd", kEnd - MsgSize(2) + 8, 2, kBad, kBad},
    {"HeaderPastTheEnd", kEnd - 24, 0, kBad, kBad},
    {"HeaderAtTheEnd", kEnd - MsgSize(0), 0, ret::kOk, kBad},
    {"Misaligned", kMiddle + 4, 0, kBad, kBad},
    {"InRam", kRam, 0, kBad, kBad},
    {"FromRamIntoTheWindow", kWindow.base - 8, 0, kBad, kBad},
};

class WindowMessageTest : public WindowTest, public ::testing::WithParamInterface<MessageCase> {};

TEST_P(WindowMessageTest, IsTakenWhereItFits) {
  MsgHeader header{};
  header.cmd = cmd::kInvokeCommand;
  header.num_params = GetParam().params;
  std::array<std::uint32_t, sizeof header / 4> words{};
  std::memcpy(words.data(), &header, sizeof header);
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::uint64_t at = GetParam().at + i * 4;
    if (at < kEnd) guest_.ram().Put(at, words[i]);
  }
  EXPECT_EQ(CallAt(smc::kCallWithArg, GetParam().at), GetParam().with_arg);
  EXPECT_EQ(CallAt(smc::kCallWithRpcArg, GetParam().at), GetParam().with_rpc_arg);
}

INSTANTIATE_TEST_SUITE_P(Table, WindowMessageTest, ::testing::ValuesIn(kMessages), RowName());

TEST_F(WindowTest, MessagesElsewhereAreRefused) {
  for (const std::uint64_t at :
       {std::uint64_t{0}, TestRam::kHole, TestRam::kRom, TestRam::kUnshared, std::uint64_t{1} << 32,
        kEnd, kEnd - 8, ~std::uint64_t{0}, ~std::uint64_t{7},
        kWindow.base | std::uint64_t{1} << 63}) {
    EXPECT_EQ(CallAt(smc::kCallWithArg, at), ret::kBadAddress) << std::hex << at;
    EXPECT_EQ(CallAt(smc::kCallWithRpcArg, at), ret::kBadAddress) << std::hex << at;
  }
  // Nothing can be registered, so nothing has a cookie.
  EXPECT_EQ(CallAt(smc::kCallWithRegdArg, kMiddle), ret::kBadAddress);
}

// ---- buffers ------------------------------------------------------------------------------

struct BufferCase {
  const char* name;
  MsgParam param;
  std::uint32_t code;
};

constexpr std::uint64_t kWhole = kWindow.size;

const BufferCase kBuffers[] = {
    {"OneByteAtTheStart", Memory(attr::kTmemInOut, kWindow.base, 1), tee::code::kSuccess},
    {"OneByteAtTheEnd", Memory(attr::kTmemInOut, kEnd - 1, 1), tee::code::kSuccess},
    {"Odd", Memory(attr::kTmemInOut, kMiddle + 3, 4097), tee::code::kSuccess},
    {"Empty", Memory(attr::kTmemInOut, kMiddle, 0), tee::code::kSuccess},
    {"EmptyAtTheEnd", Memory(attr::kTmemInOut, kEnd, 0), tee::code::kBadParameters},
    {"OneBytePastTheEnd", Memory(attr::kTmemInOut, kEnd - 7, 8), tee::code::kBadParameters},
    {"PartlyBefore", Memory(attr::kTmemInOut, kWindow.base - 1, 2), tee::code::kBadParameters},
    {"OneByteTooMany", Memory(attr::kTmemInOut, kWindow.base, kWhole + 1),
     tee::code::kBadParameters},
    {"InRam", Memory(attr::kTmemInOut, kRam, 8), tee::code::kBadParameters},
    {"AroundTheWindow", Memory(attr::kTmemInOut, kRam, kWhole + 128 * kPage),
     tee::code::kBadParameters},
    {"SizeWraps", Memory(attr::kTmemInOut, kMiddle, ~std::uint64_t{0}), tee::code::kBadParameters},
    {"SizeWrapsToTheStart", Memory(attr::kTmemInOut, kMiddle, 0 - kMiddle + kWindow.base),
     tee::code::kBadParameters},
    {"AddressOfAllOnes", Memory(attr::kTmemInOut, ~std::uint64_t{0}, 1), tee::code::kBadParameters},
    {"PageList", Memory(attr::kTmemInOut | attr::kNonContiguous, kMiddle, 8),
     tee::code::kBadParameters},
    {"Registered", Memory(attr::kRmemInOut, 0, 8, 0x1000), tee::code::kBadParameters},
    {"RegisteredNull", Memory(attr::kRmemInOut, 0, 0), tee::code::kBadParameters},
    {"RegisteredPageList", Memory(attr::kRmemInOut | attr::kNonContiguous, 0, 8, 0x1000),
     tee::code::kBadParameters},
};

class WindowBufferTest : public WindowTest, public ::testing::WithParamInterface<BufferCase> {};

TEST_P(WindowBufferTest, IsTakenInsideOnly) {
  const std::uint32_t session = guest_.Open(backend::fake::kEchoUuid);
  EXPECT_EQ(guest_.Invoke(session, 1, {GetParam().param}).code(), GetParam().code);
}

INSTANTIATE_TEST_SUITE_P(Table, WindowBufferTest, ::testing::ValuesIn(kBuffers), RowName());

TEST_F(WindowTest, ANullReferenceIsNull) {
  const std::uint32_t session = guest_.Open(backend::fake::kEchoUuid);
  const TestResult result = guest_.Invoke(session, 1, {Memory(attr::kTmemInOut, 0, 0)});
  EXPECT_NE(result.code(), tee::code::kSuccess);
  EXPECT_EQ(guest_.tee().counters().Calls(backend::FakeVerb::kInvoke), 1u) << "the TA saw it";
  EXPECT_EQ(guest_.tee().counters().Calls(backend::FakeVerb::kRegister), 0u);
}

TEST_F(WindowTest, BytesTravelBothWaysAndNothingElseChanges) {
  const std::uint32_t session = guest_.Open(backend::fake::kEchoUuid);
  const std::vector<std::uint64_t> place{kMiddle, kMiddle + kPage, kMiddle + 2 * kPage};
  auto expected = guest::TestPattern(3 * kPage, 7);
  guest_.ram().PutBytes(place, 0, expected);
  const TestResult result =
      guest_.Invoke(session, 1, {Memory(attr::kTmemInOut, kMiddle + 5, 5000)});
  ASSERT_EQ(result.code(), tee::code::kSuccess);
  EXPECT_EQ(result.params[0].u[1], 5000u);
  std::reverse(expected.begin() + 5, expected.begin() + 5005);
  EXPECT_EQ(guest_.ram().GetBytes(place, 0, expected.size()), expected);
}

// Not the window as a whole: OP-TEE maps all of what it is told for a pseudo-TA, which has room for
// few MiB and no mercy (its core panics).
TEST_F(WindowTest, TheTeeIsToldWhatACallPassesAndNoMore) {
  std::uint64_t told = 0;
  backend::FakeApplication looker;
  looker.name = "looker";
  looker.invoke = [&](backend::FakeCall&) {
    told = guest_.tee().counters().registered_bytes;
    return tee::Outcome{tee::code::kSuccess, tee::Origin::kTrustedApp};
  };
  constexpr tee::Uuid kLooker{{0x10, 0x0C}};
  guest_.tee().SetApplication(kLooker, std::move(looker));
  const std::uint32_t session = guest_.Open(kLooker);
  EXPECT_EQ(guest_
                .Invoke(session, 0,
                        {Memory(attr::kTmemIn, kMiddle + 3, 100),
                         Memory(attr::kTmemOut, kMiddle + kPage, 5000)})
                .code(),
            tee::code::kSuccess);
  EXPECT_EQ(told, 5100u);
  EXPECT_EQ(guest_.tee().counters().registered_memories, 0u) << "given back at the call's end";
}

TEST_F(WindowTest, ReferencesCountAgainstTheQuota) {
  mediator::Policy policy;
  policy.max_shm_bytes = 8192;
  TestGuest guest(policy, true, nullptr, {FindProfile("static"), kWindow});
  const std::uint32_t session = guest.Open(backend::fake::kEchoUuid);
  EXPECT_EQ(guest.Invoke(session, 1, {Memory(attr::kTmemInOut, kMiddle, 8192)}).code(),
            tee::code::kSuccess);
  EXPECT_EQ(guest.Invoke(session, 1, {Memory(attr::kTmemInOut, kMiddle, 8193)}).code(),
            tee::code::kOutOfMemory);
}

TEST_F(WindowTest, ATeeWithoutMemoryForItSaysSo) {
  const std::uint32_t session = guest_.Open(backend::fake::kEchoUuid);
  guest_.tee().FailNth(backend::FakeVerb::kRegister, 1,
                       {tee::code::kOutOfMemory, tee::Origin::kTee});
  const MsgParam param = Memory(attr::kTmemInOut, kMiddle, 16);
  EXPECT_EQ(guest_.Invoke(session, 1, {param}).code(), tee::code::kOutOfMemory);
  EXPECT_EQ(guest_.Invoke(session, 1, {param}).code(), tee::code::kSuccess) << "and tries again";
}

TEST_F(WindowTest, TheEnumerationAnswersIntoIt) {
  const std::uint32_t session = guest_.Open(kDeviceEnumerationPta);
  TestResult result = guest_.Invoke(session, 0, {Memory(attr::kTmemOut, 0, 0)});
  ASSERT_EQ(result.code(), tee::code::kShortBuffer);
  const std::uint64_t size = result.params[0].u[1];
  ASSERT_GE(size, 16u);
  result = guest_.Invoke(session, 0, {Memory(attr::kTmemOut, kMiddle + 24, size)});
  ASSERT_EQ(result.code(), tee::code::kSuccess);
  EXPECT_EQ(guest_.ram().Get<tee::Uuid>(kMiddle + 24), backend::fake::kRngUuid);
}

// ---- what a hostile guest answers to RPCs --------------------------------------------------

struct LentCase {
  const char* name;
  MsgParam answer;  // to SHM_ALLOC
};

const LentCase kLent[] = {
    {"InRam", Memory(attr::kTmemOut, kRam, 8192, 1)},
    {"PastTheEnd", Memory(attr::kTmemOut, kEnd - kPage, 8192, 1)},
    {"PageList", Memory(attr::kTmemOut | attr::kNonContiguous, kMiddle, 8192, 1)},
};

class WindowLentTest : public WindowTest, public ::testing::WithParamInterface<LentCase> {};

TEST_P(WindowLentTest, MemoryOutsideIsNotUsed) {
  std::vector<std::byte> data(5000, std::byte{0x5A});
  tee::Outcome outcome;
  backend::FakeApplication asker;
  asker.name = "asker";
  asker.invoke = [&](backend::FakeCall& call) {
    tee::Upcall upcall;
    upcall.kind = tee::UpcallKind::kFileSystem;
    upcall.params[0] = {tee::UpcallParam::Kind::kBytesIn, 0, 0, 0, data, data.size()};
    outcome = call.Upcall(upcall);
    return outcome;
  };
  constexpr tee::Uuid kAsker{{0xA5, 0x4E}};
  guest_.tee().SetApplication(kAsker, std::move(asker));
  const std::uint32_t session = guest_.Open(kAsker);
  TestCall call(guest_, InvokeMessage(session, 0));
  int freed = 0;
  call.on_rpc = [&](TestRpc& rpc) {
    rpc.header.ret = tee::code::kSuccess;
    if (rpc.header.cmd == rpc::kShmAlloc) rpc.params[0] = GetParam().answer;
    if (rpc.header.cmd == rpc::kShmFree) ++freed;
    return true;
  };
  EXPECT_EQ(call.Run().code(), tee::code::kCommunication);
  EXPECT_EQ(freed, 1);
}

INSTANTIATE_TEST_SUITE_P(Table, WindowLentTest, ::testing::ValuesIn(kLent), RowName());

}  // namespace
}  // namespace vtee::optee
