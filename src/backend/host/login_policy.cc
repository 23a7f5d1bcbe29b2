// SPDX-License-Identifier: BSD-3-Clause
#include "backend/host/login_policy.h"

#include <cstring>

#include "backend/host/tee_uapi.h"

namespace vtee::backend {
namespace {

std::optional<LoginAction> ActionFor(const LoginPolicy& policy, tee::Login login) {
  switch (login) {
    case tee::Login::kPublic:
      return LoginAction::kAsPublic;
    case tee::Login::kUser:
      return policy.user;
    case tee::Login::kGroup:
      return policy.group;
    case tee::Login::kApplication:
      return policy.application;
    case tee::Login::kUserApplication:
      return policy.user_application;
    case tee::Login::kGroupApplication:
      return policy.group_application;
    case tee::Login::kReeKernel:
      return policy.ree_kernel;
  }
  const auto number = static_cast<std::uint32_t>(login);
  if (number >= TEE_IOCTL_LOGIN_REE_KERNEL_MIN && number <= TEE_IOCTL_LOGIN_REE_KERNEL_MAX) {
    return policy.ree_kernel;
  }
  return std::nullopt;
}

}  // namespace

std::optional<HostLogin> LoginPolicy::Map(tee::Login login, tee::Outcome& outcome) const {
  const std::optional<LoginAction> action = ActionFor(*this, login);
  if (!action) {
    outcome = {tee::code::kBadParameters, tee::Origin::kComms};
    return std::nullopt;
  }
  HostLogin host;
  switch (*action) {
    case LoginAction::kAsPublic:
      host.login = TEE_IOCTL_LOGIN_PUBLIC;
      return host;
    case LoginAction::kAsUser:
      host.login = TEE_IOCTL_LOGIN_USER;
      return host;
    case LoginAction::kAsGroup:
      static_assert(sizeof host_group <= sizeof host.client.octets);
      host.login = TEE_IOCTL_LOGIN_GROUP;
      std::memcpy(host.client.octets.data(), &host_group, sizeof host_group);
      return host;
    case LoginAction::kRefuse:
      break;
  }
  outcome = {tee::code::kAccessDenied, tee::Origin::kComms};
  return std::nullopt;
}

}  // namespace vtee::backend
