// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/state_backup.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "ta/storage/anchor.h"
#include "ta/storage/durable_file.h"
#include "ta/storage/refused.h"
#include "ta/storage/sqlite_store.h"
#include "ta/storage/state_archive.h"
#include "ta/storage/state_key.h"
#include "ta/storage/state_lock.h"
#include "ta/storage/state_paths.h"
#include "ta/storage/store_state.h"
#include "ta/storage/tpm_counter.h"

namespace vtee::ta {
namespace {

namespace fs = std::filesystem;

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

// Only a key that opens the state: a backup with another one would be worth nothing.
Status AddKey(const BackupOptions& options, const StatePaths& paths, const tee::Uuid& vm,
              std::vector<ArchiveMember>& members) {
  if (!options.with_key) return {};
  auto key = OpenHostKey(options.state_key, paths.folder(), false);
  if (!key.ok() && key.error().code == ErrorCode::kNotFound) {
    return Refused(key.error().message +
                   "; name the state's key with --state-key FILE or tpm:, or leave it out of the "
                   "backup with --without-key and keep it elsewhere");
  }
  if (!key.ok()) return key.error();
  VTEE_TRY(StateKey::Open(paths.folder(), vm, *key));
  members.push_back({archive::kKey, "", std::move(key).value()});
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
    if (then) packed_ = then->value;
    if (here && here->vm != report_.vm) {
      return Refused("the anchor " + paths_.anchor() + " is the VM " + tee::ToString(here->vm) +
                     "'s, and the backup is of " + tee::ToString(report_.vm) +
                     ": restore to a folder of its own");
    }
    const bool newest = here && then && here->value == then->value;
    if (newest || options_.accept_rollback) return {};
    return Rollback(here ? std::optional(here->value) : std::nullopt);
  }

  Error Rollback(const std::optional<AnchorValue>& here) const {
    const std::string state = "state " + std::to_string(report_.epoch);
    return Refused(
        (here ? "the backup has " + state + " of the VM, and the anchor " + paths_.anchor() +
                    " knows state " + std::to_string(here->epoch)
              : "no anchor " + paths_.anchor() + " says that the backup (" + state +
                    ") is the newest of the VM") +
        ": restoring would take back what its TAs have stored since, counters and versions too; "
        "if that is meant and safe, add --accept-rollback");
  }

  Status FindKey(const DraftFolder& draft) {
    const std::string packed = draft.File(archive::kKey);
    if (Exists(packed)) {
      VTEE_ASSIGN_OR_RETURN(key_, ReadHostKey(packed, false));
      ::unlink(packed.c_str());
    }
    return tpm_ ? SealKey(draft) : CompareKey(draft);
  }

  Status SealKey(const DraftFolder& draft) {
    const std::string path = draft.File(archive::kTpmKey);
    if (key_.empty()) {
      VTEE_ASSIGN_OR_RETURN(key_, OpenHostKey(options_.state_key, draft.path(), false));
      return {};
    }
    VTEE_ASSIGN_OR_RETURN(const SecretBytes sealed, tpm_->Seal(key_));
    return WriteDurably(path, sealed);
  }

  Status CompareKey(const DraftFolder& draft) {
    ::unlink(draft.File(archive::kTpmKey).c_str());
    const std::string there = options_.state_key.empty() ? paths_.key() : options_.state_key;
    if (options_.state_key.empty() && !Exists(there)) {
      take_key_ = !key_.empty();
      return {};
    }
    VTEE_ASSIGN_OR_RETURN(SecretBytes own, ReadHostKey(there, false));
    if (!key_.empty() && key_ != own) {
      return Refused(there +
                     " is another key than the backup's: move it away, or name the right "
                     "one with --state-key FILE");
    }
    key_ = std::move(own);
    return {};
  }

  // As vteed would, but for the counter, which a rollback passes over. Where the crash that ended
  // the VM's last run left it a step behind, the backup's anchor is at the newest state then.
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
    store.root_key = root.Derive(kStorageLabel);
    store.anchor_path = draft.File(archive::kAnchor);
    store.counting.ignore = true;
    const SecretBytes anchor_key = StoreKeys(store.root_key, report_.vm).anchor;
    VTEE_ASSIGN_OR_RETURN(const auto opened, SqliteStore::Open(std::move(store)));
    report_.epoch = opened->epoch();
    report_.checked = true;
    AnchorCounting counting;
    if (tpm_) {
      counting.counter =
          std::make_unique<TpmCounter>(*tpm_, root.Derive(kCounterLabel, TpmCounter::kKeyBytes));
    }
    anchor_ =
        std::make_unique<FileAnchor>(paths_.anchor(), report_.vm, anchor_key, std::move(counting));
    return {};
  }

  // The folder comes last: until then the same restore can be done again, and vteed, which would
  // begin with an empty store, is kept from it by the anchor. Without a key the anchor that is
  // there says the same as the backup's.
  Status Publish(DraftFolder& draft) {
    const std::string draft_anchor = draft.File(archive::kAnchor);
    VTEE_ASSIGN_OR_RETURN(const auto claim, ClaimAt(draft_anchor));
    if (anchor_ && claim) VTEE_TRY(Anchored(claim->value));
    ::unlink(draft_anchor.c_str());
    if (take_key_) {
      VTEE_ASSIGN_OR_RETURN(const bool made, CreateDurably(paths_.key(), key_));
      if (!made) return Refused(paths_.key() + " has just been made by somebody else");
    }
    return draft.Become(paths_);
  }

  // A rollback makes the anchor anew. Otherwise the one that is there is asked again, with the key
  // and the TPM's counter, whether the backup's state is the newest.
  Status Anchored(const AnchorValue& restored) {
    if (options_.accept_rollback) return anchor_->Restart(restored);
    VTEE_ASSIGN_OR_RETURN(const AnchorValue here, anchor_->Read());
    if (here != packed_) return Rollback(here);
    return here == restored ? Status() : anchor_->Advance(restored);
  }

  const RestoreOptions& options_;
  const StatePaths paths_;
  RestoreReport report_;
  AnchorValue packed_;  // what the backup's anchor named
  SecretBytes key_;
  bool take_key_ = false;
  const std::optional<Tpm> tpm_ = TpmOf(options_.state_key);
  std::unique_ptr<FileAnchor> anchor_;  // of the restored state
};

}  // namespace

Result<BackupReport> BackUpState(const BackupOptions& options) {
  const StatePaths paths(options.folder);
  BackupReport report;
  VTEE_ASSIGN_OR_RETURN(report.vm, OwnerOf(paths));
  VTEE_ASSIGN_OR_RETURN(const UniqueFd lock, LockState(paths.folder(), nullptr));
  std::vector<ArchiveMember> members;
  members.push_back({archive::kRoot, paths.root(), {}});
  if (Exists(paths.database())) {
    members.push_back({archive::kDatabase, paths.database(), {}});
    if (Exists(paths.log())) members.push_back({archive::kLog, paths.log(), {}});
    VTEE_ASSIGN_OR_RETURN(const auto anchor, ClaimAt(paths.anchor()));
    if (!anchor) {
      return Refused("the anchor " + paths.anchor() +
                     " is missing, and without it the state cannot be opened: put it back");
    }
    report.epoch = anchor->value.epoch;
  }
  if (Exists(paths.tpm_key())) members.push_back({archive::kTpmKey, paths.tpm_key(), {}});
  if (report.epoch != 0) members.push_back({archive::kAnchor, paths.anchor(), {}});
  VTEE_TRY(AddKey(options, paths, report.vm, members));
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
