// SPDX-License-Identifier: BSD-3-Clause
// The key of a VM's state that comes by descriptor: --backend user,...,state_key_fd=N.
//
// Several vteeds read it, the check among them, and a pipe can be read only once. So what it holds
// goes into a file in memory that takes its number, which vteeds inherit and VMMs do not.
// Threading: one. Not supported: a number that only vteed's configuration file names.
#pragma once

#include <optional>
#include <string>

#include "base/result.h"

namespace vtee::cli {

// Nothing: the backend names none, or none that vteed would take.
Result<std::optional<int>> TakeKeyDescriptor(const std::string& backend);

}  // namespace vtee::cli
