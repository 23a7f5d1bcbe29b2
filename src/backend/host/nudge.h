// SPDX-License-Identifier: BSD-3-Clause
// A nudge: a signal that does nothing but end the nap of a thread inside the TEE's driver.
//
// A TA that waits (TEE_Wait) looks at a cancellation when its nap in the host's kernel ends, and
// the nap is as long as its wait (OPTEE_RPC_CMD_SUSPEND: msleep_interruptible). A pending signal
// ends it at once. Every other wait of the driver is deaf to signals, but for those that kill.
// Not for a TA that has masked cancellation: its wait then turns in circles until its time is up.
// Threading: any thread. The process gets a handler for SIGURG.
#pragma once

#include <pthread.h>

namespace vtee::backend {

void PrepareForNudges();
// `thread` must be alive.
void Nudge(pthread_t thread);

}  // namespace vtee::backend
