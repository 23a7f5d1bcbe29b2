// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes `vtee state restore`: the backup's file, as somebody may have made or changed it.
//
// Input: how it is restored, then the file as it is, or its members, which get right headers and
// sums. What must hold: it is refused with a sentence and nothing is left of it, neither folder nor
// key nor a changed anchor; or a state of a VM is there, and if it was checked with the good
// state's own key, the objects are those of the good state or CORRUPT_OBJECT.

#include "good_state.h"
#include "ta/storage/state_archive.h"
#include "ta/storage/state_backup.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;
namespace fs = std::filesystem;

constexpr std::array<std::string_view, 6> kMembers = {archive::kRoot,   archive::kDatabase,
                                                      archive::kLog,    archive::kTpmKey,
                                                      archive::kAnchor, archive::kKey};

// How it is restored: bits of the input's first byte.
struct How {
  explicit How(std::uint8_t bits)
      : raw((bits & 1) != 0),
        accept_rollback((bits & 2) != 0),
        key_here((bits & 4) != 0),
        anchor_here((bits & 8) != 0) {}
  bool raw;              // the file is the input
  bool accept_rollback;  // as the option
  bool key_here;         // the good state's key and anchor are there already
  bool anchor_here;
};

class Attack {
 public:
  Attack(const GoodState& good, std::string folder, Input input)
      : good_(good), folder_(std::move(folder)), input_(input), how_(input_.Take<std::uint8_t>()) {}

  void Run() {
    Clear();
    const std::string file = folder_ + ".backup";
    if (how_.key_here) PutFile(folder_ + ".key", good_.File(".key"));
    if (how_.anchor_here) PutFile(folder_ + ".anchor", good_.File(".anchor"));
    if (how_.raw) {
      PutFile(file, input_.TakeRest());
    } else {
      MakeArchive(file);
    }
    const auto restored = RestoreState({file, folder_, "", how_.accept_rollback});
    Require(!fs::exists(folder_ + ".restoring"));
    if (restored.ok()) {
      CheckState(restored->checked);
    } else {
      Require(!restored.error().message.empty());
      RequireNothingDone();
    }
    Clear();
  }

 private:
  void Clear() const {
    fs::remove_all(folder_);
    for (const char* file : {".key", ".anchor", ".backup", ".made"}) fs::remove(folder_ + file);
  }

  // Members in any order and number, of the good state or not, with the sums that they have.
  void MakeArchive(const std::string& file) {
    std::vector<ArchiveMember> members;
    const std::size_t count = input_.Take<std::uint8_t>() % 8;
    for (std::size_t i = 0; i < count; ++i) {
      const std::string_view name = kMembers[input_.Take<std::uint8_t>() % kMembers.size()];
      members.push_back({name, "", Content(name)});
    }
    {
      auto draft = DraftFile::Create(folder_ + ".made");
      Require(draft.ok() && WriteArchive(*draft, members, GoodState::Vm()).ok());
      Require(draft->Publish().ok());
    }
    SecretBytes bytes = GetFile(folder_ + ".made");
    // Then some of it is changed all the same.
    for (auto changes = input_.Take<std::uint8_t>() % 3; changes != 0; --changes) {
      const std::size_t at = input_.Take<std::uint32_t>() % bytes.size();
      bytes[at] = input_.Take<std::byte>();
    }
    if (const auto cut = input_.Take<std::uint16_t>(); cut < bytes.size() && cut != 0) {
      bytes.resize(bytes.size() - cut);
    }
    PutFile(file, bytes);
  }

  SecretBytes Content(std::string_view name) {
    const auto kind = input_.Take<std::uint8_t>() % 4;
    if (kind == 0) return Secret(input_.TakeBytes(input_.Take<std::uint16_t>()));
    SecretBytes good;
    if (name == archive::kRoot) good = good_.File("/root.sealed");
    if (name == archive::kDatabase) good = good_.File("/objects.db");
    if (name == archive::kAnchor) good = good_.File(".anchor");
    if (name == archive::kKey) good = good_.File(".key");
    // SQLite's own format is not attacked here.
    if (kind == 1 || good.empty() || name == archive::kDatabase) return good;
    if (kind == 2) {
      good.resize(input_.Take<std::uint16_t>());
    } else {
      good[input_.Take<std::uint16_t>() % good.size()] = input_.Take<std::byte>();
    }
    return good;
  }

  void RequireNothingDone() const {
    Require(!fs::exists(folder_));
    Require(how_.key_here ? GetFile(folder_ + ".key") == good_.File(".key")
                          : !fs::exists(folder_ + ".key"));
    Require(how_.anchor_here ? GetFile(folder_ + ".anchor") == good_.File(".anchor")
                             : !fs::exists(folder_ + ".anchor"));
  }

  void CheckState(bool checked) const {
    // Nothing else says that it is the newest.
    Require(how_.accept_rollback || how_.anchor_here);
    Require(fs::exists(folder_ + "/root.sealed"));
    for (const auto& entry : fs::directory_iterator(folder_)) {
      const std::string name = entry.path().filename();
      Require(name == "lock" || name == "objects.db-shm" ||
              std::ranges::find(kMembers, name) != kMembers.end());
    }
    if (!checked) return Require(!how_.accept_rollback);
    const bool own =
        fs::exists(folder_ + ".key") && GetFile(folder_ + ".key") == good_.File(".key");
    const auto opened = GoodState::Open(folder_);
    if (!own) return;
    Require(opened.ok());
    // With this key nobody else can have sealed a root, and restoring makes none.
    Require(GetFile(folder_ + "/root.sealed") == good_.File("/root.sealed"));
    if ((*opened)->epoch() == 1) return;  // of a backup from before the first object
    for (const std::string_view id : GoodState::kObjects) {
      const SecretBytes good = GoodState::DataOf(id);
      SecretBytes data(good.size());
      std::uint64_t got = 0;
      const std::uint32_t read = (*opened)->Read(GoodState::Key(id), 0, data, got);
      Require(read == kCorruptObject ||
              (read == code::kSuccess && got == good.size() && data == good));
    }
  }

  const GoodState& good_;
  const std::string folder_;
  Input input_;
  const How how_;
};

}  // namespace
}  // namespace vtee::ta

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const vtee::ta::GoodState good;         // NOLINT
  static const vtee::ta::ScratchFolder scratch;  // NOLINT
  vtee::ta::Attack(good, scratch.path() + "/vm", {data, size}).Run();
  return 0;
}
