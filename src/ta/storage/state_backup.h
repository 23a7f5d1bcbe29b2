// SPDX-License-Identifier: BSD-3-Clause
// Backups of a VM's state, and going back to one.
//
// A state that comes back from a backup is older than what the VM last used, unless an anchor on
// this host says that it is the newest. So RestoreState() takes it only as the newest, or with
// `accept_rollback`, when it has been opened with the host's key: then the anchor is made to name
// the restored state, and whatever the VM did after the backup is refused from then on.
// Both are done as a whole or not at all, also when the process is killed: a backup gets its name,
// and a state its folder, at the end.
// Threading: pure functions, one at a time for a folder. Not supported: backups of a state in use;
// keys that come by descriptor (leave them out of the backup).
#pragma once

#include <string>

#include "base/result.h"
#include "tee/types.h"

namespace vtee::ta {

struct BackupOptions {
  std::string folder;
  std::string file;       // must not be there
  std::string state_key;  // as OpenHostKey(): a file (empty: FOLDER.key), or "tpm:"
  bool with_key = true;
};

struct BackupReport {
  tee::Uuid vm;
  std::uint64_t epoch = 0;  // what the anchor names; 0: nothing has been stored yet
};
Result<BackupReport> BackUpState(const BackupOptions& options);

struct RestoreOptions {
  std::string file;
  std::string folder;  // empty or not there
  // A file (empty: FOLDER.key if it is there, else the backup's becomes it), or "tpm:": the
  // backup's is sealed to this host's TPM, which counts from then on.
  std::string state_key;
  bool accept_rollback = false;
};

struct RestoreReport {
  tee::Uuid vm;
  std::uint64_t epoch = 0;
  bool checked = false;  // with the key; else only the check sums were
};
Result<RestoreReport> RestoreState(const RestoreOptions& options);

}  // namespace vtee::ta
