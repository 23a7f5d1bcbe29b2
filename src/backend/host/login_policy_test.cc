// SPDX-License-Identifier: BSD-3-Clause
#include "backend/host/login_policy.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>

#include "backend/host/host_errors.h"
#include "backend/host/tee_uapi.h"

namespace vtee::backend {
namespace {

using tee::Login;
namespace code = tee::code;

TEST(LoginPolicy, Defaults) {
  struct Row {
    std::uint32_t guest;
    std::uint32_t code;
    std::uint32_t host;
  };
  const Row rows[] = {
      {0, code::kSuccess, 0},
      {1, code::kSuccess, 1},
      {2, code::kAccessDenied, 0},
      {3, code::kBadParameters, 0},
      {4, code::kAccessDenied, 0},
      {5, code::kAccessDenied, 0},
      {6, code::kAccessDenied, 0},
      {7, code::kBadParameters, 0},
      {0x80000000, code::kAccessDenied, 0},
      {0x80000001, code::kAccessDenied, 0},
      {0xBFFFFFFF, code::kAccessDenied, 0},
      {0xC0000000, code::kBadParameters, 0},
      {0xFFFFFFFF, code::kBadParameters, 0},
  };
  const LoginPolicy policy;
  for (const Row& row : rows) {
    tee::Outcome outcome;
    const auto login = policy.Map(static_cast<Login>(row.guest), outcome);
    EXPECT_EQ(login.has_value(), row.code == code::kSuccess) << row.guest;
    EXPECT_EQ(outcome.code, row.code) << row.guest;
    if (!login) {
      EXPECT_EQ(outcome.origin, tee::Origin::kComms);
      continue;
    }
    EXPECT_EQ(login->login, row.host);
    EXPECT_EQ(login->client, tee::Uuid{});
  }
}

TEST(LoginPolicy, OperatorMayMapTheKernelLoginToPublic) {
  LoginPolicy policy;
  policy.ree_kernel = LoginAction::kAsPublic;
  tee::Outcome outcome;
  const auto login = policy.Map(Login::kReeKernel, outcome);
  ASSERT_TRUE(login.has_value());
  EXPECT_EQ(login->login, 0u);
}

TEST(LoginPolicy, FixedHostGroup) {
  LoginPolicy policy;
  policy.group = LoginAction::kAsGroup;
  policy.host_group = 0x12345;
  tee::Outcome outcome;
  const auto login = policy.Map(Login::kGroup, outcome);
  ASSERT_TRUE(login.has_value());
  EXPECT_EQ(login->login, 2u);
  gid_t gid = 0;
  std::memcpy(&gid, login->client.octets.data(), sizeof gid);
  EXPECT_EQ(gid, 0x12345u);
}

TEST(LoginPolicy, UserMayBeRefused) {
  LoginPolicy policy;
  policy.user = LoginAction::kRefuse;
  tee::Outcome outcome;
  EXPECT_FALSE(policy.Map(Login::kUser, outcome).has_value());
  EXPECT_EQ(outcome.code, code::kAccessDenied);
}

TEST(HostErrors, EveryMapping) {
  struct Row {
    int err;
    std::uint32_t code;
  };
  const Row rows[] = {
      {ENOMEM, code::kOutOfMemory},
      {ENOSPC, code::kOutOfMemory},
      {EACCES, code::kAccessDenied},
      {EPERM, code::kAccessDenied},
      {EINVAL, code::kBadParameters},
      {E2BIG, code::kBadParameters},
      {EBUSY, code::kBusy},
      {EAGAIN, code::kBusy},
      {ENOTTY, code::kNotSupported},
      {EOPNOTSUPP, code::kNotSupported},
      {kKernelNotSupported, code::kNotSupported},
      {ENOSYS, code::kNotSupported},
      {EIO, code::kCommunication},
      {ENODEV, code::kCommunication},
      {EINTR, code::kCommunication},
      {ETIMEDOUT, code::kCommunication},
      {EFAULT, code::kCommunication},
      {12345, code::kCommunication},
  };
  for (const Row& row : rows) {
    EXPECT_EQ(OutcomeFromErrno(row.err).code, row.code) << row.err;
    EXPECT_EQ(OutcomeFromErrno(row.err).origin, tee::Origin::kComms);
  }
}

}  // namespace
}  // namespace vtee::backend
