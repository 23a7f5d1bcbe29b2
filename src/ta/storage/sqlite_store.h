// SPDX-License-Identifier: BSD-3-Clause
// SqliteStore: the persistent objects of one VM's TAs, their versions and their clocks, in a
// directory of the host, encrypted, authenticated and safe from being put back to an older state.
//
// Every change is one SQLite transaction (WAL, synchronous=FULL) that counts the epoch up, followed
// by the anchor. A result other than success means that nothing was done, but for
// STORAGE_NOT_AVAILABLE: when the commit or the anchor itself fails, the change may be there later,
// as a whole. Until the anchor is reached again, all is STORAGE_NOT_AVAILABLE: no TA acts on a
// state that could be taken back.
// Open() checks every row, and the state against the anchor. What is damaged, foreign or old is
// refused with a sentence, never repaired or replaced.
// Threading: any thread; one mutex. Owns the anchor and the lock of the directory.
// Not supported: a second process; the same files changed by others while they are in use: that is
// found as CORRUPT_OBJECT, or at the next Open().
#pragma once

#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "ta/storage/anchor.h"
#include "ta/storage/database.h"
#include "ta/storage/object_store.h"
#include "ta/storage/store_rows.h"
#include "ta/storage/store_state.h"

namespace vtee::ta {

struct SqliteStoreOptions {
  std::string dir;  // made when it is not there
  tee::Uuid vm;
  std::string vm_name;             // for people who look at the directory
  SecretBytes root_key;            // StateKey::Derive("storage")
  std::unique_ptr<Anchor> anchor;  // none: a FileAnchor at anchor_path
  std::string anchor_path;         // empty: DIR.anchor, beside the directory
  AnchorCounting counting;         // of that FileAnchor
  std::uint64_t most_bytes = std::uint64_t{64} << 20;
  const char* vfs = nullptr;  // of SQLite; for tests
};

class SqliteStore final : public ObjectStore {
 public:
  static Result<std::unique_ptr<SqliteStore>> Open(SqliteStoreOptions options);
  ~SqliteStore() override = default;

  std::uint32_t Create(const ObjectKey& key, const ObjectRecord& record, ConstBytes data,
                       bool overwrite) override;
  std::uint32_t Load(const ObjectKey& key, ObjectRecord& record) override;
  std::uint32_t Read(const ObjectKey& key, std::uint64_t position, MutableBytes out,
                     std::uint64_t& got) override;
  std::uint32_t Write(const ObjectKey& key, std::uint64_t position, ConstBytes data) override;
  std::uint32_t Truncate(const ObjectKey& key, std::uint64_t size) override;
  std::uint32_t SetUsage(const ObjectKey& key, std::uint32_t usage) override;
  std::uint32_t Rename(const ObjectKey& key, const ObjectId& id) override;
  // Corrupt ones, too.
  std::uint32_t Remove(const ObjectKey& key) override;
  std::uint32_t List(const tee::Uuid& ta, std::uint32_t storage,
                     std::vector<ObjectId>& ids) override;

  // Versions of TAs and of subkeys are counted apart. 0: never seen.
  enum class VersionOf : std::uint8_t { kTa, kSubkey };
  std::uint32_t GetTaVersion(const tee::Uuid& ta, std::uint32_t& version,
                             VersionOf kind = VersionOf::kTa);
  // Remembers `version` if it is the newest. `newest`: what is remembered then.
  std::uint32_t RaiseTaVersion(const tee::Uuid& ta, std::uint32_t version, std::uint32_t& newest,
                               VersionOf kind = VersionOf::kTa);

  // Of the TA's persistent time; nothing: never set.
  std::uint32_t GetTimeOffset(const tee::Uuid& ta, std::optional<std::int64_t>& millis);
  std::uint32_t SetTimeOffset(const tee::Uuid& ta, std::int64_t millis);

  std::uint64_t epoch() const;
  std::uint64_t used_bytes() const;

 private:
  SqliteStore(SqliteStoreOptions options, UniqueFd lock, std::unique_ptr<Database> database);

  // Opening.
  Status Begin();
  Status CreateState(const AnchorValue& anchored);
  Status CheckState(const AnchorValue& anchored);
  Status CheckMeta();
  Status CheckAnchor(const AnchorValue& anchored);
  Result<bool> HasTables();
  Error Trouble(const std::string& what) const;

  // Under mutex_: true when calls can be served.
  bool Ready();
  bool ReloadState();
  int WriteState(const StoreState& state);
  bool ReachAnchor();
  // Runs `body(state)` in a transaction.
  template <typename Body>
  std::uint32_t Change(const Body& body);
  template <typename Body>
  std::uint32_t Look(const Body& body);

  std::uint32_t FindRecord(const ObjectKey& key, ObjectRow& row, ObjectRecord& record);
  // Replaces the row of an object by one with the new id and record.
  std::uint32_t Replace(ObjectRow& row, const ObjectKey& key, const ObjectRecord& record,
                        StoreState& state);
  std::uint32_t EraseObject(const ObjectRow& row, StoreState& state);
  std::uint32_t Patch(std::uint64_t object, std::uint64_t position, ConstBytes data,
                      std::uint64_t before, StoreState& state);
  std::uint32_t Resize(std::uint64_t object, std::uint64_t from, std::uint64_t to,
                       StoreState& state);
  std::uint32_t ReadData(std::uint64_t object, std::uint64_t position, MutableBytes out);
  std::uint32_t Charge(std::uint64_t& charge, const ObjectRecord& record, StoreState& state) const;

  SqliteStoreOptions options_;
  const std::string path_;
  const UniqueFd lock_;
  const StoreKeys keys_;
  mutable std::mutex mutex_;
  // Under mutex_.
  std::unique_ptr<Database> database_;
  StoreRows rows_;
  StoreState state_;       // as committed
  AnchorValue reached_;    // what the anchor remembers
  bool uncertain_ = true;  // state_ must be read again
};

}  // namespace vtee::ta
