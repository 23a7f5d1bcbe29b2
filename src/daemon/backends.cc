// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/backends.h"

#include <unistd.h>

#include "backend/fake/fake_backend.h"
#include "backend/host/host_backend.h"
#include "backend/user/user_backend.h"

namespace vtee::daemon {

Result<std::unique_ptr<tee::Backend>> MakeBackend(const Config& config) {
  const BackendSpec& spec = config.backend;
  if (spec.kind == "host") {
    backend::HostBackendOptions options;
    options.device = spec.device;
    options.always_copy = spec.copy == BackendSpec::Copy::kAlways;
    options.copy_below =
        spec.copy == BackendSpec::Copy::kSmall ? backend::CopySlots::kSlotBytes : 0;
    // As for users: all groups of the guest are the group this VM's vteed runs as.
    options.logins.group = backend::LoginAction::kAsGroup;
    options.logins.host_group = getegid();
    VTEE_ASSIGN_OR_RETURN(auto host, backend::HostBackend::Open(options));
    return std::unique_ptr<tee::Backend>(std::move(host));
  }
  if (spec.kind == "user") {
    if (!spec.state_folder.empty() && config.uuid == tee::Uuid{}) {
      return Error{ErrorCode::kInvalidArgument,
                   "the VM needs an identity that stays to find its state again; set uuid in the "
                   "configuration (uuidgen makes one)"};
    }
    backend::UserBackendOptions options;
    options.development_keys = spec.development_keys;
    options.key_files = spec.key_files;
    options.ta_folders = spec.ta_folders;
    options.guest_tas = spec.guest_tas;
    options.ta_seconds = spec.ta_seconds;
    options.state_folder = spec.state_folder;
    options.state_key = spec.state_key;
    options.state_key_fd = spec.state_key_fd;
    if (spec.state_count_every != 0) options.state_count_every = spec.state_count_every;
    options.vm = config.uuid;
    // One that waits for a debugger is no good ahead of a TA.
    options.pool = spec.debug_port == 0 ? spec.pool : 0;
    options.debug_port = spec.debug_port;
    options.vm_name = config.name;
    VTEE_ASSIGN_OR_RETURN(auto user, backend::UserBackend::Open(options));
    return std::unique_ptr<tee::Backend>(std::move(user));
  }
  if (spec.kind == "fake") {
    return std::unique_ptr<tee::Backend>(backend::FakeBackend::WithDefaultScript());
  }
  return Error{ErrorCode::kInvalidArgument,
               "no backend given; add --backend host (the machine's own TEE) or --backend user "
               "(TAs in processes), or backend = \"host\" to the configuration"};
}

}  // namespace vtee::daemon
