// SPDX-License-Identifier: BSD-3-Clause
// The lock of a VM's state: whoever has it is alone with the folder. It holds for as long as the
// descriptor is open, and ends with the process.
//
// The lock's file says who had it last, for people: the process and the VM's name. Nobody relies
// on that.
// Threading: any thread. Not supported: file systems without flock(2).
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"
#include "base/unique_fd.h"

namespace vtee::ta {

// Of the folder `dir`, which is there. kUnavailable, with who has it, when somebody else does.
// `holder`: the VM's name, written down; nullptr: a look that leaves what is written there.
Result<UniqueFd> LockState(const std::string& dir, const std::string* holder);

struct LockNote {
  pid_t process = 0;  // 0: unknown
  std::string vm_name;
};
LockNote ReadLockNote(const std::string& dir);

}  // namespace vtee::ta
