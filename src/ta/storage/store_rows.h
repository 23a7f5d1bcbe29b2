// SPDX-License-Identifier: BSD-3-Clause
// StoreRows: the rows of a store, encrypted, and what each adds to the sum over all of them.
//
//   objects      one per object: HMACs of (TA, storage) and of the id, the id and the record sealed
//   blocks       4 KiB of an object's data each, sealed; what a block lacks at its end is zeros
//   ta_versions  the newest version seen of each TA
//   ta_times     the offset of each TA's persistent time
// The sum covers nonce and tag of what is sealed, and all else of a row: it can be checked without
// decrypting, and a damaged text makes only its object corrupt.
// Threading: as the Database. Changes belong in a transaction of the caller's. Results: TEE codes.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ta/storage/database.h"
#include "ta/storage/object_store.h"
#include "ta/storage/store_state.h"

namespace vtee::ta {

inline constexpr std::size_t kBlockBytes = 4096;

// The TEE's code for a result of SQLite's.
std::uint32_t CodeOfSqlite(int result);

struct ObjectPlace {
  Digest owner{};  // HMAC of TA and storage
  Digest name{};   // HMAC of those and the id
  friend bool operator==(const ObjectPlace&, const ObjectPlace&) = default;
};

// A row of `objects` as it is stored.
struct ObjectRow {
  ObjectPlace place;
  std::uint64_t number = 0;  // never used again
  std::uint64_t epoch = 0;   // when it was written: its generation
  std::uint64_t charge = 0;  // against the quota
  Sealed name;
  Sealed record;
};

class StoreRows {
 public:
  StoreRows(Database& database, const StoreKeys& keys, const tee::Uuid& vm)
      : database_(database), keys_(keys), vm_(vm) {}

  ObjectPlace PlaceOf(const ObjectKey& key) const;
  Digest OwnerOf(const tee::Uuid& ta, std::uint32_t storage) const;

  // ITEM_NOT_FOUND when there is none.
  std::uint32_t Find(const ObjectPlace& place, ObjectRow& row);
  std::uint32_t OpenRecord(const ObjectRow& row, ObjectRecord& record);
  // Seals id and record into `row` (whose epoch becomes the state's), and inserts it.
  std::uint32_t Insert(ObjectRow& row, const ObjectId& id, const ObjectRecord& record,
                       StoreState& state);
  std::uint32_t Erase(const ObjectRow& row, StoreState& state);
  std::uint32_t List(const Digest& owner, std::vector<ObjectId>& ids);

  // `plain`: up to kBlockBytes. A missing block is CORRUPT_OBJECT.
  std::uint32_t GetBlock(std::uint64_t object, std::uint64_t block, SecretBytes& plain);
  std::uint32_t PutBlock(std::uint64_t object, std::uint64_t block, ConstBytes plain,
                         StoreState& state);
  // All from block `first` on.
  std::uint32_t EraseBlocks(std::uint64_t object, std::uint64_t first, StoreState& state);

  enum class ValueKind : std::uint8_t { kTaVersion, kSubkeyVersion, kTimeOffset };
  std::uint32_t GetValue(ValueKind kind, const tee::Uuid& ta, std::optional<std::int64_t>& value);
  std::uint32_t PutValue(ValueKind kind, const tee::Uuid& ta, std::int64_t value,
                         StoreState& state);

  int CreateTables();  // SQLite's result
  // The sum of all rows, into an empty state. CORRUPT_OBJECT: they are not in order, either.
  std::uint32_t SumUp(StoreState& state);

 private:
  Digest HashOf(const ObjectRow& row) const;
  Digest HashOfBlock(std::uint64_t place, std::uint64_t epoch, ConstBytes seal) const;
  Digest HashOfValue(char table, ConstBytes key, std::int64_t value) const;
  SecretBytes RowContext(char part, const ObjectRow& row) const;
  SecretBytes BlockContext(std::uint64_t place, std::uint64_t epoch) const;
  std::uint32_t ForgetBlock(std::uint64_t place, StoreState& state);
  std::uint32_t SumObjects(StoreState& state);
  std::uint32_t SumBlocks(StoreState& state);
  std::uint32_t SumValues(const char* sql, char table, StoreState& state);

  Database& database_;
  const StoreKeys& keys_;
  const tee::Uuid& vm_;
};

}  // namespace vtee::ta
