// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/state_destroy.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>

#include "base/file_bytes.h"
#include "ta/storage/durable_file.h"
#include "ta/storage/state_key.h"
#include "ta/storage/state_lock.h"
#include "ta/storage/state_paths.h"
#include "ta/storage/tpm_counter.h"

namespace vtee::ta {
namespace {

Status Remove(const std::string& path) {
  if (::unlink(path.c_str()) == 0 || errno == ENOENT) return {};
  return ErrnoError(errno, "cannot remove " + path);
}

// Over the same blocks, where the file system writes in place, and on the disk before it returns.
Status Overwrite(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd && errno == ENOENT) return {};
  struct stat status {};
  if (!fd || ::fstat(fd.get(), &status) != 0) return ErrnoError(errno, "cannot open " + path);
  const SecretBytes zeros(
      std::clamp<std::size_t>(static_cast<std::size_t>(status.st_size), 1, kMostFileBytes));
  if (!WriteFully(fd.get(), zeros) || ::fsync(fd.get()) != 0) {
    return ErrnoError(errno, "cannot overwrite " + path);
  }
  return {};
}

Status EndKey(const std::string& path, const std::string& folder) {
  VTEE_TRY(Overwrite(path));
  VTEE_TRY(Remove(path));
  return SyncDirectory(folder);
}

// Found before the root goes, which says where it is.
Result<std::unique_ptr<TpmCounter>> CounterOf(const StatePaths& paths,
                                              const std::string& state_key) {
  const auto tpm = TpmOf(state_key);
  if (!tpm || !Exists(paths.root())) return std::unique_ptr<TpmCounter>();
  VTEE_ASSIGN_OR_RETURN(const auto file, ReadSmallFile(paths.root()));
  VTEE_ASSIGN_OR_RETURN(const SecretBytes key, OpenHostKey(state_key, paths.folder(), false));
  VTEE_ASSIGN_OR_RETURN(
      const StateKey root,
      StateKey::Open(paths.folder(), OwnerOfRoot(*file).value_or(tee::Uuid{}), key));
  return std::make_unique<TpmCounter>(*tpm, root.Derive(kCounterLabel, TpmCounter::kKeyBytes));
}

}  // namespace

Status DestroyState(const std::string& folder, const std::string& state_key) {
  const StatePaths paths(folder);
  std::error_code ignored;
  // What is left when the last step of all was missing.
  if (std::filesystem::is_empty(folder, ignored) && ::rmdir(folder.c_str()) == 0) return {};
  if (!Exists(paths.root()) && !Exists(paths.database())) {
    return Error{ErrorCode::kInvalidArgument,
                 paths.folder() + " is no state folder of vtee; name the folder that state= has"};
  }
  VTEE_ASSIGN_OR_RETURN(const UniqueFd lock, LockState(paths.folder(), nullptr));
  auto counter = CounterOf(paths, state_key);
  if (!counter.ok()) {
    return Error{counter.error().code, counter.error().message +
                                           "; without --state-key all but the TPM's counter can be "
                                           "destroyed"};
  }
  VTEE_TRY(EndKey(paths.root(), paths.folder()));
  VTEE_TRY(EndKey(paths.tpm_key(), paths.folder()));
  if (*counter) {
    const Status removed = (*counter)->Remove();
    if (!removed.ok() && removed.error().code != ErrorCode::kNotFound) return removed.error();
  }
  VTEE_TRY(EndKey(paths.key(), paths.parent()));
  // The database tells that this is a state, should it have to be done again.
  for (const std::string& file : {paths.anchor() + ".new", paths.anchor(), paths.log(),
                                  paths.database() + "-shm", paths.lock(), paths.database()}) {
    VTEE_TRY(Remove(file));
  }
  if (::rmdir(paths.folder().c_str()) == 0) return SyncDirectory(paths.parent());
  if (errno != ENOTEMPTY && errno != EEXIST) {
    return ErrnoError(errno, "cannot remove the directory " + paths.folder());
  }
  return Error{ErrorCode::kSystem, "the state is destroyed; " + paths.folder() +
                                       " has files that are not vtee's, which are left to you"};
}

}  // namespace vtee::ta
