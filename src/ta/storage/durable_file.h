// SPDX-License-Identifier: BSD-3-Clause
// Small files that are there as a whole or not at all, also after a power failure.
//
// Threading: any thread; two must not replace one file at a time.
// Not supported: reading files above 64 KiB, file systems without an atomic rename(2).
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "ta/crypto/secret.h"

namespace vtee::ta {

inline constexpr std::size_t kMostFileBytes = 65536;

bool Exists(const std::string& path);
// Nothing: there is no such file.
Result<std::optional<SecretBytes>> ReadSmallFile(const std::string& path);
// Reads `fd` from where it is to its end.
Result<SecretBytes> ReadToEnd(int fd, const std::string& name);
// Replaces or creates `path` with mode 0600. When it returns, it stays.
Status WriteDurably(const std::string& path, ConstBytes bytes);
// A file that gets its name only when it is whole. Mode 0600; gone again unless it was published.
class DraftFile {
 public:
  static Result<DraftFile> Create(const std::string& path);
  DraftFile(DraftFile&& other) noexcept
      : path_(std::move(other.path_)),
        draft_(std::exchange(other.draft_, {})),
        fd_(std::move(other.fd_)) {}
  DraftFile& operator=(DraftFile&&) = delete;
  ~DraftFile();
  Status Write(ConstBytes bytes);
  // False: there is such a file, and it is left alone. Of several at a time, one makes it.
  Result<bool> Publish();

 private:
  DraftFile(std::string path, std::string draft, int fd)
      : path_(std::move(path)), draft_(std::move(draft)), fd_(fd) {}
  std::string path_;
  std::string draft_;
  UniqueFd fd_;
};

// Makes `path` with mode 0600 unless it is there: as DraftFile::Publish().
Result<bool> CreateDurably(const std::string& path, ConstBytes bytes);
// Makes the directory `dir` for its owner alone, unless it is there.
Status MakePrivateDirectory(const std::string& dir);
// The file names in the directory stay.
Status SyncDirectory(const std::string& dir);

}  // namespace vtee::ta
