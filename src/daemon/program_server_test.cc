// SPDX-License-Identifier: BSD-3-Clause
// What vteed does with programs that keep to the protocol and with those that do not.
#include "daemon/program_server.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <algorithm>
#include <mutex>

#include "daemon/program_identity.h"
#include "daemon/test_program_server.h"
#include "program/memory_file.h"

namespace vtee::daemon {
namespace {

namespace code = tee::code;
namespace fake = backend::fake;
using program::Message;
using program::MessageType;

Message Of(MessageType type) {
  Message message;
  message.type = type;
  return message;
}

// A program that says what a test wants it to say.
class RawProgram {
 public:
  explicit RawProgram(const TestProgramServer& server) {
    auto connected = ConnectUnix(server.path());
    EXPECT_TRUE(connected.ok());
    socket_ = std::move(connected).value();
  }
  int fd() const { return socket_.get(); }
  Message Hello() {
    EXPECT_TRUE(program::Send(fd(), Of(MessageType::kHello)).ok());
    auto reply = program::Receive(fd());
    EXPECT_TRUE(reply.ok());
    return reply.ok() ? reply->message : Message();
  }
  UniqueFd Lane() {
    auto pair = MakeSocketPair();
    EXPECT_TRUE(program::Send(fd(), Of(MessageType::kLane), pair->second.get()).ok());
    return std::move(pair->first);
  }
  void Leave() { socket_.Reset(); }

 private:
  UniqueFd socket_;
};

Message Ask(int lane, const Message& request, int memory = -1) {
  EXPECT_TRUE(program::Send(lane, request, memory).ok());
  auto reply = program::Receive(lane);
  EXPECT_TRUE(reply.ok());
  return reply.ok() ? reply->message : Message();
}

bool IsClosed(int socket) {
  const auto received = program::Receive(socket);
  return !received.ok() && received.error().code == ErrorCode::kUnavailable;
}

Message OpenRequestFor(const tee::Uuid& uuid) {
  Message open = Of(MessageType::kOpenSession);
  std::copy(uuid.octets.begin(), uuid.octets.end(), std::begin(open.application));
  return open;
}

std::uint32_t Open(int lane, const tee::Uuid& uuid) {
  const Message opened = Ask(lane, OpenRequestFor(uuid));
  EXPECT_EQ(opened.code, code::kSuccess);
  return opened.session;
}

Message Invocation(std::uint32_t session, std::uint32_t command) {
  Message invoke = Of(MessageType::kInvoke);
  invoke.session = session;
  invoke.command = command;
  return invoke;
}

TEST(ProgramServerTest, ServesACallWithMemory) {
  TestProgramServer server;
  RawProgram one(server);
  EXPECT_EQ(one.Hello().code, code::kSuccess);
  const UniqueFd lane = one.Lane();
  const std::uint32_t session = Open(lane.get(), fake::kEchoUuid);
  const UniqueFd memory = program::MakeMemoryFile(4096);
  ASSERT_TRUE(program::WriteAt(memory.get(), 100, "abc", 3));
  Message invoke = Invocation(session, 1);
  invoke.memory = 4096;
  invoke.params[0] = {2, 3, 100, 3, 0};
  const Message result = Ask(lane.get(), invoke, memory.get());
  EXPECT_EQ(result.code, code::kSuccess);
  EXPECT_EQ(result.origin, static_cast<std::uint32_t>(tee::Origin::kTrustedApp));
  EXPECT_EQ(result.params[0].b, 3u);
  std::string text(3, ' ');
  ASSERT_TRUE(program::ReadAt(memory.get(), 100, text.data(), 3));
  EXPECT_EQ(text, "cba");
}

TEST(ProgramServerTest, SaysWhichVersionItSpeaks) {
  TestProgramServer server;
  RawProgram one(server);
  Message hello = Of(MessageType::kHello);
  hello.major = program::kMajor + 1;
  ASSERT_TRUE(program::Send(one.fd(), hello).ok());
  const auto reply = program::Receive(one.fd());
  ASSERT_TRUE(reply.ok());
  EXPECT_NE(reply->message.code, code::kSuccess);
  EXPECT_THAT(reply->message.text, testing::HasSubstr("install matching versions"));
  EXPECT_TRUE(IsClosed(one.fd()));
}

TEST(ProgramServerTest, OneProgramsNonsenseEndsNoOther) {
  TestProgramServer server;
  RawProgram good(server);
  good.Hello();
  const UniqueFd lane = good.Lane();
  const std::uint32_t session = Open(lane.get(), fake::kHelloUuid);
  const std::string garbage(sizeof(Message), 'x');
  for (const std::size_t size : {std::size_t{1}, sizeof(Message) - 1, sizeof(Message)}) {
    RawProgram bad(server);
    bad.Hello();
    ASSERT_TRUE(SendPacket(bad.fd(), std::as_bytes(std::span(garbage).first(size))).ok());
    EXPECT_TRUE(IsClosed(bad.fd())) << size;
    RawProgram early(server);
    ASSERT_TRUE(program::Send(early.fd(), Of(MessageType::kLane)).ok());
    static_cast<void>(program::Receive(early.fd()));  // it is told why
    EXPECT_TRUE(IsClosed(early.fd()));
  }
  RawProgram nonsense_on_a_lane(server);
  nonsense_on_a_lane.Hello();
  const UniqueFd bad_lane = nonsense_on_a_lane.Lane();
  ASSERT_TRUE(program::Send(bad_lane.get(), Of(MessageType::kResult)).ok());
  EXPECT_TRUE(IsClosed(bad_lane.get()));
  const UniqueFd next = nonsense_on_a_lane.Lane();
  Open(next.get(), fake::kHelloUuid);
  Message invoke = Invocation(session, 0);
  invoke.params[0] = {1, 3, 41, 0, 0};
  EXPECT_EQ(Ask(lane.get(), invoke).params[0].a, 42u);
}

TEST(ProgramServerTest, SessionsAreAProgramsOwn) {
  TestProgramServer server;
  RawProgram one(server);
  one.Hello();
  RawProgram other(server);
  other.Hello();
  const UniqueFd lane = one.Lane();
  const UniqueFd other_lane = other.Lane();
  const std::uint32_t session = Open(lane.get(), fake::kHelloUuid);
  Message invoke = Invocation(session, 0);
  invoke.params[0] = {1, 3, 1, 0, 0};
  EXPECT_EQ(Ask(other_lane.get(), invoke).code, code::kBadParameters);
  Message close = Of(MessageType::kCloseSession);
  close.session = session;
  EXPECT_EQ(Ask(other_lane.get(), close).code, code::kBadParameters);
  EXPECT_EQ(Ask(lane.get(), invoke).params[0].a, 2u);
  EXPECT_EQ(Ask(lane.get(), close).code, code::kSuccess);
  EXPECT_EQ(Ask(lane.get(), close).code, code::kBadParameters);
}

TEST(ProgramServerTest, ChecksParameters) {
  TestProgramServer server;
  RawProgram one(server);
  one.Hello();
  const UniqueFd lane = one.Lane();
  const std::uint32_t session = Open(lane.get(), fake::kEchoUuid);
  const UniqueFd memory = program::MakeMemoryFile(4096);
  const program::ParamBody bad[] = {
      {2, 3, 4090, 7, 0}, {2, 3, ~0ull, 2, 0}, {2, 3, 0, ~0ull, 0},
      {3, 1, 0, 0, 0},    {~0u, 1, 0, 0, 0},   {1, 0, 0, 0, 0},
      {1, 4, 0, 0, 0},    {2, 0, 0, 0, 0},     {2, ~0u, 0, 0, program::kIsNull}};
  for (const program::ParamBody& body : bad) {
    Message invoke = Invocation(session, 1);
    invoke.memory = 4096;
    invoke.params[0] = body;
    const Message result = Ask(lane.get(), invoke, memory.get());
    EXPECT_EQ(result.code, code::kBadParameters);
    EXPECT_EQ(result.origin, static_cast<std::uint32_t>(tee::Origin::kComms));
  }
  // Nothing to point into.
  const UniqueFd bare = one.Lane();
  Message invoke = Invocation(session, 1);
  invoke.params[0] = {2, 3, 0, 0, 0};
  EXPECT_EQ(Ask(bare.get(), invoke).code, code::kBadParameters);
}

TEST(ProgramServerTest, TakesOnlyMemoryThatIsOne) {
  TestProgramServer server;
  RawProgram one(server);
  one.Hello();
  const UniqueFd lane = one.Lane();
  Message open = OpenRequestFor(fake::kHelloUuid);
  open.memory = 4096;
  const UniqueFd zero(::open("/dev/zero", O_RDWR | O_CLOEXEC));
  EXPECT_EQ(Ask(lane.get(), open, zero.get()).code, code::kBadParameters);
  const UniqueFd small = program::MakeMemoryFile(4095);
  EXPECT_EQ(Ask(lane.get(), open, small.get()).code, code::kBadParameters);
  open.memory = ~0ull;
  EXPECT_EQ(Ask(lane.get(), open, small.get()).code, code::kOutOfMemory);
  open.memory = 4095;
  EXPECT_EQ(Ask(lane.get(), open, small.get()).code, code::kSuccess);
  // Made shorter afterwards: the call fails, and nothing else.
  const std::uint32_t session = Open(lane.get(), fake::kEchoUuid);
  ASSERT_EQ(ftruncate(small.get(), 0), 0);
  Message invoke = Invocation(session, 1);
  invoke.params[0] = {2, 3, 0, 16, 0};
  EXPECT_NE(Ask(lane.get(), invoke).code, code::kSuccess);
  Open(lane.get(), fake::kHelloUuid);
}

TEST(ProgramServerTest, WhatALeavingProgramHasGoesWithIt) {
  TestProgramServer server;
  RawProgram one(server);
  one.Hello();
  const UniqueFd lane = one.Lane();
  const std::uint32_t slow = Open(lane.get(), fake::kSlowUuid);
  const UniqueFd memory = program::MakeMemoryFile(4096);
  Message invoke = Invocation(slow, 0);
  invoke.memory = 4096;
  invoke.params[0] = {1, 1, 60'000, 0, 0};
  ASSERT_TRUE(program::Send(lane.get(), invoke, memory.get()).ok());
  while (server.backend().counters().calls_in_flight == 0) std::this_thread::yield();
  one.Leave();
  EXPECT_TRUE(server.WaitUntilNothingIsLeft());
}

// A TEE that has not heard of the call yet knows nothing to cancel.
TEST(ProgramServerTest, ALeavingProgramsCallsAreCancelledUntilTheyEnd) {
  TestProgramServer server;
  RawProgram one(server);
  one.Hello();
  const UniqueFd lane = one.Lane();
  Message invoke = Invocation(Open(lane.get(), fake::kSlowUuid), 0);
  invoke.params[0] = {1, 1, 60'000, 0, 0};
  ASSERT_TRUE(program::Send(lane.get(), invoke).ok());
  while (server.backend().counters().calls_in_flight == 0) std::this_thread::yield();
  for (int i = 0; i < 3; ++i) {
    server.backend().FailNth(backend::FakeVerb::kCancel, 1,
                             {code::kItemNotFound, tee::Origin::kTee});
  }
  one.Leave();
  EXPECT_TRUE(server.WaitUntilNothingIsLeft());
}

TEST(ProgramServerTest, SoAreThoseOfASessionThatItHasClosed) {
  TestProgramServer server;
  RawProgram one(server);
  one.Hello();
  const UniqueFd lane = one.Lane();
  const UniqueFd other = one.Lane();
  const std::uint32_t slow = Open(lane.get(), fake::kSlowUuid);
  Message invoke = Invocation(slow, 0);
  invoke.params[0] = {1, 1, 60'000, 0, 0};
  ASSERT_TRUE(program::Send(lane.get(), invoke).ok());
  while (server.backend().counters().calls_in_flight == 0) std::this_thread::yield();
  Message close = Of(MessageType::kCloseSession);
  close.session = slow;
  EXPECT_EQ(Ask(other.get(), close).code, code::kSuccess);
  one.Leave();
  EXPECT_TRUE(server.WaitUntilNothingIsLeft());
}

// Requests that a leaving program has sent, and that no thread has taken up yet.
TEST(ProgramServerTest, NoCallBeginsWhenItsProgramHasLeft) {
  TestProgramServer server;
  for (int i = 0; i < 200; ++i) {
    RawProgram one(server);
    one.Hello();
    const UniqueFd lane = one.Lane();
    Message invoke = Invocation(Open(lane.get(), fake::kSlowUuid), 0);
    invoke.params[0] = {1, 1, 60'000, 0, 0};
    ASSERT_TRUE(program::Send(lane.get(), invoke).ok());
  }
  EXPECT_TRUE(server.WaitUntilNothingIsLeft());
}

// vteed would hold the program's end itself, and never see it end.
TEST(ProgramServerTest, AConnectionToItIsNoLane) {
  TestProgramServer server;
  RawProgram one(server);
  one.Hello();
  Message lane = Of(MessageType::kLane);
  const UniqueFd again(dup(one.fd()));
  ASSERT_TRUE(program::Send(one.fd(), lane, one.fd()).ok());
  EXPECT_TRUE(IsClosed(again.get()));
  const UniqueFd zero(::open("/dev/zero", O_RDWR | O_CLOEXEC));
  RawProgram other(server);
  other.Hello();
  ASSERT_TRUE(program::Send(other.fd(), lane, zero.get()).ok());
  EXPECT_TRUE(IsClosed(other.fd()));
}

TEST(ProgramServerTest, CancelsWhatRunsInASession) {
  TestProgramServer server;
  RawProgram one(server);
  one.Hello();
  const UniqueFd lane = one.Lane();
  const std::uint32_t slow = Open(lane.get(), fake::kSlowUuid);
  Message invoke = Invocation(slow, 0);
  invoke.params[0] = {1, 1, 60'000, 0, 0};
  ASSERT_TRUE(program::Send(lane.get(), invoke).ok());
  while (server.backend().counters().calls_in_flight == 0) std::this_thread::yield();
  Message cancel = Of(MessageType::kCancel);
  cancel.session = slow + 1;  // not that one
  ASSERT_TRUE(program::Send(one.fd(), cancel).ok());
  cancel.session = slow;
  ASSERT_TRUE(program::Send(one.fd(), cancel).ok());
  const auto result = program::Receive(lane.get());
  ASSERT_TRUE(result.ok());
  EXPECT_EQ(result->message.code, code::kCancel);
}

TEST(ProgramServerTest, KeepsToItsLimits) {
  mediator::Policy policy;
  policy.max_calls = 2;
  policy.max_sessions = 2;
  policy.denied_applications.insert(fake::kSlowUuid);
  TestProgramServer server(policy);
  RawProgram one(server);
  EXPECT_EQ(one.Hello().lanes, 2u);
  const UniqueFd first = one.Lane();
  const UniqueFd second = one.Lane();
  const UniqueFd third = one.Lane();
  EXPECT_TRUE(IsClosed(third.get()));
  const Message denied = Ask(first.get(), OpenRequestFor(fake::kSlowUuid));
  EXPECT_EQ(denied.code, code::kAccessDenied);
  Open(first.get(), fake::kHelloUuid);
  // All programs together.
  RawProgram other(server);
  other.Hello();
  const UniqueFd lane = other.Lane();
  Open(lane.get(), fake::kHelloUuid);
  EXPECT_EQ(Ask(lane.get(), OpenRequestFor(fake::kHelloUuid)).code, code::kOutOfMemory);
  one.Leave();
  for (int i = 0; i < 500 && server.backend().counters().open_sessions > 1; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(server.backend().counters().open_sessions, 1u);
  Open(lane.get(), fake::kHelloUuid);
}

// What the TEE asks goes to the program with its buffers, and comes back.
TEST(ProgramServerTest, PassesUpcallsOn) {
  TestProgramServer server;
  constexpr tee::Uuid kAsks{{1, 2, 3}};
  // What the TA has been told, for this thread to look at.
  std::mutex mutex;
  std::string out;
  std::uint64_t told = 0, reported = 0;
  backend::FakeApplication asks;
  asks.invoke = [&](backend::FakeCall& call) {
    std::vector<std::byte> sent(5, std::byte{'i'});
    std::vector<std::byte> got(7);
    tee::Upcall upcall;
    upcall.kind = tee::UpcallKind::kSocket;
    using Kind = tee::UpcallParam::Kind;
    upcall.params[0] = {Kind::kValueIn, 3, 4, 5, {}, 0};
    upcall.params[1] = {Kind::kBytesIn, 0, 0, 0, sent, sent.size()};
    upcall.params[2] = {Kind::kBytesOut, 0, 0, 0, got, got.size()};
    upcall.params[3] = {Kind::kValueOut, 0, 0, 0, {}, 0};
    const tee::Outcome outcome = call.Upcall(upcall);
    const std::lock_guard lock(mutex);
    out.assign(reinterpret_cast<const char*>(got.data()), got.size());
    told = upcall.params[3].c;
    reported = upcall.params[2].size;
    return outcome;
  };
  server.backend().SetApplication(kAsks, asks);
  RawProgram one(server);
  one.Hello();
  const UniqueFd lane = one.Lane();
  const std::uint32_t session = Open(lane.get(), kAsks);
  ASSERT_TRUE(program::Send(lane.get(), Invocation(session, 0)).ok());
  auto asked = program::Receive(lane.get());
  ASSERT_TRUE(asked.ok());
  EXPECT_EQ(asked->message.type, MessageType::kUpcall);
  EXPECT_EQ(asked->message.params[0].c, 5u);
  std::string text(5, ' ');
  ASSERT_TRUE(program::ReadAt(asked->fd.get(), asked->message.params[1].a, text.data(), 5));
  EXPECT_EQ(text, "iiiii");
  ASSERT_TRUE(program::WriteAt(asked->fd.get(), asked->message.params[2].a, "answer!", 7));
  Message reply = asked->message;
  reply.type = MessageType::kUpcallReply;
  reply.code = code::kShortBuffer;
  reply.params[2].b = 9;
  reply.params[3].c = 77;
  EXPECT_EQ(Ask(lane.get(), reply).code, code::kShortBuffer);
  {
    const std::lock_guard lock(mutex);
    EXPECT_EQ(told, 77u);
    EXPECT_EQ(reported, 9u);
    EXPECT_EQ(out, "answer!");
  }
  // No answer: the TA is told that there is none.
  ASSERT_TRUE(program::Send(lane.get(), Invocation(session, 0)).ok());
  ASSERT_TRUE(program::Receive(lane.get()).ok());
  EXPECT_EQ(Ask(lane.get(), Of(MessageType::kInvoke)).code, code::kCommunication);
}

TEST(ProgramServerTest, TellsTheTimeItself) {
  TestProgramServer server;
  RawProgram one(server);
  one.Hello();
  const UniqueFd lane = one.Lane();
  Message invoke = Invocation(Open(lane.get(), fake::kEchoUuid), 3);
  invoke.params[0] = {1, 2, 0, 0, 0};
  const Message result = Ask(lane.get(), invoke);
  EXPECT_EQ(result.code, code::kSuccess);
  EXPECT_NEAR(static_cast<double>(result.params[0].a), static_cast<double>(time(nullptr)), 5);
}

TEST(ProgramIdentityTest, UuidsAreLinuxs) {
  const ProgramIdentity identity{1, 0, 1000, {27}};
  tee::Uuid uuid;
  EXPECT_TRUE(ClientUuid(identity, 0, 0, uuid).ok());
  EXPECT_EQ(uuid, tee::Uuid{});
  // uuid5("58ac9ca0-2086-4683-a1b8-ec4bc08e01b6", "uid=0") and "gid=3e8", "gid=1b", by Python.
  EXPECT_TRUE(ClientUuid(identity, 1, 0, uuid).ok());
  EXPECT_EQ(tee::ToString(uuid), "ef0180a3-13f3-5d1c-b7f5-888c0e21059a");
  EXPECT_TRUE(ClientUuid(identity, 2, 1000, uuid).ok());
  EXPECT_EQ(tee::ToString(uuid), "0ece43ed-001d-51bd-bab7-480c8954c3cf");
  EXPECT_TRUE(ClientUuid(identity, 2, 27, uuid).ok());
  EXPECT_EQ(tee::ToString(uuid), "30b6f4b2-b509-51da-afb7-5ef7d73dd901");
}

TEST(ProgramIdentityTest, RefusesAsLinuxDoes) {
  const ProgramIdentity identity{1, 0, 1000, {27}};
  tee::Uuid uuid;
  EXPECT_EQ(ClientUuid(identity, 2, 28, uuid).code, code::kGeneric);
  for (const std::uint32_t login : {3u, 4u, 5u, 6u, 7u, 0x7FFFFFFFu, 0xC0000000u, ~0u}) {
    EXPECT_EQ(ClientUuid(identity, login, 27, uuid).code, code::kBadParameters) << login;
  }
  for (const std::uint32_t login : {0x80000000u, 0xBFFFFFFFu}) {
    EXPECT_EQ(ClientUuid(identity, login, 27, uuid).code, code::kGeneric) << login;
  }
}

TEST(ProgramIdentityTest, KnowsWhoConnected) {
  auto pair = MakeSocketPair();
  const auto identity = IdentityOf(pair->first.get());
  ASSERT_TRUE(identity.ok());
  EXPECT_EQ(identity->pid, getpid());
  EXPECT_EQ(identity->uid, getuid());
  EXPECT_TRUE(identity->InGroup(getgid()));
  std::vector<gid_t> groups(64);
  const int count = getgroups(64, groups.data());
  for (int i = 0; i < count; ++i) EXPECT_TRUE(identity->InGroup(groups[static_cast<size_t>(i)]));
  EXPECT_FALSE(identity->InGroup(0x7654321));
}

}  // namespace
}  // namespace vtee::daemon
