// SPDX-License-Identifier: BSD-3-Clause
// `vtee ta-run`: a vteed that serves programs, and one program with libteec in its search path.
//
// Signals and ends are as with `vtee run` (supervisor.h): those from a terminal reach the program
// by themselves, those that a process sends to vtee are forwarded. Threading: the process must have
// one thread. Nothing outlives the call.
#pragma once

#include "cli/options.h"
#include "cli/run_command.h"
#include "cli/run_plan.h"

namespace vtee::cli {

RunOutcome TaRunCommand(const TaRunOptions& options, const Surroundings& surroundings);

}  // namespace vtee::cli
