// SPDX-License-Identifier: BSD-3-Clause
// A lane of a program: one call at a time, on one thread, until either side closes the socket.
#pragma once

#include "daemon/program.h"

namespace vtee::daemon {

// Returns when the lane is no more. Throws std::bad_alloc.
void ServeLane(Program& program, int socket);

}  // namespace vtee::daemon
