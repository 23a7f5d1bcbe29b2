// SPDX-License-Identifier: BSD-3-Clause
// Who a program is, as the kernel says, and the client UUID that a TA sees for a login.
//
// The UUIDs are Linux's (drivers/tee/tee_core.c, tee_session_calc_client_uuid): version 5 of
// "uid=%x" or "gid=%x" in OP-TEE's namespace, so that a TA knows a user again whether it comes
// through /dev/tee0 or through vtee. Values; any thread.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "tee/types.h"

namespace vtee::daemon {

struct ProgramIdentity {
  pid_t pid = 0;
  uid_t uid = 0;
  gid_t gid = 0;
  std::vector<gid_t> groups;  // supplementary

  bool InGroup(gid_t group) const;
};

// Of the process that connected this Unix socket.
Result<ProgramIdentity> IdentityOf(int socket);

// kSuccess and the UUID; else what libteec makes of Linux's refusal: BAD_PARAMETERS for the logins
// of applications, which Linux does not offer, GENERIC for the kernel's own and for foreign groups.
// Origin COMMS.
tee::Outcome ClientUuid(const ProgramIdentity& identity, std::uint32_t login, gid_t group,
                        tee::Uuid& client);

}  // namespace vtee::daemon
