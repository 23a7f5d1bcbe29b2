// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include <future>

#include "backend/fake/fake_backend.h"
#include "backend/fake/vector_memory.h"

namespace vtee::backend {
namespace {

using tee::Direction;
using tee::OperationId;
using tee::Origin;
using tee::Param;
using tee::SessionId;
namespace code = tee::code;

class FakeLibraryTest : public testing::Test {
 protected:
  SessionId Open(const tee::Uuid& uuid) {
    tee::Params params{};
    SessionId session;
    EXPECT_TRUE(
        backend_->OpenSession(context_, {.application = uuid, .client = {}}, params, session).ok());
    return session;
  }
  tee::Outcome Invoke(SessionId session, std::uint32_t command) {
    return backend_->Invoke(context_, session, command, params_);
  }
  void SetMemory(std::size_t index, Direction direction, tee::RegisteredMemory* memory,
                 std::uint64_t offset, std::uint64_t size) {
    params_[index] = Param{.kind = Param::Kind::kMemory, .direction = direction};
    params_[index].memory = memory;
    params_[index].offset = offset;
    params_[index].size = size;
  }
  std::unique_ptr<tee::RegisteredMemory> Register(std::shared_ptr<VectorMemory> memory) {
    auto registered = backend_->RegisterMemory(std::move(memory));
    EXPECT_TRUE(registered.ok());
    return std::move(registered).value();
  }

  std::unique_ptr<FakeBackend> backend_ = FakeBackend::WithDefaultScript();
  tee::CallContext context_{};
  tee::Params params_{};
};

TEST_F(FakeLibraryTest, EnumerationSizesThenLists) {
  const SessionId session = Open(fake::kEnumerationUuid);
  SetMemory(0, Direction::kOut, nullptr, 0, 0);
  EXPECT_EQ(Invoke(session, 0).code, code::kShortBuffer);
  EXPECT_EQ(params_[0].size, 16u);

  auto guest = std::make_shared<VectorMemory>(64);
  const auto memory = Register(guest);
  SetMemory(0, Direction::kOut, memory.get(), 8, 15);
  EXPECT_EQ(Invoke(session, 0).code, code::kShortBuffer);
  EXPECT_EQ(guest->Text(), std::string(64, '\0'));
  SetMemory(0, Direction::kOut, memory.get(), 8, 56);
  EXPECT_TRUE(Invoke(session, 0).ok());
  EXPECT_EQ(params_[0].size, 16u);
  EXPECT_EQ(guest->Text().substr(8, 16),
            std::string(reinterpret_cast<const char*>(fake::kRngUuid.octets.data()), 16));

  SetMemory(0, Direction::kOut, nullptr, 0, 0);
  EXPECT_TRUE(Invoke(session, 1).ok());  // no devices wait for a supplicant
  EXPECT_EQ(params_[0].size, 0u);
  EXPECT_EQ(Invoke(session, 9).code, code::kNotImplemented);
  SetMemory(0, Direction::kOut, nullptr, 0, 16);
  EXPECT_EQ(Invoke(session, 0).code, code::kBadParameters);
  SetMemory(0, Direction::kInOut, nullptr, 0, 0);
  EXPECT_EQ(Invoke(session, 0).code, code::kBadParameters);
}

TEST_F(FakeLibraryTest, Rng) {
  const SessionId session = Open(fake::kRngUuid);
  auto guest = std::make_shared<VectorMemory>(64);
  const auto memory = Register(guest);
  SetMemory(0, Direction::kInOut, memory.get(), 0, 32);
  EXPECT_TRUE(Invoke(session, 0).ok());
  EXPECT_EQ(params_[0].size, 32u);
  EXPECT_NE(guest->Text().substr(0, 32), std::string(32, '\0'));
  EXPECT_EQ(guest->Text().substr(32), std::string(32, '\0'));
  params_[0] = Param{.kind = Param::Kind::kValue, .direction = Direction::kOut};
  EXPECT_TRUE(Invoke(session, 1).ok());
  EXPECT_GT(params_[0].a, 0u);
  EXPECT_EQ(Invoke(session, 0).code, code::kBadParameters);
  EXPECT_EQ(Invoke(session, 2).code, code::kNotImplemented);
}

TEST_F(FakeLibraryTest, Hello) {
  const SessionId session = Open(fake::kHelloUuid);
  params_[0] = Param{.kind = Param::Kind::kValue, .direction = Direction::kInOut, .a = 41};
  EXPECT_TRUE(Invoke(session, 0).ok());
  EXPECT_EQ(params_[0].a, 42u);
  params_[0].a = 0;
  EXPECT_TRUE(Invoke(session, 1).ok());
  EXPECT_EQ(params_[0].a, 0xFFFFFFFFu);
}

TEST_F(FakeLibraryTest, EchoOfMemoryAndValues) {
  const SessionId session = Open(fake::kEchoUuid);
  auto in = std::make_shared<VectorMemory>(std::string("hello"));
  auto out = std::make_shared<VectorMemory>(8);
  const auto in_memory = Register(in);
  const auto out_memory = Register(out);
  SetMemory(0, Direction::kIn, in_memory.get(), 1, 4);
  SetMemory(1, Direction::kOut, out_memory.get(), 0, 8);
  EXPECT_TRUE(Invoke(session, 0).ok());
  EXPECT_EQ(params_[1].size, 4u);
  EXPECT_EQ(out->Text().substr(0, 4), "ello");
  SetMemory(1, Direction::kOut, out_memory.get(), 0, 3);
  EXPECT_EQ(Invoke(session, 0).code, code::kShortBuffer);
  EXPECT_EQ(params_[1].size, 4u);

  params_ = {};
  SetMemory(0, Direction::kInOut, in_memory.get(), 0, 5);
  EXPECT_TRUE(Invoke(session, 1).ok());
  EXPECT_EQ(in->Text(), "olleh");

  params_ = {};
  params_[0] = Param{.kind = Param::Kind::kValue, .direction = Direction::kIn, .a = 1, .c = 3};
  params_[1] = Param{.kind = Param::Kind::kValue, .direction = Direction::kOut};
  EXPECT_TRUE(Invoke(session, 2).ok());
  EXPECT_EQ(params_[1].a, 1u);
  EXPECT_EQ(params_[1].c, 3u);
}

class Clock final : public tee::Upcalls {
 public:
  tee::Outcome Call(tee::Upcall& upcall) override {
    if (upcall.kind != tee::UpcallKind::kGetTime) return {code::kNotSupported, Origin::kComms};
    upcall.params[0].a = 1234;
    upcall.params[0].b = 5678;
    return {};
  }
};

TEST_F(FakeLibraryTest, EchoAsksTheGuestForItsTime) {
  const SessionId session = Open(fake::kEchoUuid);
  params_[0] = Param{.kind = Param::Kind::kValue, .direction = Direction::kOut};
  EXPECT_EQ(Invoke(session, 3).code, code::kBadState);  // nobody to ask
  Clock clock;
  context_.upcalls = &clock;
  EXPECT_TRUE(Invoke(session, 3).ok());
  EXPECT_EQ(params_[0].a, 1234u);
  EXPECT_EQ(params_[0].b, 5678u);
}

TEST_F(FakeLibraryTest, SlowSleepsAndListensToCancellation) {
  const SessionId session = Open(fake::kSlowUuid);
  params_[0] = Param{.kind = Param::Kind::kValue, .direction = Direction::kIn, .a = 5};
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(Invoke(session, 0).ok());
  EXPECT_TRUE(Invoke(session, 1).ok());
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(10));

  auto call = std::async(std::launch::async, [&] {
    tee::CallContext context{.upcalls = nullptr, .operation = OperationId(3)};
    tee::Params params{};
    params[0] = Param{.kind = Param::Kind::kValue, .direction = Direction::kIn, .a = 60'000};
    return backend_->Invoke(context, session, 0, params);
  });
  while (backend_->counters().calls_in_flight == 0) std::this_thread::yield();
  EXPECT_TRUE(backend_->RequestCancel(session, OperationId(99)).ok());  // another operation
  EXPECT_EQ(backend_->counters().calls_in_flight, 1u);
  EXPECT_TRUE(backend_->RequestCancel(session, OperationId(3)).ok());
  const tee::Outcome outcome = call.get();
  EXPECT_EQ(outcome.code, code::kCancel);
  EXPECT_EQ(outcome.origin, Origin::kTrustedApp);
}

}  // namespace
}  // namespace vtee::backend
