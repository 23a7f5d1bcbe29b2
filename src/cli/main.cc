// SPDX-License-Identifier: BSD-3-Clause
// vtee: the command for people. Each subcommand has its own *_command.h.
#include <cstdlib>
#include <string>
#include <vector>

#include "cli/host_check.h"
#include "cli/install_paths.h"
#include "cli/options.h"
#include "cli/run_command.h"
#include "cli/state_command.h"
#include "cli/supervisor.h"
#include "cli/ta_run_command.h"

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const vtee::cli::Options options = vtee::cli::ParseOptions(arguments);
  if (options.state) return vtee::cli::StateCommand(*options.state, vtee::cli::Terminal());
  const char* path = std::getenv("PATH");
  const vtee::cli::Surroundings surroundings = {
      [] { return vtee::cli::CheckHost(); }, vtee::cli::OwnFolder(),
      path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin"};
  vtee::cli::RunOutcome outcome;
  if (options.run) {
    outcome = vtee::cli::RunCommand(*options.run, surroundings);
  } else if (options.ta_run) {
    outcome = vtee::cli::TaRunCommand(*options.ta_run, surroundings);
  } else {
    return options.exit_status;
  }
  if (outcome.vmm_ran) vtee::cli::EndLike(outcome.wait_status);
  return outcome.exit_status;
}
