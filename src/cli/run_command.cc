// SPDX-License-Identifier: BSD-3-Clause
#include "cli/run_command.h"

#include "cli/say.h"
#include "cli/supervisor.h"

namespace vtee::cli {
namespace {

RunOutcome Failed(int status) { return RunOutcome{false, 0, status}; }

SupervisorSpec Specify(const Plan& plan) {
  SupervisorSpec spec;
  spec.vmm.program = plan.vmm_program;
  spec.vmm.arguments = plan.vmm_arguments;
  spec.vmm.death_signal = SIGTERM;
  spec.shim = plan.shim;
  spec.vteed.program = plan.vteed;
  spec.vteed.arguments = plan.vteed_arguments;
  spec.vteed.inherited = plan.vteed_descriptors;
  spec.vteed.environment = ChangedEnvironment({"VTEE_FD", "VTEE_SOCKET"});
  spec.vteed_log = plan.vteed_log;
  return spec;
}

}  // namespace

RunOutcome RunCommand(const RunOptions& options, const Surroundings& surroundings) {
  auto signals = SignalQueue::Create();
  if (!signals.ok()) {
    Say(signals.error().message);
    return Failed(kTroubleStatus);
  }
  const Plan plan = MakePlan(options, surroundings, signals.value());
  // As if the signal had ended this process: its number is a wait status.
  if (plan.interrupted_by != 0) return RunOutcome{true, plan.interrupted_by, 0};
  if (options.dry_run) {
    std::fputs(Describe(plan).c_str(), stdout);
    return Failed(plan.problems.empty() ? 0 : kUsageStatus);
  }
  for (const std::string& problem : plan.problems) Say(problem);
  if (!plan.problems.empty()) return Failed(kUsageStatus);
  for (const std::string& note : plan.notes) Say(note);

  Supervisor supervisor(Specify(plan), signals.value(), Say);
  const auto ended = supervisor.Run();
  if (ended.ok()) return RunOutcome{true, ended.value(), 0};
  Say(ended.error().message);
  return Failed(kTroubleStatus);
}

}  // namespace vtee::cli
