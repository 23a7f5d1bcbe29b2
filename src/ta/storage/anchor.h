// SPDX-License-Identifier: BSD-3-Clause
// Anchor: remembers, outside of the store, which state of the store is the newest, so that an older
// copy of it is told from the real one.
//
// Threading: the store calls it from any thread, one at a time.
// Not supported: a FileAnchor does not help against who puts back the anchor's file, too: place it
// where the store's backups and snapshots do not reach, or implement Anchor on a TPM or a service.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
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
class FileAnchor final : public Anchor {
 public:
  // `key`: derived from the VM's root, for this only.
  FileAnchor(std::string path, const tee::Uuid& vm, ConstBytes key)
      : path_(std::move(path)), vm_(vm), key_(Secret(key)) {}

  Result<AnchorValue> Read() override;
  Status Advance(const AnchorValue& value) override;
  std::string name() const override { return path_; }

 private:
  struct Slot {
    std::uint64_t turn = 0;  // the valid slot with the higher one counts
    AnchorValue value;
  };
  SecretBytes Encode(const Slot& slot) const;
  std::optional<Slot> Decode(ConstBytes bytes) const;
  Error Refusal(ConstBytes file) const;
  Status Make(const Slot& slot);

  const std::string path_;
  const tee::Uuid vm_;
  const SecretBytes key_;
  UniqueFd file_;  // once it has been read or made
  std::uint64_t turn_ = 0;
};

// What an anchor's file says of itself, for who has no key: not to be relied on.
struct AnchorClaim {
  tee::Uuid vm;
  AnchorValue value;
};
std::optional<AnchorClaim> ClaimOfAnchor(ConstBytes file);

}  // namespace vtee::ta
