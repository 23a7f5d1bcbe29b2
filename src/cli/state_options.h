// SPDX-License-Identifier: BSD-3-Clause
// The command line of `vtee state`. Threading: one.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace vtee::cli {

struct StateOptions {
  enum class Action { kList, kBackup, kRestore, kDestroy };
  Action action = Action::kList;
  std::vector<std::string> folders;  // kList; empty: the default one
  std::string folder;                // the others
  std::string file;
  std::string state_key;
  bool without_key = false;
  bool accept_rollback = false;
  bool yes = false;
};

// Adds the subcommand; `options` is filled in by the parse.
CLI::App* AddState(CLI::App& app, StateOptions& options);

}  // namespace vtee::cli
