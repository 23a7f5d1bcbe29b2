// SPDX-License-Identifier: BSD-3-Clause
// Finding a program, whether the shim can be preloaded into it, and whether it needs an emulator.
//
// The dynamic loader ignores LD_PRELOAD for static programs and for those that gain privileges.
// Scripts are allowed: the environment reaches whatever they start. Any thread.
#pragma once

#include <string>

#include "base/result.h"

namespace vtee::cli {

// The path that execvp() would run: `program` itself if it has a slash, else looked up in `path`
// (the value of PATH).
Result<std::string> FindProgram(const std::string& program, const std::string& path);

// Fails with a sentence when the shim, built for this vtee's own architecture, cannot be
// preloaded into the program.
Status CheckPreloadable(const std::string& program);

// An AArch64 program, and this is another machine.
bool NeedsArm64Emulator(const std::string& program);

}  // namespace vtee::cli
