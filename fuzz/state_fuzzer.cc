// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes vteed's opening of a VM's state that somebody has had in their hands: rows of the
// database, the root key, the anchor, the host's key; and, sealed with the right keys, whatever
// plain text a row can have.
//
// Input: edits, see Edit, then what is done with the state. What must hold: it is refused with a
// sentence, or each object is what it was or is CORRUPT_OBJECT; none is lost, and what vteed has
// opened and changed opens again. With texts that were sealed by the fuzzer, no more than codes.
// SQLite's own file format is not attacked here.
#include <sqlite3.h>

#include "good_state.h"
#include "ta/storage/anchor.h"
#include "ta/storage/state_backup.h"
#include "ta/storage/state_summary.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;
namespace fs = std::filesystem;

enum class Edit : std::uint8_t { kRow, kFile, kSealed, kMeta, kLose, kEdits };
constexpr std::size_t kMaxEdits = 6;
constexpr std::size_t kMostText = 8192;

struct Table {
  const char* name;
  const char* key;
  std::array<const char*, 7> columns;
};
constexpr std::array<Table, 5> kTables = {{
    {"meta", "id", {"format", "vm", "epoch", "state", "id", "state", "epoch"}},
    {"objects",
     "name_index",
     {"owner", "name_index", "number", "epoch", "charge", "name", "record"}},
    {"blocks", "place", {"place", "epoch", "seal", "data", "seal", "data", "epoch"}},
    {"ta_versions", "ta", {"ta", "value", "value", "value", "value", "value", "value"}},
    {"ta_times", "ta", {"ta", "value", "value", "value", "value", "value", "value"}},
}};

// A connection of whoever has the file.
class Intruder {
 public:
  explicit Intruder(const std::string& folder) {
    Require(sqlite3_open(StatePaths(folder).database().c_str(), &connection_) == SQLITE_OK);
  }
  ~Intruder() { sqlite3_close(connection_); }
  Intruder(const Intruder&) = delete;
  Intruder& operator=(const Intruder&) = delete;

  // Runs it with what `bind` gives it; what SQLite refuses has not happened.
  template <typename Bind>
  void Run(const std::string& sql, const Bind& bind) {
    sqlite3_stmt* statement = nullptr;
    if (sqlite3_prepare_v2(connection_, sql.c_str(), -1, &statement, nullptr) != SQLITE_OK) return;
    bind(statement);
    while (sqlite3_step(statement) == SQLITE_ROW) {
    }
    sqlite3_finalize(statement);
  }

 private:
  sqlite3* connection_ = nullptr;
};

// A value of any of SQLite's types.
void BindAny(sqlite3_stmt* statement, Input& input) {
  const auto type = input.Take<std::uint8_t>() % 5;
  if (type == 0) {
    sqlite3_bind_int64(statement, 1, input.Take<std::int64_t>());
  } else if (type == 1) {
    sqlite3_bind_double(statement, 1, input.Take<double>());
  } else if (type == 2) {
    sqlite3_bind_zeroblob(statement, 1, input.Take<std::uint16_t>());
  } else {
    const auto bytes = input.TakeBytes(input.Take<std::uint8_t>());
    if (type == 3) {
      sqlite3_bind_blob(statement, 1, bytes.data(), static_cast<int>(bytes.size()),
                        SQLITE_TRANSIENT);
    } else {
      sqlite3_bind_text(statement, 1, reinterpret_cast<const char*>(bytes.data()),
                        static_cast<int>(bytes.size()), SQLITE_TRANSIENT);
    }
  }
}

class Attack {
 public:
  Attack(const GoodState& good, std::string folder, Input input)
      : good_(good), folder_(std::move(folder)), input_(input) {}

  void Run() {
    good_.PutTo(folder_);
    const auto first = input_.Take<std::uint8_t>();
    const std::size_t edits = 1 + (first & 0x7F) % kMaxEdits;
    for (std::size_t i = 0; i < edits && !input_.empty(); ++i) Spoil();
    if (forged_) Balance();
    if ((first & 0x80) != 0) Look();  // it takes as long as all the rest
    auto opened = GoodState::Open(folder_);
    if (!opened.ok()) return Require(!opened.error().message.empty());
    if (!forged_) CheckObjects(**opened);
    Use(**opened);
    opened->reset();
    if (!forged_) Require(GoodState::Open(folder_).ok());
  }

 private:
  void Spoil() {
    switch (
        static_cast<Edit>(input_.Take<std::uint8_t>() % static_cast<std::uint8_t>(Edit::kEdits))) {
      case Edit::kRow:
        return SpoilRow();
      case Edit::kFile:
        return SpoilFile();
      case Edit::kSealed:
        return ForgeRow();
      case Edit::kMeta:
        return ForgeState();
      default:
        return Lose();
    }
  }

  void SpoilRow() {
    const Table& table = kTables[input_.Take<std::uint8_t>() % kTables.size()];
    const std::string column = table.columns[input_.Take<std::uint8_t>() % table.columns.size()];
    const std::string key = table.key;
    const std::string row = " WHERE " + key + " = (SELECT " + key + " FROM " + table.name +
                            " LIMIT 1 OFFSET " + std::to_string(input_.Take<std::uint8_t>() % 3) +
                            ")";
    const std::string name = table.name;
    switch (input_.Take<std::uint8_t>() % 4) {
      case 0:
        return Intruder(folder_).Run("DELETE FROM " + name + row, [](sqlite3_stmt*) {});
      case 1:
        return Intruder(folder_).Run(
            "UPDATE OR IGNORE " + name + " SET " + column + " = substr(" + column + ", 1, ?)" + row,
            [&](sqlite3_stmt* use) { sqlite3_bind_int(use, 1, input_.Take<std::uint8_t>()); });
      case 2:
        return Intruder(folder_).Run(
            "UPDATE OR IGNORE " + name + " SET " + column + " = " + column + " + ?" + row,
            [&](sqlite3_stmt* use) { sqlite3_bind_int64(use, 1, input_.Take<std::int16_t>()); });
      default:
        return Intruder(folder_).Run("UPDATE OR IGNORE " + name + " SET " + column + " = ?" + row,
                                     [&](sqlite3_stmt* use) { BindAny(use, input_); });
    }
  }

  // The root key, the anchor or the host's key.
  void SpoilFile() {
    constexpr std::array<std::string_view, 3> kNames = {"/root.sealed", ".anchor", ".key"};
    const std::string path = folder_ + std::string(kNames[input_.Take<std::uint8_t>() % 3]);
    SecretBytes bytes = GetFile(path);
    const auto how = input_.Take<std::uint8_t>() % 4;
    if (how == 0) {
      bytes.resize(input_.Take<std::uint16_t>());
    } else if (how == 1) {
      const auto text = input_.TakeBytes(input_.Take<std::uint8_t>());
      bytes.assign(text.begin(), text.end());
    } else {
      const std::size_t at = input_.Take<std::uint16_t>() % (bytes.size() + 1);
      const auto patch = input_.TakeBytes(how == 2 ? 1 : input_.Take<std::uint8_t>());
      bytes.resize(std::max(bytes.size(), at + patch.size()));
      std::ranges::copy(patch, bytes.begin() + static_cast<std::ptrdiff_t>(at));
    }
    PutFile(path, bytes);
  }

  // One file. Without both the database and the anchor nothing says that there ever was a state;
  // docs/user-tee.md has what helps against that.
  void Lose() {
    if (lost_) return;
    lost_ = true;
    fs::remove(folder_ + std::string(GoodState::kFiles[input_.Take<std::uint8_t>() % 4]));
  }

  bool HasDatabase() const { return fs::exists(StatePaths(folder_).database()); }

  // A text of a row, sealed as vteed would have sealed it.
  void ForgeRow() {
    if (!HasDatabase()) return;
    auto database = Database::Open(StatePaths(folder_).database(), nullptr);
    if (!database.ok()) return;
    forged_ = true;
    const auto part = input_.Take<std::uint8_t>() % 3;
    const auto number = input_.Take<std::uint8_t>() % 3;
    const SecretBytes text = Text();
    Sealed sealed;
    if (part == 2) return ForgeBlock(**database, number, text);
    SecretBytes name_index;
    {
      Statement use =
          (*database)->Use("SELECT owner, name_index, number, epoch FROM objects LIMIT 1 OFFSET ?");
      if (use.Bind(std::int64_t{number}).Step() != SQLITE_ROW) return;
      name_index = Secret(use.Blob(1));
      const SecretBytes context = Encoder(part == 0 ? 'N' : 'R')
                                      .Bytes(VmBytes())
                                      .U64(use.Unsigned(2))
                                      .U64(use.Unsigned(3))
                                      .Bytes(use.Blob(0))
                                      .Bytes(use.Blob(1))
                                      .bytes();
      Require(Seal(keys_.DataKey(use.Unsigned(2), use.Unsigned(3)), context, text, sealed));
    }
    Statement use =
        (*database)->Use(part == 0 ? "UPDATE objects SET name = ? WHERE name_index = ?"
                                   : "UPDATE objects SET record = ? WHERE name_index = ?");
    static_cast<void>(use.Bind(sealed).Bind(name_index).Step());
  }

  void ForgeBlock(Database& database, int number, const SecretBytes& text) {
    Sealed sealed;
    std::uint64_t place = 0;
    {
      Statement use = database.Use("SELECT place, epoch FROM blocks LIMIT 1 OFFSET ?");
      if (use.Bind(std::int64_t{number}).Step() != SQLITE_ROW) return;
      place = use.Unsigned(0);
      const SecretBytes context =
          Encoder('B').Bytes(VmBytes()).U64(place).U64(use.Unsigned(1)).bytes();
      Require(Seal(keys_.DataKey(place >> 20, use.Unsigned(1)), context, text, sealed));
    }
    const ConstBytes all(sealed);
    Statement use = database.Use("UPDATE blocks SET seal = ?, data = ? WHERE place = ?");
    static_cast<void>(
        use.Bind(all.first(kSealBytes)).Bind(all.subspan(kSealBytes)).Bind(place).Step());
  }

  // What stands for the whole: Balance() seals it.
  void ForgeState() {
    forged_ = true;
    state_text_ = Text();
  }

  SecretBytes Text() {
    const bool small = input_.Take<std::uint8_t>() % 4 != 0;
    SecretBytes text(small ? input_.Take<std::uint8_t>()
                           : input_.Take<std::uint16_t>() % kMostText);
    const auto given = input_.TakeBytes(text.size());
    std::ranges::copy(given, text.begin());
    return text;
  }

  // Makes the sum, the state and the anchor fit what the rows have become.
  void Balance() {
    if (!HasDatabase()) return;
    auto database = Database::Open(StatePaths(folder_).database(), nullptr);
    if (!database.ok()) return;
    StoreRows rows(**database, keys_, vm_);
    StoreState sum;
    if (rows.SumUp(sum) != code::kSuccess) return;
    std::uint64_t epoch = 0;
    StoreState state;
    {
      Statement use = (*database)->Use("SELECT epoch, state FROM meta WHERE id = 1");
      SecretBytes plain;
      if (use.Step() != SQLITE_ROW) return;
      epoch = use.Unsigned(0);
      if (!Unseal(keys_.StateKeyOf(epoch), StateContext(epoch), use.Blob(1), plain)) return;
      Require(state.Decode(plain));
    }
    SecretBytes text = state_text_;
    if (text.empty() || state.Decode(text)) {
      if (!text.empty()) state.epoch = input_.Take<std::uint8_t>() != 0 ? epoch : state.epoch;
      state.sum = sum.sum;
      text = state.Encode();
    }
    Sealed sealed;
    Require(Seal(keys_.StateKeyOf(epoch), StateContext(epoch), text, sealed));
    Statement use = (*database)->Use("UPDATE meta SET state = ? WHERE id = 1");
    static_cast<void>(use.Bind(sealed).Step());
    FileAnchor anchor(StatePaths(folder_).anchor(), vm_, keys_.anchor);
    Require(anchor.Restart(state.Anchored(keys_.anchor)).ok());
  }

  SecretBytes StateContext(std::uint64_t epoch) const {
    return Encoder('M').Bytes(VmBytes()).U64(epoch).bytes();
  }
  ConstBytes VmBytes() const { return std::as_bytes(std::span(vm_.octets)); }

  // What `vtee state` does with a state: none of it ends the process.
  void Look() const {
    static_cast<void>(Summarize(folder_));
    const std::string file = folder_ + ".backup";
    const auto backup = BackUpState({folder_, file, "", true});
    Require(backup.ok() || !backup.error().message.empty());
    fs::remove(file);
  }

  static void CheckObjects(SqliteStore& store) {
    for (const std::string_view id : GoodState::kObjects) {
      const SecretBytes good = GoodState::DataOf(id);
      ObjectRecord record;
      SecretBytes data(good.size());
      std::uint64_t got = 0;
      const std::uint32_t loaded = store.Load(GoodState::Key(id), record);
      const std::uint32_t read = store.Read(GoodState::Key(id), 0, data, got);
      Require(loaded == code::kSuccess || loaded == kCorruptObject);
      Require(read == code::kSuccess || read == kCorruptObject);
      if (loaded == code::kSuccess) Require(record.size == good.size());
      if (read == code::kSuccess) Require(got == good.size() && data == good);
    }
  }

  static void Expect(std::uint32_t result) {
    Require(result == code::kSuccess || result == kCorruptObject || result == code::kItemNotFound ||
            result == kStorageNoSpace || result == code::kAccessConflict ||
            result == code::kStorageNotAvailable);
  }

  // What TAs may do with it.
  void Use(SqliteStore& store) {
    std::vector<ObjectId> ids;
    Expect(store.List(GoodState::Ta(), kPrivateStorage, ids));
    std::uint32_t newest = 0;
    std::optional<std::int64_t> millis;
    Expect(store.RaiseTaVersion(GoodState::Ta(), 5, newest));
    Expect(store.GetTimeOffset(GoodState::Ta(), millis));
    for (const std::string_view id : GoodState::kObjects) {
      const ObjectKey key = GoodState::Key(id);
      const std::uint64_t at = input_.Take<std::uint16_t>();
      ObjectRecord record;
      CryptoObject object;
      SecretBytes data(600);
      std::uint64_t got = 0;
      Expect(store.Read(key, at, data, got));
      Require(got <= data.size());
      if (store.Load(key, record) == code::kSuccess && object.Deserialize(record.object)) {
        Require(object.Serialize().size() <= record.object.size() + kMostText);
      }
      switch (input_.Take<std::uint8_t>() % 6) {
        case 0:
          Expect(store.Write(key, at, ConstBytes(data).first(10)));
          break;
        case 1:
          Expect(store.Truncate(key, at));
          break;
        case 2:
          Expect(store.Rename(key, GoodState::Key("c").id));
          break;
        case 3:
          Expect(store.SetUsage(key, 1));
          break;
        case 4:
          Expect(store.Create(key, {}, data, true));
          break;
        default:
          Expect(store.Remove(key));
          break;
      }
    }
  }

  const GoodState& good_;
  const std::string folder_;
  Input input_;
  const tee::Uuid vm_ = GoodState::Vm();
  const StoreKeys keys_{good_.storage_key(), vm_};
  SecretBytes state_text_;
  bool forged_ = false;
  bool lost_ = false;
};

}  // namespace
}  // namespace vtee::ta

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const vtee::ta::GoodState good;         // NOLINT
  static const vtee::ta::ScratchFolder scratch;  // NOLINT
  vtee::ta::Attack(good, scratch.path() + "/vm", {data, size}).Run();
  return 0;
}
