// SPDX-License-Identifier: BSD-3-Clause
// How a SqliteStore is opened and checked, and how it gets back to work after an outage.
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "ta/storage/durable_file.h"
#include "ta/storage/refused.h"
#include "ta/storage/sqlite_store.h"
#include "ta/storage/state_key.h"
#include "ta/storage/state_lock.h"
#include "ta/storage/state_paths.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

constexpr std::int64_t kStoreFormat = 1;

SecretBytes StateContext(const tee::Uuid& vm, std::uint64_t epoch) {
  return Encoder('M').Bytes(std::as_bytes(std::span(vm.octets))).U64(epoch).bytes();
}

}  // namespace

SqliteStore::SqliteStore(SqliteStoreOptions options, UniqueFd lock,
                         std::unique_ptr<Database> database)
    : options_(std::move(options)),
      path_(StatePaths(options_.dir).database()),
      lock_(std::move(lock)),
      keys_(options_.root_key, options_.vm),
      database_(std::move(database)),
      rows_(*database_, keys_, options_.vm) {
  options_.root_key = {};  // keys_ has what is needed
}

Result<std::unique_ptr<SqliteStore>> SqliteStore::Open(SqliteStoreOptions options) {
  const StatePaths paths(options.dir);
  options.dir = paths.folder();
  if (options.root_key.size() != kRootBytes) return Refused("a storage key has 32 bytes");
  if (!options.anchor) {
    if (options.anchor_path.empty()) options.anchor_path = paths.anchor();
    options.anchor = std::make_unique<FileAnchor>(options.anchor_path, options.vm,
                                                  StoreKeys(options.root_key, options.vm).anchor,
                                                  std::move(options.counting));
  }
  VTEE_TRY(MakePrivateDirectory(options.dir));
  VTEE_ASSIGN_OR_RETURN(auto lock, LockState(options.dir, &options.vm_name));
  VTEE_ASSIGN_OR_RETURN(auto database, Database::Open(paths.database(), options.vfs));
  std::unique_ptr<SqliteStore> store(
      new SqliteStore(std::move(options), std::move(lock), std::move(database)));
  const std::lock_guard guard(store->mutex_);
  VTEE_TRY(store->Begin());
  return store;
}

// What SQLite says has gone wrong.
Error SqliteStore::Trouble(const std::string& what) const {
  return Error{ErrorCode::kSystem, what + " " + path_ + ": " + database_->message()};
}

Status SqliteStore::Begin() {
  VTEE_ASSIGN_OR_RETURN(const AnchorValue anchored, options_.anchor->Read());
  VTEE_ASSIGN_OR_RETURN(const bool has_tables, HasTables());
  VTEE_TRY(has_tables ? CheckState(anchored) : CreateState(anchored));
  reached_ = state_.Anchored(keys_.anchor);
  if (reached_ == anchored) return {};
  const Status advanced = options_.anchor->Advance(reached_);
  if (!advanced.ok()) {
    return Error{advanced.error().code, "cannot write the anchor " + options_.anchor->name() +
                                            ": " + advanced.error().message};
  }
  return {};
}

Result<bool> SqliteStore::HasTables() {
  Statement use = database_->Use("SELECT count(*) FROM sqlite_schema");
  if (use.Step() == SQLITE_ROW) return use.Int(0) != 0;
  return Refused(path_ + " is damaged (" + database_->message() +
                 "): put back the newest copy of it");
}

Status SqliteStore::CreateState(const AnchorValue& anchored) {
  if (anchored.epoch != 0) {
    return Refused(path_ + " is empty, but the anchor " + options_.anchor->name() +
                   " says that there were objects (state " + std::to_string(anchored.epoch) +
                   "): put them back, or remove the anchor to begin anew without them");
  }
  StoreState first;
  first.epoch = 1;
  if (database_->Run("BEGIN IMMEDIATE") != SQLITE_OK || rows_.CreateTables() != SQLITE_OK) {
    return Trouble("cannot create");
  }
  // The rest of the row is written with every state.
  Statement use = database_->Use("INSERT INTO meta VALUES (1, ?, ?, 0, x'')");
  use.Bind(kStoreFormat).Bind(std::as_bytes(std::span(options_.vm.octets)));
  if (use.Step() != SQLITE_DONE || WriteState(first) != SQLITE_OK ||
      database_->Run("COMMIT") != SQLITE_OK) {
    return Trouble("cannot create");
  }
  VTEE_TRY(SyncDirectory(options_.dir));
  state_ = first;
  uncertain_ = false;
  return {};
}

// Whose state it is, for a sentence that says so; what the state is bound to decides.
Status SqliteStore::CheckMeta() {
  Statement use = database_->Use("SELECT format, vm FROM meta WHERE id = 1");
  if (use.Step() != SQLITE_ROW) {
    return Refused(path_ + " is damaged or no store of vtee: put back the newest copy of it");
  }
  if (use.Int(0) != kStoreFormat) {
    return Refused(path_ + " has format " + std::to_string(use.Int(0)) +
                   ", this version of vtee knows only 1: use the version that wrote it");
  }
  tee::Uuid owner;
  const ConstBytes vm = use.Blob(1);
  if (vm.size() == owner.octets.size()) {
    std::copy(vm.begin(), vm.end(), std::as_writable_bytes(std::span(owner.octets)).begin());
  }
  if (owner == options_.vm) return {};
  return Refused(path_ + " belongs to the VM " + tee::ToString(owner) + ", not to " +
                 tee::ToString(options_.vm) + ": give each VM its own directory");
}

Status SqliteStore::CheckState(const AnchorValue& anchored) {
  VTEE_TRY(CheckMeta());
  if (!ReloadState()) {
    return Refused(path_ +
                   " cannot be opened with this VM's key: it is from another VM or host, or it is "
                   "damaged; put back the newest copy of this VM's own");
  }
  StoreState sum;
  const std::uint32_t result = rows_.SumUp(sum);
  if (result == code::kStorageNotAvailable) return Trouble("cannot read");
  if (result != code::kSuccess || !SameSecret(sum.sum, state_.sum)) {
    return Refused(path_ +
                   " was changed by somebody else or is damaged: put back the newest copy of it "
                   "together with its -wal file");
  }
  return CheckAnchor(anchored);
}

Status SqliteStore::CheckAnchor(const AnchorValue& anchored) {
  const AnchorValue now = state_.Anchored(keys_.anchor);
  if (now == anchored) return {};
  // A crash between the commit and the anchor.
  if (anchored.epoch + 1 == now.epoch && anchored.state == state_.predecessor) return {};
  const std::string states = " (state " + std::to_string(now.epoch) + ", the anchor " +
                             options_.anchor->name() + " has " + std::to_string(anchored.epoch) +
                             ")";
  if (now.epoch < anchored.epoch) {
    return Refused(path_ + " is older than what the VM last used" + states +
                   ": put back the newest copy, or, if going back is meant and safe, remove the "
                   "store and the anchor and begin anew");
  }
  return Refused(path_ + " does not follow from what the VM last used" + states +
                 ": the anchor was lost or put back, or the store is from another line of "
                 "history; put back the anchor and the store that belong together");
}

int SqliteStore::WriteState(const StoreState& state) {
  Sealed sealed;
  if (!Seal(keys_.StateKeyOf(state.epoch), StateContext(options_.vm, state.epoch), state.Encode(),
            sealed)) {
    return SQLITE_IOERR;
  }
  Statement use = database_->Use("UPDATE meta SET epoch = ?, state = ? WHERE id = 1");
  const int result = use.Bind(state.epoch).Bind(sealed).Step();
  return result == SQLITE_DONE ? SQLITE_OK : result;
}

bool SqliteStore::ReloadState() {
  Statement use = database_->Use("SELECT epoch, state FROM meta WHERE id = 1");
  if (use.Step() != SQLITE_ROW) return false;
  const std::uint64_t epoch = use.Unsigned(0);
  SecretBytes plain;
  StoreState state;
  if (!Unseal(keys_.StateKeyOf(epoch), StateContext(options_.vm, epoch), use.Blob(1), plain) ||
      !state.Decode(plain) || state.epoch != epoch) {
    return false;
  }
  state_ = state;
  uncertain_ = false;
  return true;
}

bool SqliteStore::ReachAnchor() {
  const AnchorValue now = state_.Anchored(keys_.anchor);
  if (now == reached_) return true;
  if (!options_.anchor->Advance(now).ok()) return false;
  reached_ = now;
  return true;
}

bool SqliteStore::Ready() {
  if (database_->InTransaction() && database_->Run("ROLLBACK") != SQLITE_OK) return false;
  if (uncertain_) {
    // Nothing but the last committed state, or the one after it, can be there.
    const StoreState before = state_;
    if (!ReloadState()) return false;
    const AnchorValue known = before.Anchored(keys_.anchor);
    const bool follows = state_.epoch == before.epoch + 1 && state_.predecessor == known.state;
    if (state_.Anchored(keys_.anchor) != known && !follows) {
      state_ = before;
      uncertain_ = true;
      return false;
    }
  }
  return ReachAnchor();
}

}  // namespace vtee::ta
