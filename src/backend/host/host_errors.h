// SPDX-License-Identifier: BSD-3-Clause
// How the kernel's errno values reach a guest, and which system calls are repeated. Any thread.
#pragma once

#include "backend/host/tee_device.h"
#include "tee/types.h"

namespace vtee::backend {

// The outcome of a call that the kernel refused; origin is always COMMS: no TA answered.
tee::Outcome OutcomeFromErrno(int err);

// For calls that are safe to repeat (version, shared memory, cancel): until it is not EINTR.
// Opening, invoking and closing are never repeated: the optee driver sleeps uninterruptibly once
// a command is with the TEE, so EINTR there would come from some other driver and could mean that
// the command has run.
int IoctlRetrying(TeeDevice& device, unsigned long request, void* argument);

}  // namespace vtee::backend
