// SPDX-License-Identifier: BSD-3-Clause
// vteed's command line, after the vhost-user backend conventions (QEMU
// docs/interop/vhost-user.rst):
// --socket-path or --fd, --print-capabilities; in the foreground; ends on SIGTERM. With
// --program-socket it serves programs instead of a VM.
#pragma once

#include <string>

#include "daemon/config.h"

namespace vtee::daemon {

struct Options {
  enum class Action { kServe, kCheck, kExit };
  Action action = Action::kServe;
  int exit_status = 0;         // kExit: help, version, capabilities or a mistake has been printed
  std::string socket_path;     // listen here for the one VM
  int fd = -1;                 // or: the connected socket of the VM
  std::string program_socket;  // or: listen here for programs
  Config config;
};

Options ParseOptions(int argc, char** argv);

}  // namespace vtee::daemon
