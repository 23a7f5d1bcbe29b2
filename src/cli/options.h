// SPDX-License-Identifier: BSD-3-Clause
// The command line of `vtee` itself: subcommands and their options.
// Threading: one. Not supported: abbreviated options.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "cli/state_options.h"
#include "cli/tee_node.h"

namespace vtee::cli {

inline constexpr int kUsageStatus = 2;    // the command line or the host is not as it must be
inline constexpr int kTroubleStatus = 1;  // something failed on the way

enum class VmmKind { kAuto, kQemu, kOther };

struct RunOptions {
  std::string backend;  // empty: vteed's configuration or default
  std::string config;
  std::string profile;  // of the dialect; empty: vteed's configuration or default
  std::string window;   // SIZE[@ADDRESS], for vteed to read
  Conduit conduit = Conduit::kSmc;
  InterruptChoice interrupt;
  VmmKind vmm_kind = VmmKind::kAuto;
  bool no_dtb = false;
  bool dry_run = false;
  std::string log_level;
  std::string log_file;
  std::string vteed;  // empty: beside this program
  std::string shim;
  std::string name;
  std::vector<std::string> vmm;  // the command after "--", never empty
};

struct TaRunOptions {
  std::string backend;  // empty: user, with OP-TEE's development keys
  std::string config;
  std::vector<std::string> ta_folders;  // empty: where OP-TEE has them
  std::uint16_t gdb_port = 0;           // 0: no debugger
  std::string log_level;
  std::string log_file;
  std::string vteed;                 // empty: beside this program
  std::vector<std::string> program;  // the command after "--", never empty
};

struct Options {
  std::optional<RunOptions> run;  // one of these
  std::optional<TaRunOptions> ta_run;
  std::optional<StateOptions> state;
  int exit_status = 0;  // when there is no subcommand to run: all has been said already
};

// Prints help, version and mistakes itself.
Options ParseOptions(std::span<const std::string> arguments);

}  // namespace vtee::cli
