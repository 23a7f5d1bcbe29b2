// SPDX-License-Identifier: BSD-3-Clause
// TempDir: a private folder (0700) under $TMPDIR or /tmp, removed with its files at the end.
// Threading: as a value. Not supported: subfolders; removal when the process is killed.
#pragma once

#include <string>

#include "base/result.h"

namespace vtee::cli {

class TempDir {
 public:
  static Result<TempDir> Create();
  TempDir(TempDir&& other) noexcept : path_(std::exchange(other.path_, {})) {}
  TempDir& operator=(TempDir&& other) noexcept {
    std::swap(path_, other.path_);
    return *this;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir();

  std::string File(const std::string& name) const { return path_ + "/" + name; }
  const std::string& path() const { return path_; }

 private:
  explicit TempDir(std::string path) : path_(std::move(path)) {}
  std::string path_;
};

}  // namespace vtee::cli
