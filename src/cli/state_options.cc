// SPDX-License-Identifier: BSD-3-Clause
#include "cli/state_options.h"

#include <CLI/CLI.hpp>

namespace vtee::cli {
namespace {

constexpr const char* kFooter =
    "\nA state is what state=FOLDER of --backend user keeps for one VM: the folder, and beside it\n"
    "the anchor FOLDER.anchor, which tells an older copy from the newest, and the host's key\n"
    "FOLDER.key, unless state_key names another. None of this works on a state in use: stop the "
    "VM.\n"
    "\n  vtee state backup /srv/vm1 /backup/vm1.tar\n"
    "  vtee state restore --accept-rollback /backup/vm1.tar /srv/vm1\n"
    "  vtee state destroy /srv/vm1\n"
    "\nExit status 1: something failed on the way, 2: refused, nothing was done.\n"
    "'vtee state COMMAND --help' says more about one of them.\n";

constexpr const char* kListFooter =
    "\nA FOLDER is a state, or has states in it. Without any: /var/lib/vtee for root, else\n"
    "$XDG_STATE_HOME/vtee (~/.local/state/vtee). Nothing is opened, so that no key is needed and\n"
    "nothing is checked; what a VM uses at the moment is not counted. TAS counts applications "
    "that\n"
    "keep objects, BYTES what they have of the VM's quota.\n";

constexpr const char* kBackupFooter =
    "\nFILE becomes a tar archive with mode 0600, whole or not at all; `tar xf` and\n"
    "`sha256sum -c SHA256SUMS` look into it. With the key in it, whoever reads FILE has the VM's\n"
    "secrets; without it (--without-key) FILE is worth as much as the key kept elsewhere.\n";

constexpr const char* kRestoreFooter =
    "\nFOLDER must be empty or not there. When FOLDER.anchor names another state than the "
    "backup's,\n"
    "or is not there, restoring takes back what TAs have stored since the backup: counters of "
    "failed\n"
    "attempts, versions, spent tokens. --accept-rollback says that this is meant. It needs the\n"
    "host's key, checks the whole state with it, and makes FOLDER.anchor name the restored state, "
    "so\n"
    "that every other copy is refused from then on.\n";

constexpr const char* kDestroyFooter =
    "\nThe sealed root key is overwritten and removed first, which makes the rest unreadable, "
    "then\n"
    "FOLDER.key, the objects, FOLDER.anchor and FOLDER. Backups are not reached, nor what flash "
    "and\n"
    "copy-on-write file systems keep of what is overwritten: there, destroy the host's key.\n";

CLI::App* Add(CLI::App& state, StateOptions& options, StateOptions::Action action, const char* name,
              const char* description, const char* footer) {
  CLI::App* command = state.add_subcommand(name, description);
  command->footer(footer);
  command->callback([&options, action] { options.action = action; });
  return command;
}

}  // namespace

CLI::App* AddState(CLI::App& app, StateOptions& options) {
  using Action = StateOptions::Action;
  CLI::App* state = app.add_subcommand("state", "What VMs' TEEs keep: list, back up, destroy");
  state->require_subcommand(1);
  state->footer(kFooter);

  CLI::App* list = Add(*state, options, Action::kList, "list",
                       "Say what states there are: vtee state list [FOLDER...]", kListFooter);
  list->add_option("FOLDER", options.folders, "States, or folders with states in them")
      ->type_name("");

  CLI::App* backup = Add(*state, options, Action::kBackup, "backup",
                         "Copy a state to one file: vtee state backup FOLDER FILE", kBackupFooter);
  backup->add_option("FOLDER", options.folder, "The state")->required()->type_name("");
  backup->add_option("FILE", options.file, "The backup, not there yet")->required()->type_name("");
  backup->add_flag("--without-key", options.without_key, "Leave the host's key out");

  CLI::App* restore = Add(*state, options, Action::kRestore, "restore",
                          "Bring a state back: vtee state restore FILE FOLDER", kRestoreFooter);
  restore->add_option("FILE", options.file, "The backup")->required()->type_name("");
  restore->add_option("FOLDER", options.folder, "What state= will have")->required()->type_name("");
  restore->add_flag("--accept-rollback", options.accept_rollback,
                    "Also when the VM has used a newer state");

  CLI::App* destroy = Add(*state, options, Action::kDestroy, "destroy",
                          "End a state for good: vtee state destroy FOLDER", kDestroyFooter);
  destroy->add_option("FOLDER", options.folder, "The state")->required()->type_name("");
  destroy->add_flag("--yes", options.yes, "Do not ask");
  for (CLI::App* command : {backup, restore, destroy}) {
    command
        ->add_option("--state-key", options.state_key,
                     "The host's key, as in state_key= (default: FOLDER.key)")
        ->type_name("FILE|tpm:");
  }
  return state;
}

}  // namespace vtee::cli
