// SPDX-License-Identifier: BSD-3-Clause
// The operations; how a store is opened is in sqlite_store_open.cc.
#include "ta/storage/sqlite_store.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "base/checked.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

constexpr std::uint64_t kMostSize = std::uint64_t{1} << 32;

std::uint64_t BlocksOf(std::uint64_t size) { return (size + kBlockBytes - 1) / kBlockBytes; }

StoreRows::ValueKind KindOf(SqliteStore::VersionOf kind) {
  return kind == SqliteStore::VersionOf::kTa ? StoreRows::ValueKind::kTaVersion
                                             : StoreRows::ValueKind::kSubkeyVersion;
}

// A transaction is taken back unless it was committed, also when memory runs out inside.
class Undo {
 public:
  Undo(Database& database, bool& uncertain) : database_(database), uncertain_(uncertain) {}
  ~Undo() {
    if (!database_.InTransaction()) return;
    if (database_.Run("ROLLBACK") != SQLITE_OK) uncertain_ = true;
  }
  Undo(const Undo&) = delete;
  Undo& operator=(const Undo&) = delete;

 private:
  Database& database_;
  bool& uncertain_;
};

}  // namespace

template <typename Body>
std::uint32_t SqliteStore::Change(const Body& body) {
  const std::lock_guard lock(mutex_);
  if (!Ready()) return code::kStorageNotAvailable;
  const Undo undo(*database_, uncertain_);
  const int begun = database_->Run("BEGIN IMMEDIATE");
  if (begun != SQLITE_OK) return CodeOfSqlite(begun);
  StoreState state = state_;
  state.predecessor = state_.Anchored(keys_.anchor).state;
  ++state.epoch;
  const std::uint32_t result = body(state);
  if (result != code::kSuccess) return result;
  const int written = WriteState(state);
  if (written != SQLITE_OK) return CodeOfSqlite(written);
  // Whether a failed commit has happened is only seen by reading.
  uncertain_ = true;
  const int committed = database_->Run("COMMIT");
  if (committed != SQLITE_OK) return CodeOfSqlite(committed);
  state_ = state;
  uncertain_ = false;
  return ReachAnchor() ? code::kSuccess : code::kStorageNotAvailable;
}

template <typename Body>
std::uint32_t SqliteStore::Look(const Body& body) {
  const std::lock_guard lock(mutex_);
  return Ready() ? body() : code::kStorageNotAvailable;
}

std::uint32_t SqliteStore::FindRecord(const ObjectKey& key, ObjectRow& row, ObjectRecord& record) {
  const std::uint32_t result = rows_.Find(rows_.PlaceOf(key), row);
  return result == code::kSuccess ? rows_.OpenRecord(row, record) : result;
}

// Puts what the object costs now in the place of what it cost before.
std::uint32_t SqliteStore::Charge(std::uint64_t& charge, const ObjectRecord& record,
                                  StoreState& state) const {
  if (record.size > kMostSize) return kStorageNoSpace;
  const std::uint64_t now = kObjectCharge + record.object.size() + record.size;
  const std::uint64_t others = state.bytes - std::min(charge, state.bytes);
  if (now > charge && (others > options_.most_bytes || now > options_.most_bytes - others)) {
    return kStorageNoSpace;
  }
  state.bytes = others + now;
  charge = now;
  return code::kSuccess;
}

std::uint32_t SqliteStore::Replace(ObjectRow& row, const ObjectKey& key, const ObjectRecord& record,
                                   StoreState& state) {
  std::uint32_t result = rows_.Erase(row, state);
  if (result == code::kSuccess) result = Charge(row.charge, record, state);
  row.place = rows_.PlaceOf(key);
  if (result == code::kSuccess) result = rows_.Insert(row, key.id, record, state);
  return result;
}

std::uint32_t SqliteStore::EraseObject(const ObjectRow& row, StoreState& state) {
  state.bytes -= std::min(row.charge, state.bytes);
  const std::uint32_t result = rows_.EraseBlocks(row.number, 0, state);
  return result == code::kSuccess ? rows_.Erase(row, state) : result;
}

// Writes to an object that has the blocks of its first `before` bytes, and all below `position`.
std::uint32_t SqliteStore::Patch(std::uint64_t object, std::uint64_t position, ConstBytes data,
                                 std::uint64_t before, StoreState& state) {
  SecretBytes plain;
  while (!data.empty()) {
    const std::uint64_t block = position / kBlockBytes;
    const std::size_t offset = position % kBlockBytes;
    const std::size_t part = std::min(data.size(), kBlockBytes - offset);
    plain.clear();
    const bool whole = offset == 0 && (part == kBlockBytes || position + part >= before);
    if (!whole && block < BlocksOf(before)) {
      const std::uint32_t result = rows_.GetBlock(object, block, plain);
      if (result != code::kSuccess) return result;
    }
    if (plain.size() < offset + part) plain.resize(offset + part);
    std::memcpy(plain.data() + offset, data.data(), part);
    const std::uint32_t result = rows_.PutBlock(object, block, plain, state);
    if (result != code::kSuccess) return result;
    position += part;
    data = data.subspan(part);
  }
  return code::kSuccess;
}

// New blocks are empty, which stands for zeros; what is cut off must not come back as data.
std::uint32_t SqliteStore::Resize(std::uint64_t object, std::uint64_t from, std::uint64_t to,
                                  StoreState& state) {
  for (std::uint64_t block = BlocksOf(from); block < BlocksOf(to); ++block) {
    const std::uint32_t result = rows_.PutBlock(object, block, {}, state);
    if (result != code::kSuccess) return result;
  }
  if (to >= from) return code::kSuccess;
  const std::uint32_t erased = rows_.EraseBlocks(object, BlocksOf(to), state);
  const std::size_t tail = to % kBlockBytes;
  if (erased != code::kSuccess || tail == 0) return erased;
  SecretBytes plain;
  const std::uint32_t result = rows_.GetBlock(object, to / kBlockBytes, plain);
  if (result != code::kSuccess || plain.size() <= tail) return result;
  return rows_.PutBlock(object, to / kBlockBytes, ConstBytes(plain).first(tail), state);
}

std::uint32_t SqliteStore::ReadData(std::uint64_t object, std::uint64_t position,
                                    MutableBytes out) {
  SecretBytes plain;
  while (!out.empty()) {
    const std::size_t offset = position % kBlockBytes;
    const std::size_t part = std::min(out.size(), kBlockBytes - offset);
    const std::uint32_t result = rows_.GetBlock(object, position / kBlockBytes, plain);
    if (result != code::kSuccess) return result;
    plain.resize(kBlockBytes);
    std::memcpy(out.data(), plain.data() + offset, part);
    position += part;
    out = out.subspan(part);
  }
  return code::kSuccess;
}

std::uint32_t SqliteStore::Create(const ObjectKey& key, const ObjectRecord& record, ConstBytes data,
                                  bool overwrite) {
  if (key.id.size() > kMostObjectId) return code::kBadParameters;
  return Change([&](StoreState& state) {
    ObjectRow row;
    std::uint32_t result = rows_.Find(rows_.PlaceOf(key), row);
    if (result == code::kSuccess) {
      if (!overwrite) return code::kAccessConflict;
      result = EraseObject(row, state);
    } else if (result == code::kItemNotFound) {
      result = code::kSuccess;
    }
    if (result != code::kSuccess) return result;
    ObjectRow made;
    made.place = rows_.PlaceOf(key);
    made.number = state.next_object++;
    ObjectRecord stored{record.object, record.usage, data.size()};
    result = Charge(made.charge, stored, state);
    if (result == code::kSuccess) result = rows_.Insert(made, key.id, stored, state);
    return result == code::kSuccess ? Patch(made.number, 0, data, 0, state) : result;
  });
}

std::uint32_t SqliteStore::Load(const ObjectKey& key, ObjectRecord& record) {
  return Look([&] {
    ObjectRow row;
    return FindRecord(key, row, record);
  });
}

std::uint32_t SqliteStore::Read(const ObjectKey& key, std::uint64_t position, MutableBytes out,
                                std::uint64_t& got) {
  got = 0;
  return Look([&] {
    ObjectRow row;
    ObjectRecord record;
    std::uint32_t result = FindRecord(key, row, record);
    if (result != code::kSuccess || position >= record.size) return result;
    const std::uint64_t size = std::min<std::uint64_t>(out.size(), record.size - position);
    result = ReadData(row.number, position, out.first(size));
    if (result == code::kSuccess) got = size;
    return result;
  });
}

std::uint32_t SqliteStore::Write(const ObjectKey& key, std::uint64_t position, ConstBytes data) {
  const auto end = CheckedAdd<std::uint64_t>(position, data.size());
  if (!end) return kStorageNoSpace;
  return Change([&](StoreState& state) {
    ObjectRow row;
    ObjectRecord record;
    std::uint32_t result = FindRecord(key, row, record);
    if (result != code::kSuccess) return result;
    const std::uint64_t before = record.size;
    if (*end > before) {
      record.size = *end;
      result = Replace(row, key, record, state);
      // The blocks of the gap; Patch() makes those of the data.
      const std::uint64_t gap = data.empty() ? *end : position - position % kBlockBytes;
      if (result == code::kSuccess && gap > before) {
        result = Resize(row.number, before, gap, state);
      }
      if (result != code::kSuccess) return result;
    }
    return Patch(row.number, position, data, before, state);
  });
}

std::uint32_t SqliteStore::Truncate(const ObjectKey& key, std::uint64_t size) {
  return Change([&](StoreState& state) {
    ObjectRow row;
    ObjectRecord record;
    std::uint32_t result = FindRecord(key, row, record);
    if (result != code::kSuccess) return result;
    const std::uint64_t before = std::exchange(record.size, size);
    result = Replace(row, key, record, state);
    return result == code::kSuccess ? Resize(row.number, before, size, state) : result;
  });
}

std::uint32_t SqliteStore::SetUsage(const ObjectKey& key, std::uint32_t usage) {
  return Change([&](StoreState& state) {
    ObjectRow row;
    ObjectRecord record;
    const std::uint32_t result = FindRecord(key, row, record);
    if (result != code::kSuccess) return result;
    record.usage = usage;
    return Replace(row, key, record, state);
  });
}

std::uint32_t SqliteStore::Rename(const ObjectKey& key, const ObjectId& id) {
  if (id.size() > kMostObjectId) return code::kBadParameters;
  return Change([&](StoreState& state) {
    const ObjectKey to{key.ta, id, key.storage};
    ObjectRow row;
    ObjectRecord record;
    const std::uint32_t result = FindRecord(key, row, record);
    if (result != code::kSuccess) return result;
    ObjectRow other;
    const std::uint32_t there = rows_.Find(rows_.PlaceOf(to), other);
    if (there == code::kSuccess) return code::kAccessConflict;
    return there == code::kItemNotFound ? Replace(row, to, record, state) : there;
  });
}

std::uint32_t SqliteStore::Remove(const ObjectKey& key) {
  return Change([&](StoreState& state) {
    ObjectRow row;
    const std::uint32_t result = rows_.Find(rows_.PlaceOf(key), row);
    return result == code::kSuccess ? EraseObject(row, state) : result;
  });
}

std::uint32_t SqliteStore::List(const tee::Uuid& ta, std::uint32_t storage,
                                std::vector<ObjectId>& ids) {
  return Look([&] { return rows_.List(rows_.OwnerOf(ta, storage), ids); });
}

std::uint32_t SqliteStore::GetTaVersion(const tee::Uuid& ta, std::uint32_t& version,
                                        VersionOf kind) {
  return Look([&] {
    std::optional<std::int64_t> value;
    const std::uint32_t result = rows_.GetValue(KindOf(kind), ta, value);
    version = static_cast<std::uint32_t>(value.value_or(0));
    return result;
  });
}

std::uint32_t SqliteStore::RaiseTaVersion(const tee::Uuid& ta, std::uint32_t version,
                                          std::uint32_t& newest, VersionOf kind) {
  // Most loads bring nothing new, and cost no transaction.
  std::uint32_t result = GetTaVersion(ta, newest, kind);
  if (result != code::kSuccess || newest >= version) return result;
  std::uint32_t highest = version;
  result = Change([&](StoreState& state) {
    std::optional<std::int64_t> value;
    const std::uint32_t got = rows_.GetValue(KindOf(kind), ta, value);
    if (got != code::kSuccess) return got;
    highest = std::max(version, static_cast<std::uint32_t>(value.value_or(0)));
    return rows_.PutValue(KindOf(kind), ta, highest, state);
  });
  if (result == code::kSuccess) newest = highest;
  return result;
}

std::uint32_t SqliteStore::GetTimeOffset(const tee::Uuid& ta, std::optional<std::int64_t>& millis) {
  return Look([&] { return rows_.GetValue(StoreRows::ValueKind::kTimeOffset, ta, millis); });
}

std::uint32_t SqliteStore::SetTimeOffset(const tee::Uuid& ta, std::int64_t millis) {
  return Change([&](StoreState& state) {
    return rows_.PutValue(StoreRows::ValueKind::kTimeOffset, ta, millis, state);
  });
}

std::uint64_t SqliteStore::epoch() const {
  const std::lock_guard lock(mutex_);
  return state_.epoch;
}

std::uint64_t SqliteStore::used_bytes() const {
  const std::lock_guard lock(mutex_);
  return state_.bytes;
}

}  // namespace vtee::ta
