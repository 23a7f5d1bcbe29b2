// SPDX-License-Identifier: BSD-3-Clause
// Anchor: remembers, outside of the store, which state of the store is the newest, so that an older
// copy of it is told from the real one.
//
// Threading: the store calls it from any thread, one at a time.
// Not supported: a FileAnchor without a counter does not help against who puts back the anchor's
// file, too: place it where the store's backups and snapshots do not reach.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "ta/storage/rollback_counter.h"
#include "ta/storage/seal.h"
#include "tee/types.h"

namespace vtee::ta {

struct AnchorValue {
  std::uint64_t epoch = 0;  // 0: there has never been a state
  Digest state{};
  friend bool operator==(const AnchorValue&, const AnchorValue&) = default;
};

class Anchor {
 public:
  virtual ~Anchor() = default;
  virtual Result<AnchorValue> Read() = 0;
  // For good when it returns well. Otherwise it may or may not have been done.
  virtual Status Advance(const AnchorValue& value) = 0;
  // For a person: where it is.
  virtual std::string name() const = 0;
};

// A file of two slots, each authenticated with a key of the VM. The older one is overwritten in
// place and written back, which costs one flush of the disk and no change of the file system's own
// structures. A write that a crash cuts short spoils that slot only, and the other one then says
// what was true before it.
//
// With a counter (of a TPM) it is told, too, when the file itself is put back. Counters wear, so it
// goes up with the first change after a start and with every `every`-th one: whoever puts back all
// files can take back fewer than `every` changes, and none before the last start with a change.
// The slot with the new count is written first; a crash before the counter follows is made up for.
struct AnchorCounting {
  std::unique_ptr<RollbackCounter> counter;  // null: none
  std::uint32_t every = 1;
  bool ignore = false;  // reads anchors of any count, for who decides that it does not matter
};

class FileAnchor final : public Anchor {
 public:
  // `key`: derived from the VM's root, for this only.
  FileAnchor(std::string path, const tee::Uuid& vm, ConstBytes key, AnchorCounting counting = {})
      : path_(std::move(path)), vm_(vm), key_(Secret(key)), counting_(std::move(counting)) {}

  Result<AnchorValue> Read() override;
  Status Advance(const AnchorValue& value) override;
  std::string name() const override { return path_; }

  // Makes the file anew, whatever is there, and counts: no older one is taken any more.
  Status Restart(const AnchorValue& value);

 private:
  struct Slot {
    std::uint64_t turn = 0;  // the valid slot with the higher one counts
    AnchorValue value;
    std::uint64_t count = 0;  // that the counter has or is about to get; 0: there is none
  };
  SecretBytes Encode(const Slot& slot) const;
  std::optional<Slot> Decode(ConstBytes bytes) const;
  Error Refusal(ConstBytes file) const;
  Status CheckMissing();
  Status CheckCount(std::uint64_t count);
  Status Make(const Slot& slot);
  Status Write(const Slot& slot);
  Status LearnCount();
  Status Count();

  const std::string path_;
  const tee::Uuid vm_;
  const SecretBytes key_;
  UniqueFd file_;  // once it has been read or made
  std::uint64_t turn_ = 0;

  AnchorCounting counting_;
  std::uint64_t count_ = 0;    // of the counter, unless it is unsure
  std::uint64_t written_ = 0;  // in the file: count_, or one more
  std::uint32_t changes_ = 0;  // since the counter went up
  bool due_ = true;            // whatever changes_ says
  bool unsure_ = false;        // whether the counter went up
};

// What an anchor's file says of itself, for who has no key: not to be relied on.
struct AnchorClaim {
  tee::Uuid vm;
  AnchorValue value;
};
std::optional<AnchorClaim> ClaimOfAnchor(ConstBytes file);

}  // namespace vtee::ta
