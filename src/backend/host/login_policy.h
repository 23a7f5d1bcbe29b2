// SPDX-License-Identifier: BSD-3-Clause
// LoginPolicy: which client identity a guest's session gets on the host's TEE device.
//
// A session carries a login method and, for some, a client UUID that the guest's kernel computed.
// Linux lets no userspace process pass a client UUID on: it computes its own from the caller's
// euid or groups, and refuses the kernel's own logins. So a TA on the host's TEE never sees
// a guest user's identity, and the choice per login is:
//
//   guest login          default      why
//   PUBLIC               PUBLIC       carries no identity. The guest kernel's own drivers (device
//                                     enumeration, hwrng) use it.
//   USER                 USER         as the user vteed runs as: *all* users of a guest are that
//                                     one client. Give each VM a user of its own, so that at
//                                     least VMs are apart, or refuse it.
//   GROUP                refused      the guest sends a UUID made from its gid, which cannot be
//                                     turned back into one; kAsGroup gives a fixed host group:
//                                     vteed sets its own group, for the same reason as USER.
//   APPLICATION, USER_APPLICATION,
//   GROUP_APPLICATION    refused      Linux does not implement them (EINVAL).
//   REE_KERNEL (and all of 0x80000000..0xBFFFFFFF)
//                        refused      "the caller is the kernel" would be a lie: Linux answers
//                                     EPERM. kAsPublic helps clients that ask for it without
//                                     need; a TA that checks the login (trusted keys, RTC, SCMI)
//                                     still refuses, as it should.
//
// A refused login is TEEC_ERROR_ACCESS_DENIED, the code with which OP-TEE's own TAs refuse
// a login, but with origin COMMS, since no TEE was asked. An unknown login number is
// BAD_PARAMETERS, origin COMMS. A value; no state.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>

#include "tee/types.h"

namespace vtee::backend {

enum class LoginAction : std::uint8_t { kRefuse, kAsPublic, kAsUser, kAsGroup };

struct HostLogin {
  std::uint32_t login = 0;  // TEE_IOCTL_LOGIN_*
  tee::Uuid client;         // GROUP: the gid in the first four octets, host byte order
};

struct LoginPolicy {
  LoginAction user = LoginAction::kAsUser;
  LoginAction group = LoginAction::kRefuse;
  LoginAction application = LoginAction::kRefuse;
  LoginAction user_application = LoginAction::kRefuse;
  LoginAction group_application = LoginAction::kRefuse;
  LoginAction ree_kernel = LoginAction::kRefuse;
  gid_t host_group = 0;  // for kAsGroup; vteed must be a member of it

  // `outcome` says why not when nothing is returned.
  std::optional<HostLogin> Map(tee::Login login, tee::Outcome& outcome) const;
};

}  // namespace vtee::backend
