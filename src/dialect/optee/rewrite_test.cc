// SPDX-License-Identifier: BSD-3-Clause
// A guest that rewrites memory while it is read: every word of the message of every command, page
// lists that are registered or lent, and every word of its answers to RPCs.
//
// What must hold: one reply for each call, with a code of the ABI; bytes that no version of what
// was rewritten names stay as they are; and after a restart nobody holds anything.
#include <gtest/gtest.h>

#include "dialect/optee/test_flipper.h"
#include "dialect/optee/test_guest.h"
#include "dialect/optee/test_names.h"

namespace vtee::optee {
namespace {

constexpr std::uint64_t kCookie = 0x1000;
constexpr std::uint64_t kOthers[] = {0, ~std::uint64_t{0}, 0x0000000B'0000000A,
                                     attr::kTmemInOut | attr::kNonContiguous};

bool IsFinalCode(std::uint64_t a0) { return a0 <= ret::kNotAvailable; }

struct CommandCase {
  const char* name;
  std::uint32_t command;
};

const CommandCase kCommands[] = {
    {"OpenSession", cmd::kOpenSession},   {"InvokeCommand", cmd::kInvokeCommand},
    {"CloseSession", cmd::kCloseSession}, {"Cancel", cmd::kCancel},
    {"RegisterShm", cmd::kRegisterShm},   {"UnregisterShm", cmd::kUnregisterShm},
    {"DoBottomHalf", cmd::kDoBottomHalf}, {"StopAsyncNotif", cmd::kStopAsyncNotif},
};

class RewritingGuestTest : public ::testing::Test {
 protected:
  ~RewritingGuestTest() override {
    guest_.Shutdown();
    EXPECT_EQ(guest_.tee().counters().open_sessions, 0u);
    EXPECT_EQ(guest_.tee().counters().registered_memories, 0u);
    EXPECT_EQ(guest_.tee().counters().calls_in_flight, 0u);
    EXPECT_EQ(guest_.dialect().session_count(), 0u);
    EXPECT_EQ(guest_.dialect().shm_count(), 0u);
  }

  std::uint64_t Call(std::uint64_t at, std::uint32_t function = smc::kCallWithArg) {
    return guest_.Smc0({function, at >> 32, at & 0xFFFFFFFF});
  }

  TestGuest guest_;
};

class RewriteOfACommandTest : public RewritingGuestTest,
                              public ::testing::WithParamInterface<CommandCase> {
 protected:
  // The command's message with parameters that work.
  TestMessage Message(std::uint32_t session, std::uint64_t list) const {
    switch (GetParam().command) {
      case cmd::kOpenSession:
        return OpenMessage(backend::fake::kHelloUuid, {Value(attr::kValueIn, 1, 2)});
      case cmd::kInvokeCommand:
        return InvokeMessage(session, 1,
                             {Memory(attr::kTmemInOut | attr::kNonContiguous, list, 3 * kPage)});
      case cmd::kRegisterShm:
        return {cmd::kRegisterShm,
                0,
                0,
                0,
                {Memory(attr::kTmemOut | attr::kNonContiguous, list, 3 * kPage, kCookie)}};
      case cmd::kUnregisterShm:
        return {cmd::kUnregisterShm, 0, 0, 0, {Memory(attr::kRmemIn, 0, 0, kCookie)}};
      default:
        return {GetParam().command, 0, session, 0, {}};
    }
  }
  // What the command needs to be there, made by other messages.
  void Prepare(std::uint64_t list, std::uint64_t beside) {
    if (GetParam().command != cmd::kUnregisterShm) return;
    guest_.Place(beside, {cmd::kRegisterShm,
                          0,
                          0,
                          0,
                          {Memory(attr::kTmemOut | attr::kNonContiguous, list, kPage, kCookie)}});
    EXPECT_EQ(Call(beside), ret::kOk);
  }
};

TEST_P(RewriteOfACommandTest, EveryWordOfItsMessage) {
  const auto pages = guest_.ram().Scattered(3);
  const std::uint64_t list = guest_.ram().List(pages);
  const std::uint64_t at = guest_.ram().Page();
  const std::uint64_t beside = guest_.ram().Page();
  const std::uint32_t session = guest_.Open(backend::fake::kEchoUuid);
  const TestMessage message = Message(session, list);
  const std::size_t words = MsgSize(static_cast<std::uint32_t>(message.params.size())) / 8;
  for (std::size_t word = 0; word < words; ++word) {
    for (const std::uint64_t other : kOthers) {
      guest_.Place(at, message);
      const Flipper flipper(guest_.ram(), at + word * 8, other);
      for (int i = 0; i < 6; ++i) {
        Prepare(list, beside);
        EXPECT_TRUE(IsFinalCode(Call(at, i % 2 == 0 ? smc::kCallWithArg : smc::kCallWithRpcArg)));
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Table, RewriteOfACommandTest, ::testing::ValuesIn(kCommands), RowName());

// The list is read once: what is registered is old and new pages in any mixture, never a third.
TEST_F(RewritingGuestTest, OfAPageListThatIsRegistered) {
  const auto pages = guest_.ram().Scattered(513);
  const std::uint64_t list = guest_.ram().List(pages);
  const auto other = guest_.ram().Scattered(1);
  const auto canary = guest_.ram().Scattered(1);
  const std::vector<std::byte> untouched = guest::TestPattern(kPage);
  guest_.ram().PutBytes(canary, 0, untouched);
  const std::uint32_t session = guest_.Open(backend::fake::kEchoUuid);
  const std::uint64_t at = guest_.ram().Page();
  int registered = 0;
  const std::pair<std::size_t, std::uint64_t> flips[] = {
      {0, other[0]}, {510, other[0]}, {511, TestRam::kHole}, {511, list}, {2, canary[0] + 8}};
  for (const auto& [entry, value] : flips) {
    const Flipper flipper(guest_.ram(), list + entry * 8, value);
    for (int i = 0; i < 20; ++i) {
      guest_.Place(at,
                   {cmd::kRegisterShm,
                    0,
                    0,
                    0,
                    {Memory(attr::kTmemOut | attr::kNonContiguous, list, 513 * kPage, kCookie)}});
      EXPECT_EQ(Call(at), ret::kOk);
      if (guest_.ram().Get<MsgHeader>(at).ret != tee::code::kSuccess) continue;
      ++registered;
      guest_.Place(at, InvokeMessage(session, 1,
                                     {Memory(attr::kRmemInOut, entry < 4 ? 0 : 509 * kPage,
                                             4 * kPage, kCookie)}));
      EXPECT_EQ(Call(at), ret::kOk);
      EXPECT_EQ(guest_.ram().Get<MsgHeader>(at).ret, tee::code::kSuccess);
      guest_.Place(at, {cmd::kUnregisterShm, 0, 0, 0, {Memory(attr::kRmemIn, 0, 0, kCookie)}});
      EXPECT_EQ(Call(at), ret::kOk);
      EXPECT_EQ(guest_.ram().Get<MsgHeader>(at).ret, tee::code::kSuccess);
    }
  }
  EXPECT_GE(registered, 40);  // flips between two good pages are no reason to refuse
  EXPECT_EQ(guest_.ram().GetBytes(canary, 0, kPage), untouched);
}

// A TA that reads a file: memory is lent for it, the request made, the memory given back.
class RewriteOfAnswersTest : public RewritingGuestTest {
 protected:
  RewriteOfAnswersTest() {
    guest_.tee().SetApplication(
        kReader, {.name = "reader",
                  .open = {},
                  .invoke = [this](backend::FakeCall& call) { return ReadFile(call); },
                  .close = {}});
    session_ = guest_.Open(kReader);
    lent_ = guest_.ram().Scattered(3);
    list_ = guest_.ram().List(lent_);
  }

  tee::Outcome ReadFile(backend::FakeCall& call) {
    std::array<std::byte, 16> name{};
    // What lies around the buffer is the TEE's own.
    std::vector<std::byte> memory(3 * 5000, std::byte{0x5A});
    const auto data = std::span(memory).subspan(5000, 5000);
    tee::Upcall upcall;
    upcall.kind = tee::UpcallKind::kFileSystem;
    upcall.params[0] = {tee::UpcallParam::Kind::kValueInOut, 3, 1, 0, {}, 0};
    upcall.params[1] = {tee::UpcallParam::Kind::kBytesIn, 0, 0, 0, name, name.size()};
    upcall.params[2] = {tee::UpcallParam::Kind::kBytesOut, 0, 0, 0, data, data.size()};
    const tee::Outcome outcome = call.Upcall(upcall);
    answered_ += outcome.ok() ? 1 : 0;
    for (std::size_t i = 0; i < 5000; ++i) {
      if (memory[i] != std::byte{0x5A} || memory[10000 + i] != std::byte{0x5A}) ++spilled_;
    }
    return outcome;
  }

  // Answers whatever is asked: success, and the memory that the guest lends.
  void Run(TestCall& call) {
    call.on_rpc = [this](TestRpc& rpc) {
      if (rpc.header.cmd == rpc::kNotification) return false;
      rpc.header.ret = tee::code::kSuccess;
      if (rpc.header.cmd == rpc::kShmAlloc) {
        rpc.params[0] = Memory(attr::kTmemOut | attr::kNonContiguous, list_, 3 * kPage, kCookie);
      }
      return true;
    };
    EXPECT_TRUE(IsFinalCode(call.Run().a0));
  }

  static constexpr tee::Uuid kReader{{0x4E, 0xAD}};
  std::uint32_t session_ = 0;
  std::vector<std::uint64_t> lent_;
  std::uint64_t list_ = 0;
  std::atomic<int> answered_{0};
  std::atomic<int> spilled_{0};
};

TEST_F(RewriteOfAnswersTest, EveryWordOfAnAnswer) {
  const std::size_t words = MsgSize(kRpcParams) / 8;
  for (std::size_t word = 0; word < words; ++word) {
    for (const std::uint64_t other : {std::uint64_t{0}, ~std::uint64_t{0}}) {
      for (int i = 0; i < 3; ++i) {
        TestCall call(guest_, InvokeMessage(session_, 0));
        const Flipper flipper(guest_.ram(), call.rpc_at() + word * 8, other);
        Run(call);
      }
    }
  }
  EXPECT_GT(answered_, 0);
  EXPECT_EQ(spilled_, 0);
}

TEST_F(RewriteOfAnswersTest, TheListOfLentMemory) {
  const std::pair<std::size_t, std::uint64_t> flips[] = {
      {0, TestRam::kHole}, {1, lent_[0] + 1}, {2, TestRam::kRom}, {2, lent_[0]}};
  for (const auto& [entry, value] : flips) {
    const Flipper flipper(guest_.ram(), list_ + entry * 8, value);
    for (int i = 0; i < 15; ++i) {
      TestCall call(guest_, InvokeMessage(session_, 0));
      Run(call);
    }
  }
  EXPECT_GT(answered_, 0);
  EXPECT_EQ(spilled_, 0);
}

}  // namespace
}  // namespace vtee::optee
