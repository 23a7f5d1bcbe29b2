// SPDX-License-Identifier: BSD-3-Clause
// `vtee run`: makes the plan, then carries it out or (--dry-run) prints it.
// Threading: the process must have one thread. Nothing outlives the call.
#pragma once

#include "cli/options.h"
#include "cli/run_plan.h"

namespace vtee::cli {

struct RunOutcome {
  bool vmm_ran = false;
  int wait_status = 0;  // of the VMM, if it ran
  int exit_status = 0;  // otherwise
};

RunOutcome RunCommand(const RunOptions& options, const Surroundings& surroundings);

}  // namespace vtee::cli
