// SPDX-License-Identifier: BSD-3-Clause
#include "backend/host/host_backend.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>

#include "backend/host/scattered_memfd.h"
#include "backend/host/test_tee_device.h"

namespace vtee::backend {
namespace {

using tee::Direction;
using tee::Login;
using tee::OperationId;
using tee::Origin;
using tee::Param;
using tee::SessionId;
namespace code = tee::code;

const tee::Uuid kTa{{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16}};

class HostBackendTest : public testing::Test {
 protected:
  void Start(HostBackendOptions options = {}) {
    auto backend = HostBackend::WithDevice(device_, std::move(options));
    ASSERT_TRUE(backend.ok()) << backend.error().message;
    backend_ = std::move(backend).value();
  }
  tee::Outcome Open(SessionId& session, Login login = Login::kPublic) {
    tee::Params params{};
    return backend_->OpenSession(context_, {.application = kTa, .login = login, .client = {}},
                                 params, session);
  }
  tee::Outcome Invoke(SessionId session, tee::Params params = {}) {
    return backend_->Invoke(context_, session, 1, params);
  }

  std::shared_ptr<TestTeeDevice> device_ = std::make_shared<TestTeeDevice>();
  std::unique_ptr<HostBackend> backend_;
  tee::CallContext context_{.upcalls = nullptr, .operation = OperationId(42)};
};

TEST_F(HostBackendTest, Capabilities) {
  Start();
  EXPECT_EQ(backend_->capabilities().name, "host");
  EXPECT_EQ(backend_->capabilities().description, "OP-TEE at /dev/tee0");
  EXPECT_TRUE(backend_->capabilities().null_memref);
  EXPECT_FALSE(backend_->capabilities().cancel_open);
  EXPECT_EQ(backend_->capabilities().os_revision_major, 0u);
  EXPECT_EQ(backend_->sessions(), backend_.get());
  device_->version.gen_caps = kGenCapRegisterMemory;
  Start();
  EXPECT_FALSE(backend_->capabilities().null_memref);
}

TEST_F(HostBackendTest, OtherTeesAreRefusedWithASentence) {
  struct Row {
    std::uint32_t impl;
    std::uint32_t caps;
    bool any;
    const char* text;  // null: accepted
  };
  const Row rows[] = {
      {1, 0, false, nullptr},
      {2, 0, false, "AMD-TEE, not OP-TEE"},
      {3, 0, false, "TS-TEE"},
      {2, 0, true, nullptr},
      {4, 0, true, "objects"},
      {99, 0, false, "TEE implementation 99"},
      {1, 2, true, "tee-supplicant's device"},
  };
  for (const Row& row : rows) {
    device_->version = {row.impl, 0, row.caps};
    HostBackendOptions options;
    options.any_implementation = row.any;
    const auto backend = HostBackend::WithDevice(device_, options);
    EXPECT_EQ(backend.ok(), row.text == nullptr) << row.impl;
    if (!backend.ok()) {
      EXPECT_NE(backend.error().message.find(row.text), std::string::npos)
          << backend.error().message;
    }
  }
}

TEST_F(HostBackendTest, NotATeeDevice) {
  device_->Fail(TEE_IOC_VERSION, ENOTTY);
  const auto backend = HostBackend::WithDevice(device_, {});
  ASSERT_FALSE(backend.ok());
  EXPECT_NE(backend.error().message.find("TEE_IOC_VERSION"), std::string::npos);
}

TEST_F(HostBackendTest, OpenOfAMissingDevice) {
  HostBackendOptions options;
  options.device = "/dev/tee-there-is-none";
  const auto backend = HostBackend::Open(options);
  ASSERT_FALSE(backend.ok());
  EXPECT_EQ(backend.error().code, ErrorCode::kNotFound);
}

TEST_F(HostBackendTest, OpenInvokeClose) {
  Start();
  TestTeeDevice::Call seen;
  device_->script = [&](TestTeeDevice::Call& call) {
    seen = call;
    if (!call.open) {
      call.params[0].a = 100;
      call.params[0].b = 200;
      call.params[0].c = 300;
      call.origin = 4;
    }
  };
  SessionId session;
  ASSERT_TRUE(Open(session).ok());
  EXPECT_TRUE(seen.open);
  EXPECT_EQ(std::memcmp(seen.uuid.data(), kTa.octets.data(), 16), 0);
  EXPECT_EQ(seen.login, 0u);
  EXPECT_EQ(seen.cancel_id, 42u);
  EXPECT_TRUE(seen.params.empty());
  EXPECT_EQ(backend_->open_sessions(), 1u);

  tee::Params params{};
  params[0] = Param{.kind = Param::Kind::kValue, .direction = Direction::kInOut, .a = 5, .c = 7};
  const auto outcome = backend_->Invoke(context_, session, 0x1234, params);
  EXPECT_TRUE(outcome.ok());
  EXPECT_EQ(outcome.origin, Origin::kTrustedApp);
  EXPECT_EQ(seen.function, 0x1234u);
  ASSERT_EQ(seen.params.size(), 1u);
  EXPECT_EQ(seen.params[0].c, 7u);
  EXPECT_EQ(params[0].a, 100u);
  EXPECT_EQ(params[0].c, 300u);

  EXPECT_TRUE(backend_->CloseSession(context_, session).ok());
  EXPECT_EQ(device_->sessions(), 0u);
  EXPECT_EQ(backend_->open_sessions(), 0u);
}

TEST_F(HostBackendTest, TeeCodesPassThroughUntouched) {
  Start();
  SessionId session;
  device_->script = [](TestTeeDevice::Call& call) {
    call.ret = 0xDEAD0001;
    call.origin = 3;
  };
  const auto open = Open(session);
  EXPECT_EQ(open.code, 0xDEAD0001u);
  EXPECT_EQ(open.origin, Origin::kTee);
  EXPECT_EQ(backend_->open_sessions(), 0u);

  device_->script = nullptr;
  ASSERT_TRUE(Open(session).ok());
  device_->script = [](TestTeeDevice::Call& call) {
    call.ret = code::kTargetDead;
    call.origin = 3;
  };
  EXPECT_EQ(Invoke(session).code, code::kTargetDead);
  EXPECT_TRUE(backend_->CloseSession(context_, session).ok());  // a dead TA is still closed
}

TEST_F(HostBackendTest, ErrnoOfEveryVerbReachesTheGuestAsACode) {
  struct Row {
    int err;
    std::uint32_t code;
  };
  for (const Row& row : {Row{ENOMEM, code::kOutOfMemory}, Row{EPERM, code::kAccessDenied},
                         Row{EINVAL, code::kBadParameters}, Row{ENODEV, code::kCommunication},
                         Row{EINTR, code::kCommunication}}) {
    Start();
    SessionId session;
    device_->Fail(TEE_IOC_OPEN_SESSION, row.err);
    auto outcome = Open(session);
    EXPECT_EQ(outcome.code, row.code) << row.err;
    EXPECT_EQ(outcome.origin, Origin::kComms);

    ASSERT_TRUE(Open(session).ok());
    device_->Fail(TEE_IOC_INVOKE, row.err);
    EXPECT_EQ(Invoke(session).code, row.code) << row.err;
    device_->Fail(TEE_IOC_CLOSE_SESSION, row.err);
    EXPECT_EQ(backend_->CloseSession(context_, session).code, row.code) << row.err;
  }
}

TEST_F(HostBackendTest, CommandsAreNotRepeatedButCancelIs) {
  Start();
  SessionId session;
  ASSERT_TRUE(Open(session).ok());
  const int invocations = device_->Count(TEE_IOC_INVOKE);
  device_->Fail(TEE_IOC_INVOKE, EINTR);
  EXPECT_FALSE(Invoke(session).ok());
  EXPECT_EQ(device_->Count(TEE_IOC_INVOKE), invocations + 1);

  device_->Fail(TEE_IOC_CANCEL, EINTR, 0, 2);
  EXPECT_TRUE(backend_->RequestCancel(session, OperationId(9)).ok());
  ASSERT_EQ(device_->cancels().size(), 1u);
  EXPECT_EQ(device_->cancels()[0].cancel_id, 9u);
  EXPECT_EQ(device_->cancels()[0].session, session.value());
}

TEST_F(HostBackendTest, CancelOfAnOpenIsNotSupported) {
  Start();
  EXPECT_EQ(backend_->RequestCancelOpen(OperationId(1)).code, code::kNotSupported);
  EXPECT_EQ(device_->Count(TEE_IOC_CANCEL), 0);
}

TEST_F(HostBackendTest, UnknownSessionsNeverReachTheKernel) {
  Start();
  SessionId session;
  ASSERT_TRUE(Open(session).ok());
  ASSERT_TRUE(backend_->CloseSession(context_, session).ok());
  EXPECT_EQ(Invoke(session).code, code::kBadParameters);
  EXPECT_EQ(backend_->CloseSession(context_, session).code, code::kBadParameters);
  EXPECT_EQ(device_->Count(TEE_IOC_INVOKE), 0);
  EXPECT_EQ(device_->Count(TEE_IOC_CLOSE_SESSION), 1);
}

TEST_F(HostBackendTest, Logins) {
  HostBackendOptions options;
  options.logins.ree_kernel = LoginAction::kAsPublic;
  options.logins.group = LoginAction::kAsGroup;
  options.logins.host_group = 7;
  Start(options);
  TestTeeDevice::Call seen;
  device_->script = [&](TestTeeDevice::Call& call) { seen = call; };
  SessionId session;
  EXPECT_TRUE(Open(session, Login::kUser).ok());
  EXPECT_EQ(seen.login, 1u);
  EXPECT_TRUE(Open(session, Login::kReeKernel).ok());
  EXPECT_EQ(seen.login, 0u);
  EXPECT_TRUE(Open(session, Login::kGroup).ok());
  EXPECT_EQ(seen.login, 2u);
  std::uint32_t gid = 0;
  std::memcpy(&gid, seen.client.data(), sizeof gid);
  EXPECT_EQ(gid, 7u);
  const int opens = device_->Count(TEE_IOC_OPEN_SESSION);
  const auto refused = Open(session, Login::kApplication);
  EXPECT_EQ(refused.code, code::kAccessDenied);
  EXPECT_EQ(refused.origin, Origin::kComms);
  EXPECT_EQ(device_->Count(TEE_IOC_OPEN_SESSION), opens);
}

TEST_F(HostBackendTest, MemoryReachesTheTaAndComesBackInBothModes) {
  for (const bool mappable : {true, false}) {
    Start();
    auto made = ScatteredMemfd::Make({2, 0, 1}, 40, 9000);
    ASSERT_TRUE(made.ok());
    auto guest = made.value();
    guest->set_mappable(mappable);
    const std::array<std::byte, 3> text{std::byte{'a'}, std::byte{'b'}, std::byte{'c'}};
    ASSERT_TRUE(guest->Write(4500, text));
    auto memory = backend_->RegisterMemory(guest);
    ASSERT_TRUE(memory.ok());
    SessionId session;
    ASSERT_TRUE(Open(session).ok());

    std::string seen;
    device_->script = [&](TestTeeDevice::Call& call) {
      const auto id = static_cast<std::int32_t>(call.params[0].c);
      const std::uint8_t* bytes =
          mappable ? device_->Registered(id).data() : device_->Allocated(id);
      seen.assign(reinterpret_cast<const char*>(bytes + call.params[0].a), call.params[0].b);
      if (!mappable) device_->Allocated(id)[call.params[0].a] = 'X';
      call.ret = code::kShortBuffer;
      call.origin = 4;
      call.params[0].b = 500;
    };
    tee::Params params{};
    params[0] = Param{.kind = Param::Kind::kMemory, .direction = Direction::kInOut};
    params[0].memory = memory.value().get();
    params[0].offset = 4500;
    params[0].size = 3;
    const auto outcome = backend_->Invoke(context_, session, 1, params);
    EXPECT_EQ(seen, "abc");
    EXPECT_EQ(outcome.code, code::kShortBuffer);
    EXPECT_EQ(params[0].size, 500u);
    if (!mappable) {
      std::array<std::byte, 4> back{};
      ASSERT_TRUE(guest->Read(4500, back));
      EXPECT_EQ(back[0], std::byte{'X'});
      EXPECT_EQ(back[3], std::byte{0});
    }
    memory.value().reset();
    backend_.reset();
    device_->script = nullptr;
    EXPECT_EQ(device_->descriptors(), 0u);
    EXPECT_EQ(device_->mappings(), 0u);
    EXPECT_EQ(device_->sessions(), 0u);
  }
}

TEST_F(HostBackendTest, OpenWhoseOutputCannotBeDeliveredLeavesNoSession) {
  Start({.always_copy = true});
  auto made = ScatteredMemfd::Make({0}, 0, 16);
  ASSERT_TRUE(made.ok());
  auto guest = made.value();
  auto memory = backend_->RegisterMemory(guest);
  ASSERT_TRUE(memory.ok());
  device_->script = [&](TestTeeDevice::Call&) { guest->set_vanished(true); };
  tee::Params params{};
  params[0] = Param{.kind = Param::Kind::kMemory, .direction = Direction::kOut};
  params[0].memory = memory.value().get();
  params[0].size = 16;
  SessionId session;
  const auto outcome =
      backend_->OpenSession(context_, {.application = kTa, .client = {}}, params, session);
  EXPECT_EQ(outcome.code, code::kCommunication);
  EXPECT_EQ(device_->sessions(), 0u);
  EXPECT_EQ(backend_->open_sessions(), 0u);
}

TEST_F(HostBackendTest, NthCallFailsAndNothingLeaks) {
  for (int nth = 0; nth < 6; ++nth) {
    for (const unsigned long verb : {TEE_IOC_OPEN_SESSION, TEE_IOC_INVOKE, TEE_IOC_CLOSE_SESSION,
                                     TEE_IOC_SHM_REGISTER, TEE_IOC_SHM_ALLOC}) {
      Start();
      device_->Fail(verb, ENOMEM, nth);
      for (int round = 0; round < 4; ++round) {
        auto guest = ScatteredMemfd::Make({1, 0}, 0, 5000);
        ASSERT_TRUE(guest.ok());
        guest.value()->set_mappable(round % 2 == 0);
        auto memory = backend_->RegisterMemory(guest.value());
        SessionId session;
        if (!Open(session).ok()) continue;
        tee::Params params{};
        if (memory.ok()) {
          params[0] = Param{.kind = Param::Kind::kMemory};
          params[0].memory = memory.value().get();
          params[0].size = 5000;
        }
        Invoke(session, params);
        if (round != 3) backend_->CloseSession(context_, session);
      }
      backend_.reset();
      device_->Fail(verb, 0, 0, 0);
      EXPECT_EQ(device_->descriptors(), 0u);
      EXPECT_EQ(device_->mappings(), 0u);
    }
  }
}

}  // namespace
}  // namespace vtee::backend
