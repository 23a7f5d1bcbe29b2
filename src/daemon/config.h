// SPDX-License-Identifier: BSD-3-Clause
// vteed's configuration: a TOML file (--config), overridden by the command line.
//
// Unknown keys and wrong types are refused with file, line and column: a misspelt limit must not
// silently be no limit. docs/config.md describes every key. Threading: plain data.
#pragma once

#include <cstdint>
#include <string>

#include "base/log.h"
#include "base/result.h"
#include "dialect/optee/profile.h"
#include "mediator/policy.h"
#include "tee/types.h"

namespace vtee::daemon {

struct BackendSpec {
  enum class Copy { kSmall, kNever, kAlways };
  std::string kind;                  // "host", "user" or "fake"
  std::string device = "/dev/tee0";  // host
  Copy copy = Copy::kSmall;          // host: which of the guest's buffers the TEE gets copies of
  // user:
  bool development_keys = false;
  std::vector<std::string> key_files;   // PEM; whose TAs are run
  std::vector<std::string> ta_folders;  // of the host, searched before the guest is asked
  bool guest_tas = true;                // the guest may supply TAs
  std::string state_folder;             // empty: nothing is kept
  std::string state_key;                // a file, or "tpm:"
  std::uint32_t state_count_every = 0;  // with a TPM; 0: the default
  int state_key_fd = -1;                // or an inherited descriptor
  std::uint16_t debug_port = 0;         // TAs wait for debuggers from here on; 0: they do not
  std::uint32_t pool = 1;               // processes of TAs that are started ahead
  std::uint32_t ta_seconds = 300;       // that a TA's code may run in one call; 0: no end
};

struct Config {
  std::string name = "vm";
  tee::Uuid uuid;
  BackendSpec backend;
  std::int32_t interrupt = -1;  // SPI number that raises notifications; -1: none
  LogLevel log_level = LogLevel::kInfo;
  std::string log_file;     // empty: stderr
  std::string record_file;  // for developers: the guest's calls go there; empty: nowhere
  mediator::Policy policy;
  optee::GuestSetup optee;  // window.size 0: the default window, if the profile has one
};

// Reads `path` into `config`. kInvalidArgument with "file:line:column: what" otherwise.
Status LoadConfig(const std::string& path, Config& config);
// The same from text; `name` stands for the file in messages.
Status ParseConfig(std::string_view text, std::string_view name, Config& config);

// "host", "host,device=/dev/tee1,copy=never", "user,keys=FILE", "fake": the --backend option.
Status ParseBackend(std::string_view option, BackendSpec& spec);

// The names of optee::kProfiles, and "SIZE[@ADDRESS]" as in "4M@0xe000000": profile and window.
Status ParseProfile(std::string_view name, optee::GuestSetup& setup);
Status ParseWindow(std::string_view text, optee::StaticWindow& window);

// Once file and command line have been read: fills in what follows from the profile, refuses what
// contradicts it.
Status FinishConfig(Config& config);

}  // namespace vtee::daemon
