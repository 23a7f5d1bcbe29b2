// SPDX-License-Identifier: BSD-3-Clause
// Anchor: remembers, outside of the store, which state of the store is the newest, so that an older
// copy of it is told from the real one.
//
// Threading: the store calls it from any thread, one at a time.
// Not supported: a FileAnchor does not help against who puts back the anchor's file, too: place it
// where the store's backups and snapshots do not reach, or implement Anchor on a TPM or a service.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
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

// A file, authenticated with a key of the VM and replaced as a whole.
class FileAnchor final : public Anchor {
 public:
  // `key`: derived from the VM's root, for this only.
  FileAnchor(std::string path, const tee::Uuid& vm, ConstBytes key)
      : path_(std::move(path)), vm_(vm), key_(Secret(key)) {}

  Result<AnchorValue> Read() override;
  Status Advance(const AnchorValue& value) override;
  std::string name() const override { return path_; }

 private:
  SecretBytes Encode(const AnchorValue& value) const;

  const std::string path_;
  const tee::Uuid vm_;
  const SecretBytes key_;
};

}  // namespace vtee::ta
