// SPDX-License-Identifier: BSD-3-Clause
// The plan of one `vtee run`: all checks made, all command lines ready, nothing started.
//
// Making it runs read-only probes: a KVM VM without a vCPU, `vteed --check`, and QEMU with
// dumpdtb. The plan owns the folder with the edited device tree and the option ROM. Threading: one.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/host_check.h"
#include "cli/options.h"
#include "cli/process.h"
#include "cli/temp_dir.h"

namespace vtee::cli {

struct Plan {
  HostReport host;
  std::vector<std::string> problems;  // sentences; empty: the plan can be carried out
  std::vector<std::string> notes;     // sentences about what is left to the person
  std::string vmm_program;
  std::vector<std::string> vmm_arguments;
  std::string vteed;
  std::vector<std::string> vteed_arguments;  // without --fd
  std::string vteed_log;
  std::string shim;
  std::string backend_check;  // what `vteed --check` said
  std::vector<std::string> dump_command;
  std::string tree_change;
  std::string acpi_change;
  std::optional<TempDir> folder;
  std::vector<int> vteed_descriptors;  // that it inherits: the key of its state
  int interrupted_by = 0;              // a signal told vtee to end meanwhile
};

// What the plan takes from its surroundings; tests give their own.
struct Surroundings {
  std::function<HostReport()> check_host;
  std::string own_folder;
  std::string path;  // PATH
};

Plan MakePlan(const RunOptions& options, const Surroundings& surroundings, SignalQueue& signals);

// The plan for a person, as --dry-run prints it.
std::string Describe(const Plan& plan);

// A command line that a shell would read back as the same words.
std::string Quote(const std::vector<std::string>& words);

}  // namespace vtee::cli
