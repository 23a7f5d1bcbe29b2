// SPDX-License-Identifier: BSD-3-Clause
// Ends a VM's state for good: its sealed root key first, without which nobody can read the rest,
// then all of its files.
//
// Killed in between, it can be called again. Threading: one at a time for a folder.
// Not supported: media that keep what is overwritten (flash, copy-on-write file systems, snapshots,
// backups): there the end of the host's key is what counts, which lies elsewhere when
// state_key names it.
#pragma once

#include <string>

#include "base/result.h"

namespace vtee::ta {

// FOLDER, FOLDER.anchor and FOLDER.key. Refused when it is in use, or no state. Files in the folder
// that are not vtee's stay, and it with them: an error says so when all else is done.
// `state_key`: as OpenHostKey(); with "tpm:", the state's counter is removed from the TPM, too,
// which without it stays there and is of no use to anybody.
Status DestroyState(const std::string& folder, const std::string& state_key = "");

}  // namespace vtee::ta
