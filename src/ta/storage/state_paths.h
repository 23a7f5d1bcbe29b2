// SPDX-License-Identifier: BSD-3-Clause
// StatePaths: the files that one VM's state consists of (docs/user-tee.md, "What is kept").
// Threading: a value.
#pragma once

#include <filesystem>
#include <string>

namespace vtee::ta {

class StatePaths {
 public:
  explicit StatePaths(std::string folder) : folder_(std::move(folder)) {
    while (folder_.size() > 1 && folder_.back() == '/') folder_.pop_back();
  }
  const std::string& folder() const { return folder_; }
  std::string parent() const {
    const std::string parent = std::filesystem::path(folder_).parent_path();
    return parent.empty() ? "." : parent;
  }
  std::string root() const { return folder_ + "/root.sealed"; }
  std::string database() const { return folder_ + "/objects.db"; }
  std::string log() const { return folder_ + "/objects.db-wal"; }  // SQLite's; a part of it
  std::string lock() const { return folder_ + "/lock"; }
  std::string tpm_key() const { return folder_ + "/key.tpm"; }  // the host's key, sealed by a TPM
  // Beside the folder, so that a copy of the folder has neither.
  std::string anchor() const { return folder_ + ".anchor"; }
  std::string key() const { return folder_ + ".key"; }

 private:
  std::string folder_;
};

}  // namespace vtee::ta
