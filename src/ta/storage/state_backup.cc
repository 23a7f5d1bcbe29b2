// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/state_backup.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <optional>
#include <vector>

#include "ta/storage/anchor.h"
#include "ta/storage/durable_file.h"
#include "ta/storage/sqlite_store.h"
#include "ta/storage/state_archive.h"
#include "ta/storage/state_key.h"
#include "ta/storage/state_lock.h"
#include "ta/storage/state_paths.h"

namespace vtee::ta {
namespace {

namespace fs = std::filesystem;

Error Refused(std::string message) {
  return Error{ErrorCode::kInvalidArgument, std::move(message)};
}

bool Exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

Result<tee::Uuid> OwnerOf(const StatePaths& paths) {
  VTEE_ASSIGN_OR_RETURN(const auto root, ReadSmallFile(paths.root()));
  const auto vm = root ? OwnerOfRoot(*root) : std::nullopt;
  if (vm) return *vm;
  return Refused(paths.folder() +
                 (root ? " has a root key that is damaged or not vtee's"
                       : " is no state folder of vtee: it has no root.sealed") +
                 "; name the folder that state= has");
}

Result<std::optional<AnchorClaim>> ClaimAt(const std::string& path) {
  VTEE_ASSIGN_OR_RETURN(const auto file, ReadSmallFile(path));
  if (!file) return std::optional<AnchorClaim>();
  const auto claim = ClaimOfAnchor(*file);
  if (claim) return claim;
  return Refused("the anchor " + path + " is damaged: put the newest one back");
}

Status AddKey(const BackupOptions& options, const std::string& beside,
              std::vector<ArchiveMember>& members) {
  if (!options.with_key) return {};
  const std::string key = options.key_file.empty() ? beside : options.key_file;
  if (!Exists(key)) {
    return Refused("there is no host key " + key +
                   ": name the state's key with --state-key FILE, or leave it out of the backup "
                   "with --without-key and keep it elsewhere");
  }
  // As vteed would, so that no backup is made with a key that it refuses.
  VTEE_TRY(ReadHostKey(key, false));
  members.push_back({archive::kKey, key});
  return {};
}

// A folder that is there as a whole or not at all, beside the one it becomes.
class DraftFolder {
 public:
  static Result<DraftFolder> Create(const StatePaths& target) {
    std::string path = target.folder() + ".restoring";
    if (::mkdir(path.c_str(), 0700) != 0) {
      if (errno != EEXIST) return ErrnoError(errno, "cannot create the directory " + path);
      // Of another restore: one that runs has its lock, one that was killed left it behind.
      VTEE_TRY(LockState(path, nullptr));
      std::error_code error;
      fs::remove_all(path, error);
      if (error || ::mkdir(path.c_str(), 0700) != 0) {
        return ErrnoError(error ? error.value() : errno, "cannot replace the directory " + path);
      }
    }
    auto lock = LockState(path, nullptr);
    if (!lock.ok()) return lock.error();
    return DraftFolder(std::move(path), std::move(lock).value());
  }
  DraftFolder(DraftFolder&& other) noexcept
      : path_(std::exchange(other.path_, {})), lock_(std::move(other.lock_)) {}
  DraftFolder& operator=(DraftFolder&&) = delete;
  ~DraftFolder() {
    std::error_code ignored;
    if (!path_.empty()) fs::remove_all(path_, ignored);
  }

  const std::string& path() const { return path_; }
  std::string File(std::string_view name) const { return path_ + "/" + std::string(name); }
  // The store locks it itself.
  void Unlock() { lock_.Reset(); }
  Status Become(const StatePaths& target) {
    VTEE_TRY(SyncDirectory(path_));
    if (::rename(path_.c_str(), target.folder().c_str()) != 0) {
      return ErrnoError(errno, "cannot name the restored folder " + target.folder());
    }
    path_.clear();
    return SyncDirectory(target.parent());
  }

 private:
  DraftFolder(std::string path, UniqueFd lock) : path_(std::move(path)), lock_(std::move(lock)) {}
  std::string path_;
  UniqueFd lock_;
};

class Restore {
 public:
  explicit Restore(const RestoreOptions& options) : options_(options), paths_(options.folder) {}

  Result<RestoreReport> Run() {
    const UniqueFd archive(::open(options_.file.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
    if (!archive) return ErrnoError(errno, "cannot open the backup " + options_.file);
    VTEE_TRY(CheckTarget());
    VTEE_ASSIGN_OR_RETURN(DraftFolder draft, DraftFolder::Create(paths_));
    VTEE_ASSIGN_OR_RETURN(report_.vm, ExtractArchive(archive.get(), options_.file, draft.path()));
    VTEE_TRY(CheckRollback(draft));
    VTEE_TRY(FindKey(draft));
    VTEE_TRY(OpenIt(draft));
    VTEE_TRY(Publish(draft));
    return report_;
  }

 private:
  Status CheckTarget() const {
    std::error_code error;
    const bool empty = fs::is_empty(paths_.folder(), error);
    if (error == std::errc::no_such_file_or_directory) return {};
    if (error) return ErrnoError(error.value(), "cannot look into " + paths_.folder());
    if (empty && fs::is_directory(paths_.folder(), error)) return {};
    return Refused(paths_.folder() +
                   " is there and not empty: move it away, or end what is in it with `vtee state "
                   "destroy " +
                   paths_.folder() + "`, then restore");
  }

  // Before anything is opened: what the two anchors say of themselves.
  Status CheckRollback(const DraftFolder& draft) {
    VTEE_ASSIGN_OR_RETURN(const auto here, ClaimAt(paths_.anchor()));
    VTEE_ASSIGN_OR_RETURN(const auto then, ClaimAt(draft.File(archive::kAnchor)));
    if (then) report_.epoch = then->value.epoch;
    if (here && here->vm != report_.vm) {
      return Refused("the anchor " + paths_.anchor() + " is the VM " + tee::ToString(here->vm) +
                     "'s, and the backup is of " + tee::ToString(report_.vm) +
                     ": restore to a folder of its own");
    }
    const bool newest = here && then && here->value == then->value;
    if (newest || options_.accept_rollback) return {};
    const std::string state = "state " + std::to_string(report_.epoch);
    return Refused(
        (here ? "the backup has " + state + " of the VM, and the anchor " + paths_.anchor() +
                    " knows state " + std::to_string(here->value.epoch)
              : "no anchor " + paths_.anchor() + " says that the backup (" + state +
                    ") is the newest of the VM") +
        ": restoring would take back what its TAs have stored since, counters and versions too; "
        "if that is meant and safe, add --accept-rollback");
  }

  Status FindKey(const DraftFolder& draft) {
    const std::string there = options_.key_file.empty() ? paths_.key() : options_.key_file;
    const std::string in_backup = draft.File(archive::kKey);
    if (!options_.key_file.empty() || Exists(there)) {
      VTEE_ASSIGN_OR_RETURN(key_, ReadHostKey(there, false));
    }
    if (!Exists(in_backup)) return {};
    VTEE_ASSIGN_OR_RETURN(const SecretBytes packed, ReadHostKey(in_backup, false));
    if (key_.empty()) {
      key_ = packed;
      take_key_ = true;
    } else if (key_ != packed) {
      return Refused(there +
                     " is another key than the backup's: move it away, or name the right "
                     "one with --state-key FILE");
    }
    return {};
  }

  // As vteed would. Where the crash that ended the VM's last run left it a step behind, the
  // backup's anchor is now at the newest state.
  Status OpenIt(DraftFolder& draft) {
    if (key_.empty()) {
      if (!options_.accept_rollback) return {};
      return Refused(
          "--accept-rollback needs the host's key, which the backup does not have: name "
          "it with --state-key FILE");
    }
    VTEE_ASSIGN_OR_RETURN(const StateKey root, StateKey::Open(draft.path(), report_.vm, key_));
    draft.Unlock();
    SqliteStoreOptions store;
    store.dir = draft.path();
    store.vm = report_.vm;
    store.root_key = root.Derive("storage");
    store.anchor_path = draft.File(archive::kAnchor);
    VTEE_ASSIGN_OR_RETURN(const auto opened, SqliteStore::Open(std::move(store)));
    report_.epoch = opened->epoch();
    report_.checked = true;
    return {};
  }

  // The folder comes last: until then the same restore can be done again, and vteed, which would
  // begin with an empty store, is kept from it by the anchor.
  Status Publish(DraftFolder& draft) {
    const std::string anchor = draft.File(archive::kAnchor);
    if (Exists(anchor)) VTEE_TRY(Move(anchor, paths_.anchor()));
    if (take_key_) VTEE_TRY(Move(draft.File(archive::kKey), paths_.key()));
    ::unlink(draft.File(archive::kKey).c_str());
    return draft.Become(paths_);
  }

  Status Move(const std::string& from, const std::string& to) const {
    if (::rename(from.c_str(), to.c_str()) != 0) return ErrnoError(errno, "cannot make " + to);
    return SyncDirectory(paths_.parent());
  }

  const RestoreOptions& options_;
  const StatePaths paths_;
  RestoreReport report_;
  SecretBytes key_;
  bool take_key_ = false;
};

}  // namespace

Result<BackupReport> BackUpState(const BackupOptions& options) {
  const StatePaths paths(options.folder);
  BackupReport report;
  VTEE_ASSIGN_OR_RETURN(report.vm, OwnerOf(paths));
  VTEE_ASSIGN_OR_RETURN(const UniqueFd lock, LockState(paths.folder(), nullptr));
  std::vector<ArchiveMember> members = {{archive::kRoot, paths.root()}};
  if (Exists(paths.database())) {
    members.push_back({archive::kDatabase, paths.database()});
    if (Exists(paths.log())) members.push_back({archive::kLog, paths.log()});
    VTEE_ASSIGN_OR_RETURN(const auto anchor, ClaimAt(paths.anchor()));
    if (!anchor) {
      return Refused("the anchor " + paths.anchor() +
                     " is missing, and without it the state cannot be opened: put it back");
    }
    report.epoch = anchor->value.epoch;
    members.push_back({archive::kAnchor, paths.anchor()});
  }
  VTEE_TRY(AddKey(options, paths.key(), members));
  if (Exists(options.file)) {
    return Refused(options.file + " is there already: name another file, or remove it");
  }
  VTEE_ASSIGN_OR_RETURN(DraftFile draft, DraftFile::Create(options.file));
  VTEE_TRY(WriteArchive(draft, members, report.vm));
  VTEE_ASSIGN_OR_RETURN(const bool made, draft.Publish());
  if (!made) return Refused(options.file + " has just been made by somebody else: name another");
  return report;
}

Result<RestoreReport> RestoreState(const RestoreOptions& options) { return Restore(options).Run(); }

}  // namespace vtee::ta
