// SPDX-License-Identifier: BSD-3-Clause
// vtee: the command for people. Each subcommand has its own *_command.h.
#include <cstdlib>
#include <string>
#include <vector>

#include "cli/host_check.h"
#include "cli/install_paths.h"
#include "cli/options.h"
#include "cli/run_command.h"
#include "cli/supervisor.h"

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  const vtee::cli::Options options = vtee::cli::ParseOptions(arguments);
  if (!options.run) return options.exit_status;

  const char* path = std::getenv("PATH");
  const vtee::cli::Surroundings surroundings = {
      [] { return vtee::cli::CheckHost(); }, vtee::cli::OwnFolder(),
      path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin"};
  const vtee::cli::RunOutcome outcome = vtee::cli::RunCommand(*options.run, surroundings);
  if (outcome.vmm_ran) vtee::cli::EndLike(outcome.wait_status);
  return outcome.exit_status;
}
