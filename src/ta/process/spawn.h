// SPDX-License-Identifier: BSD-3-Clause
// Starting the process around a TA's code, with as little around it as the machine allows.
//
// The child has the arena as descriptor 3 and nothing else, no environment, limits on memory and
// files, no core dumps, and namespaces of its own (user, PID, network, mounts, IPC, host name)
// where the kernel lets this user make them. It is killed when the thread that started it ends.
// Any thread that stays as long as the child shall.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace vtee::ta {

struct Spawned {
  pid_t pid = -1;
  UniqueFd pidfd;
  UniqueFd listener;  // of the filter, if there is one: see SuperviseStart()
  bool namespaces = false;
};

// `words`: the program's path and its arguments. `filter`: it is an emulator, with a filter for its
// system calls (emulator_filter.h); others install their own. The caller waits for the child's
// end.
Result<Spawned> SpawnConfined(const std::vector<std::string>& words, int arena_fd, bool filter);

}  // namespace vtee::ta
