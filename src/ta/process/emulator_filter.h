// SPDX-License-Identifier: BSD-3-Clause
// The system calls that an emulator may make once it runs a TA's code.
//
// qemu-user does not keep the TA from its own memory, so what the TA can do is what the emulator's
// process can do. The filter has two phases, because the emulator needs far more to start than to
// run: while it starts, every call beyond the list waits for the supervisor, which lets it go on;
// when it is ready the supervisor leaves, and from then on such calls fail (ENOSYS). On the list:
// futex, signal masks, memory that is not executable, exit. (A TA's code is translated into memory
// that the emulator has made executable at its start.)
// Not supported: hosts other than x86-64.
#pragma once

#include <functional>

#include "base/result.h"
#include "base/unique_fd.h"

namespace vtee::ta {

// In the child, which has NO_NEW_PRIVS set. Async-signal-safe. The listener, or -1 and errno.
int InstallEmulatorFilter();

// In the parent: lets all calls go on until `ready` or the process (`pidfd`) has ended. Closes the
// listener. kUnavailable: it has not become ready within `limit_ms`.
Status SuperviseStart(UniqueFd listener, int pidfd, const std::function<bool()>& ready,
                      int limit_ms);

}  // namespace vtee::ta
