// SPDX-License-Identifier: BSD-3-Clause
// `vtee state`: lists, copies, brings back and ends what VMs' TEEs keep (ta/storage/state_*.h).
// Threading: one.
#pragma once

#include <cstdio>
#include <string>

#include "cli/state_options.h"

namespace vtee::cli {

// Where a person is asked, if there is one.
struct Person {
  std::FILE* answers = nullptr;
  bool present = false;
  std::string default_folder;  // of `list`
};
Person Terminal();

// Prints what there is to say; returns the exit status.
int StateCommand(const StateOptions& options, const Person& person);

}  // namespace vtee::cli
