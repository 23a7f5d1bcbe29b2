// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/store_rows.h"

#include <algorithm>

namespace vtee::ta {
namespace {

namespace code = tee::code;

// A block's key in its table: the object's number and the block's. Objects end at 4 GiB.
constexpr unsigned int kBlockBits = 20;
constexpr std::uint64_t kMostObjects = std::uint64_t{1} << (63 - kBlockBits);

std::uint64_t BlockPlace(std::uint64_t object, std::uint64_t block) {
  return object << kBlockBits | block;
}

ConstBytes SealOf(ConstBytes sealed) { return sealed.first(std::min(sealed.size(), kSealBytes)); }

std::vector<std::byte> Copy(ConstBytes bytes) { return {bytes.begin(), bytes.end()}; }

bool TakeDigest(ConstBytes bytes, Digest& digest) {
  if (bytes.size() != digest.size()) return false;
  std::copy(bytes.begin(), bytes.end(), digest.begin());
  return true;
}

constexpr const char* kSelectColumns =
    "SELECT owner, name_index, number, epoch, charge, name, record FROM objects";
constexpr const char* kFindObject =
    "SELECT owner, name_index, number, epoch, charge, name, record FROM objects "
    "WHERE owner = ? AND name_index = ?";
constexpr const char* kListObjects =
    "SELECT owner, name_index, number, epoch, charge, name, record FROM objects WHERE owner = ?";

// The sealed parts of a row, in RowContext().
constexpr char kName = 'N';
constexpr char kRecord = 'R';

bool TakeRow(const Statement& use, ObjectRow& row) {
  row.number = use.Unsigned(2);
  row.epoch = use.Unsigned(3);
  row.charge = use.Unsigned(4);
  row.name = Copy(use.Blob(5));
  row.record = Copy(use.Blob(6));
  return TakeDigest(use.Blob(0), row.place.owner) && TakeDigest(use.Blob(1), row.place.name);
}

struct ValueTable {
  char name;  // in hashes
  const char* get;
  const char* put;
};

constexpr ValueTable kVersions{'V', "SELECT value FROM ta_versions WHERE ta = ?",
                               "REPLACE INTO ta_versions (ta, value) VALUES (?, ?)"};
constexpr ValueTable kTimes{'T', "SELECT value FROM ta_times WHERE ta = ?",
                            "REPLACE INTO ta_times (ta, value) VALUES (?, ?)"};

const ValueTable& TableOf(StoreRows::ValueKind kind) {
  return kind == StoreRows::ValueKind::kTimeOffset ? kTimes : kVersions;
}

SecretBytes ValueKey(StoreRows::ValueKind kind, const tee::Uuid& ta) {
  return Encoder(static_cast<char>(kind)).Bytes(std::as_bytes(std::span(ta.octets))).bytes();
}

}  // namespace

std::uint32_t CodeOfSqlite(int result) {
  switch (result & 0xFF) {
    case SQLITE_OK:
    case SQLITE_DONE:
    case SQLITE_ROW:
      return code::kSuccess;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return kCorruptObject;
    default:
      return code::kStorageNotAvailable;
  }
}

Digest StoreRows::OwnerOf(const tee::Uuid& ta, std::uint32_t storage) const {
  return Hmac(keys_.index,
              Encoder('O').Bytes(std::as_bytes(std::span(ta.octets))).U32(storage).bytes());
}

ObjectPlace StoreRows::PlaceOf(const ObjectKey& key) const {
  ObjectPlace place;
  place.owner = OwnerOf(key.ta, key.storage);
  place.name = Hmac(keys_.index, Encoder('N').Bytes(place.owner).Bytes(key.id).bytes());
  return place;
}

Digest StoreRows::HashOf(const ObjectRow& row) const {
  return Hmac(keys_.row, Encoder('O')
                             .Bytes(row.place.owner)
                             .Bytes(row.place.name)
                             .U64(row.number)
                             .U64(row.epoch)
                             .U64(row.charge)
                             .U64(row.name.size())
                             .U64(row.record.size())
                             .Bytes(SealOf(row.name))
                             .Bytes(SealOf(row.record))
                             .bytes());
}

Digest StoreRows::HashOfBlock(std::uint64_t place, std::uint64_t epoch, ConstBytes seal) const {
  return Hmac(keys_.row, Encoder('B').U64(place).U64(epoch).Bytes(seal).bytes());
}

Digest StoreRows::HashOfValue(char table, ConstBytes key, std::int64_t value) const {
  return Hmac(keys_.row, Encoder(table).U64(static_cast<std::uint64_t>(value)).Bytes(key).bytes());
}

SecretBytes StoreRows::RowContext(char part, const ObjectRow& row) const {
  return Encoder(part)
      .Bytes(std::as_bytes(std::span(vm_.octets)))
      .U64(row.number)
      .U64(row.epoch)
      .Bytes(row.place.owner)
      .Bytes(row.place.name)
      .bytes();
}

SecretBytes StoreRows::BlockContext(std::uint64_t place, std::uint64_t epoch) const {
  return Encoder('B').Bytes(std::as_bytes(std::span(vm_.octets))).U64(place).U64(epoch).bytes();
}

std::uint32_t StoreRows::Find(const ObjectPlace& place, ObjectRow& row) {
  Statement use = database_.Use(kFindObject);
  const int result = use.Bind(place.owner).Bind(place.name).Step();
  if (result == SQLITE_DONE) return code::kItemNotFound;
  if (result != SQLITE_ROW) return CodeOfSqlite(result);
  return TakeRow(use, row) && row.place == place ? code::kSuccess : kCorruptObject;
}

std::uint32_t StoreRows::OpenRecord(const ObjectRow& row, ObjectRecord& record) {
  SecretBytes plain;
  if (!Unseal(keys_.DataKey(row.number, row.epoch), RowContext(kRecord, row), row.record, plain)) {
    return kCorruptObject;
  }
  Decoder decoder(plain);
  record.usage = decoder.U32();
  record.size = decoder.U64();
  record.object = Secret(decoder.rest());
  return decoder.ok() ? code::kSuccess : kCorruptObject;
}

std::uint32_t StoreRows::Insert(ObjectRow& row, const ObjectId& id, const ObjectRecord& record,
                                StoreState& state) {
  if (row.number >= kMostObjects) return kStorageNoSpace;
  row.epoch = state.epoch;
  const SecretBytes key = keys_.DataKey(row.number, row.epoch);
  // All names are stored alike, whatever their length.
  SecretBytes name(1 + kMostObjectId);
  name[0] = static_cast<std::byte>(id.size());
  std::copy(id.begin(), id.end(), name.begin() + 1);
  const SecretBytes plain =
      Encoder().U32(record.usage).U64(record.size).Bytes(record.object).bytes();
  if (!Seal(key, RowContext(kName, row), name, row.name) ||
      !Seal(key, RowContext(kRecord, row), plain, row.record)) {
    return code::kStorageNotAvailable;
  }
  Statement use = database_.Use(
      "INSERT INTO objects (owner, name_index, number, epoch, charge, name, record) "
      "VALUES (?, ?, ?, ?, ?, ?, ?)");
  use.Bind(row.place.owner).Bind(row.place.name).Bind(row.number).Bind(row.epoch);
  const int result = use.Bind(row.charge).Bind(row.name).Bind(row.record).Step();
  if (result == SQLITE_DONE) state.Add(HashOf(row));
  return CodeOfSqlite(result);
}

std::uint32_t StoreRows::Erase(const ObjectRow& row, StoreState& state) {
  Statement use = database_.Use("DELETE FROM objects WHERE owner = ? AND name_index = ?");
  const int result = use.Bind(row.place.owner).Bind(row.place.name).Step();
  if (result == SQLITE_DONE) state.Subtract(HashOf(row));
  return CodeOfSqlite(result);
}

std::uint32_t StoreRows::List(const Digest& owner, std::vector<ObjectId>& ids) {
  Statement use = database_.Use(kListObjects);
  use.Bind(owner);
  int result = SQLITE_OK;
  while ((result = use.Step()) == SQLITE_ROW) {
    ObjectRow row;
    SecretBytes name;
    if (!TakeRow(use, row) ||
        !Unseal(keys_.DataKey(row.number, row.epoch), RowContext(kName, row), row.name, name) ||
        name.empty() || std::to_integer<std::size_t>(name[0]) >= name.size()) {
      return kCorruptObject;
    }
    ids.emplace_back(name.begin() + 1, name.begin() + 1 + std::to_integer<int>(name[0]));
  }
  return CodeOfSqlite(result);
}

std::uint32_t StoreRows::GetBlock(std::uint64_t object, std::uint64_t block, SecretBytes& plain) {
  const std::uint64_t place = BlockPlace(object, block);
  Statement use = database_.Use("SELECT epoch, seal, data FROM blocks WHERE place = ?");
  const int result = use.Bind(place).Step();
  if (result == SQLITE_DONE) return kCorruptObject;
  if (result != SQLITE_ROW) return CodeOfSqlite(result);
  Sealed sealed = Copy(use.Blob(1));
  const ConstBytes data = use.Blob(2);
  sealed.insert(sealed.end(), data.begin(), data.end());
  const std::uint64_t epoch = use.Unsigned(0);
  const bool good = sealed.size() <= kSealBytes + kBlockBytes &&
                    Unseal(keys_.DataKey(object, epoch), BlockContext(place, epoch), sealed, plain);
  return good ? code::kSuccess : kCorruptObject;
}

std::uint32_t StoreRows::ForgetBlock(std::uint64_t place, StoreState& state) {
  Statement use = database_.Use("SELECT epoch, seal FROM blocks WHERE place = ?");
  const int result = use.Bind(place).Step();
  if (result == SQLITE_ROW) state.Subtract(HashOfBlock(place, use.Unsigned(0), use.Blob(1)));
  return CodeOfSqlite(result);
}

std::uint32_t StoreRows::PutBlock(std::uint64_t object, std::uint64_t block, ConstBytes plain,
                                  StoreState& state) {
  const std::uint64_t place = BlockPlace(object, block);
  const std::uint32_t before = ForgetBlock(place, state);
  if (before != code::kSuccess) return before;
  Sealed sealed;
  if (!Seal(keys_.DataKey(object, state.epoch), BlockContext(place, state.epoch), plain, sealed)) {
    return code::kStorageNotAvailable;
  }
  const ConstBytes all(sealed);
  Statement use =
      database_.Use("REPLACE INTO blocks (place, epoch, seal, data) VALUES (?, ?, ?, ?)");
  use.Bind(place).Bind(state.epoch).Bind(SealOf(all)).Bind(all.subspan(kSealBytes));
  const int result = use.Step();
  if (result == SQLITE_DONE) state.Add(HashOfBlock(place, state.epoch, SealOf(all)));
  return CodeOfSqlite(result);
}

std::uint32_t StoreRows::EraseBlocks(std::uint64_t object, std::uint64_t first, StoreState& state) {
  const std::uint64_t begin = BlockPlace(object, first);
  const std::uint64_t end = BlockPlace(object + 1, 0);
  {
    Statement use =
        database_.Use("SELECT place, epoch, seal FROM blocks WHERE place >= ? AND place < ?");
    use.Bind(begin).Bind(end);
    int result = SQLITE_OK;
    while ((result = use.Step()) == SQLITE_ROW) {
      state.Subtract(HashOfBlock(use.Unsigned(0), use.Unsigned(1), use.Blob(2)));
    }
    if (result != SQLITE_DONE) return CodeOfSqlite(result);
  }
  Statement use = database_.Use("DELETE FROM blocks WHERE place >= ? AND place < ?");
  return CodeOfSqlite(use.Bind(begin).Bind(end).Step());
}

std::uint32_t StoreRows::GetValue(ValueKind kind, const tee::Uuid& ta,
                                  std::optional<std::int64_t>& value) {
  const SecretBytes key = ValueKey(kind, ta);
  Statement use = database_.Use(TableOf(kind).get);
  const int result = use.Bind(key).Step();
  value.reset();
  if (result == SQLITE_ROW) value = use.Int(0);
  return CodeOfSqlite(result);
}

std::uint32_t StoreRows::PutValue(ValueKind kind, const tee::Uuid& ta, std::int64_t value,
                                  StoreState& state) {
  const SecretBytes key = ValueKey(kind, ta);
  const ValueTable& table = TableOf(kind);
  std::optional<std::int64_t> before;
  const std::uint32_t got = GetValue(kind, ta, before);
  if (got != code::kSuccess) return got;
  Statement use = database_.Use(table.put);
  const int result = use.Bind(key).Bind(value).Step();
  if (result != SQLITE_DONE) return CodeOfSqlite(result);
  if (before) state.Subtract(HashOfValue(table.name, key, *before));
  state.Add(HashOfValue(table.name, key, value));
  return code::kSuccess;
}

int StoreRows::CreateTables() {
  return database_.Run(
      "CREATE TABLE meta (id INTEGER PRIMARY KEY, format INTEGER NOT NULL, vm BLOB NOT NULL, "
      "epoch INTEGER NOT NULL, state BLOB NOT NULL);"
      "CREATE TABLE objects (owner BLOB NOT NULL, name_index BLOB NOT NULL, "
      "number INTEGER NOT NULL, epoch INTEGER NOT NULL, charge INTEGER NOT NULL, "
      "name BLOB NOT NULL, record BLOB NOT NULL, PRIMARY KEY (owner, name_index)) WITHOUT ROWID;"
      "CREATE TABLE blocks (place INTEGER PRIMARY KEY, epoch INTEGER NOT NULL, "
      "seal BLOB NOT NULL, data BLOB NOT NULL);"
      "CREATE TABLE ta_versions (ta BLOB PRIMARY KEY NOT NULL, value INTEGER NOT NULL) "
      "WITHOUT ROWID;"
      "CREATE TABLE ta_times (ta BLOB PRIMARY KEY NOT NULL, value INTEGER NOT NULL) "
      "WITHOUT ROWID;");
}

std::uint32_t StoreRows::SumObjects(StoreState& state) {
  Statement use = database_.Use(kSelectColumns);
  ObjectPlace before;
  bool first = true;
  int result = SQLITE_OK;
  while ((result = use.Step()) == SQLITE_ROW) {
    ObjectRow row;
    if (!TakeRow(use, row)) return kCorruptObject;
    // What is out of order would not be found when it is looked for.
    const auto order = [](const ObjectPlace& place) { return std::pair(place.owner, place.name); };
    if (!first && order(before) >= order(row.place)) return kCorruptObject;
    first = false;
    before = row.place;
    state.Add(HashOf(row));
  }
  return CodeOfSqlite(result);
}

std::uint32_t StoreRows::SumBlocks(StoreState& state) {
  Statement use = database_.Use("SELECT place, epoch, seal FROM blocks");
  int result = SQLITE_OK;
  while ((result = use.Step()) == SQLITE_ROW) {
    state.Add(HashOfBlock(use.Unsigned(0), use.Unsigned(1), use.Blob(2)));
  }
  return CodeOfSqlite(result);
}

std::uint32_t StoreRows::SumValues(const char* sql, char table, StoreState& state) {
  Statement use = database_.Use(sql);
  int result = SQLITE_OK;
  while ((result = use.Step()) == SQLITE_ROW) {
    state.Add(HashOfValue(table, use.Blob(0), use.Int(1)));
  }
  return CodeOfSqlite(result);
}

std::uint32_t StoreRows::SumUp(StoreState& state) {
  for (const std::uint32_t result :
       {SumObjects(state), SumBlocks(state),
        SumValues("SELECT ta, value FROM ta_versions", kVersions.name, state),
        SumValues("SELECT ta, value FROM ta_times", kTimes.name, state)}) {
    if (result != code::kSuccess) return result;
  }
  return code::kSuccess;
}

}  // namespace vtee::ta
