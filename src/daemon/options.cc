// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/options.h"

#include <fcntl.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>

#include "vmm/protocol.h"

#ifndef VTEE_VERSION
#error "VTEE_VERSION comes from CMake"
#endif

namespace vtee::daemon {
namespace {

constexpr int kUsageStatus = 2;

void PrintCapabilities() {
  nlohmann::json profiles = nlohmann::json::array();
  for (const optee::Profile& profile : optee::kProfiles) profiles.push_back(profile.name);
  const nlohmann::json capabilities = {
      {"type", "tee"},
      {"version", VTEE_VERSION},
      {"protocol", {{"major", vmm::kProtocolMajor}, {"minor", vmm::kProtocolMinor}}},
      {"features", {"fd", "socket-path", "config", "sd-notify", "check", "program-socket"}},
      {"backends", {"host", "user", "fake"}},
      {"dialects", {"optee"}},
      {"profiles", {{"optee", profiles}}},
  };
  std::printf("%s\n", capabilities.dump(2).c_str());
}

int Mistake(const std::string& message) {
  std::fprintf(stderr, "vteed: %s\n", message.c_str());
  return kUsageStatus;
}

// What the command line says; the configuration file is read first, so these win over it.
struct Given {
  std::string config_path, backend, name, log_level, log_file, profile, window;
  std::optional<std::int32_t> interrupt;
};

Status Apply(const Given& given, Config& config) {
  if (!given.config_path.empty()) VTEE_TRY(LoadConfig(given.config_path, config));
  if (!given.backend.empty()) VTEE_TRY(ParseBackend(given.backend, config.backend));
  if (!given.name.empty()) config.name = given.name;
  config.interrupt = given.interrupt.value_or(config.interrupt);
  if (!given.profile.empty()) VTEE_TRY(ParseProfile(given.profile, config.optee));
  if (!given.window.empty()) VTEE_TRY(ParseWindow(given.window, config.optee.window));
  VTEE_TRY(FinishConfig(config));
  if (!given.log_level.empty()) {
    VTEE_ASSIGN_OR_RETURN(config.log_level, ParseLogLevel(given.log_level));
  }
  const char* from_environment = std::getenv("VTEE_LOG_FILE");
  if (from_environment != nullptr) config.log_file = from_environment;
  if (!given.log_file.empty()) config.log_file = given.log_file;
  return {};
}

// Before this process opens anything itself, so that the number is the one that was meant.
Status HoldKeyDescriptor(const Options& options) {
  const int fd = options.config.backend.state_key_fd;
  if (fd < 0) return {};
  if (fd == options.fd) {
    return Error{ErrorCode::kInvalidArgument,
                 "--fd and state_key_fd name the same descriptor; give each its own"};
  }
  if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0) return {};
  return Error{ErrorCode::kInvalidArgument,
               "state_key_fd=" + std::to_string(fd) +
                   ": there is no such descriptor; open the key for this process, as in " +
                   std::to_string(fd) + "<FILE"};
}

}  // namespace

Options ParseOptions(int argc, char** argv) {
  Options options;
  Given given;
  bool print_capabilities = false;
  bool check = false;
  CLI::App app("vteed: the TEE mediator of one virtual machine", "vteed");
  app.set_version_flag("--version", "vteed " VTEE_VERSION);
  app.add_option("--socket-path", options.socket_path, "Listen on this Unix socket for one VM");
  app.add_option("--fd", options.fd, "The connected socket of the VM, inherited");
  app.add_option("--program-socket", options.program_socket,
                 "Serve no VM but programs (libteec), which connect to this Unix socket");
  app.add_option("--config", given.config_path, "Configuration file (TOML)");
  app.add_option("--backend", given.backend,
                 "Where the TEE is: host[,device=/dev/teeN][,copy=small|never|always], "
                 "user,keys=FILE|development[,ta_dir=FOLDER][,guest_tas=yes|no][,state=FOLDER"
                 "[,state_key=FILE|tpm:][,state_key_fd=N]] or fake");
  app.add_option("--interrupt", given.interrupt,
                 "SPI number that raises notifications in the guest, -1: none")
      ->check(CLI::Range(-1, 959));
  app.add_option("--tee-profile", given.profile,
                 "What the guest's driver speaks: linux (default), linux-no-rpc-arg, static, "
                 "u-boot or edk2");
  app.add_option("--window", given.window,
                 "Shared memory of profiles static and edk2: SIZE[@ADDRESS], default "
                 "4M@0xe000000");
  app.add_option("--name", given.name, "The VM's name, for the log");
  app.add_option("--log-level", given.log_level, "debug, info, warning or error");
  app.add_option("--log-file", given.log_file, "Append the log here instead of stderr");
  app.add_flag("--print-capabilities", print_capabilities, "Print what this vteed can do (JSON)");
  app.add_flag("--check", check, "Check configuration and access to the backend, then end");

  options.action = Options::Action::kExit;
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    const bool asked = error.get_exit_code() == 0;  // --help, --version
    options.exit_status =
        asked ? app.exit(error) : Mistake(std::string(error.what()) + "; see vteed --help");
    return options;
  }
  if (print_capabilities) {
    PrintCapabilities();
    return options;
  }
  Status applied = Apply(given, options.config);
  if (applied.ok()) applied = HoldKeyDescriptor(options);
  if (!applied.ok()) {
    options.exit_status = Mistake(applied.error().message);
    return options;
  }
  if (check) {
    options.action = Options::Action::kCheck;
    return options;
  }
  const int ways =
      !options.socket_path.empty() + (options.fd >= 0) + !options.program_socket.empty();
  if (ways != 1) {
    options.exit_status =
        Mistake("give one of --socket-path PATH, --fd N (for a VM) and --program-socket PATH");
    return options;
  }
  options.action = Options::Action::kServe;
  return options;
}

}  // namespace vtee::daemon
