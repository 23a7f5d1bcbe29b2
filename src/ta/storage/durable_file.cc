// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/durable_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "base/file_bytes.h"
#include "base/unique_fd.h"

namespace vtee::ta {
namespace {

constexpr mode_t kOwnerOnly = 0600;

Status WriteAll(int fd, ConstBytes bytes, const std::string& name) {
  if (!WriteFully(fd, bytes)) return ErrnoError(errno, "cannot write " + name);
  return {};
}

std::string ParentOf(const std::string& path) {
  const std::string parent = std::filesystem::path(path).parent_path();
  return parent.empty() ? "." : parent;
}

}  // namespace

bool Exists(const std::string& path) { return ::access(path.c_str(), F_OK) == 0; }

Result<SecretBytes> ReadToEnd(int fd, const std::string& name) {
  SecretBytes bytes(kMostFileBytes + 1);
  const auto size = ReadFully(fd, bytes);
  if (!size) return ErrnoError(errno, "cannot read " + name);
  if (*size > kMostFileBytes) {
    return Error{ErrorCode::kInvalidArgument, name + " is too large to be what it should be"};
  }
  bytes.resize(*size);
  return bytes;
}

Result<std::optional<SecretBytes>> ReadSmallFile(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd && errno == ENOENT) return std::optional<SecretBytes>();
  if (!fd) return ErrnoError(errno, "cannot open " + path);
  VTEE_ASSIGN_OR_RETURN(auto bytes, ReadToEnd(fd.get(), path));
  return std::optional<SecretBytes>(std::move(bytes));
}

Status MakePrivateDirectory(const std::string& dir) {
  if (::mkdir(dir.c_str(), 0700) == 0 || errno == EEXIST) return {};
  return ErrnoError(errno, "cannot create the directory " + dir);
}

Status SyncDirectory(const std::string& dir) {
  const UniqueFd fd(::open(dir.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return ErrnoError(errno, "cannot open " + dir);
  if (::fsync(fd.get()) != 0) return ErrnoError(errno, "cannot write back " + dir);
  return {};
}

Result<DraftFile> DraftFile::Create(const std::string& path) {
  std::string draft = path + ".XXXXXX";
  const int fd = ::mkostemp(draft.data(), O_CLOEXEC);
  if (fd < 0) return ErrnoError(errno, "cannot create " + path);
  return DraftFile(path, std::move(draft), fd);
}

DraftFile::~DraftFile() {
  if (!draft_.empty()) ::unlink(draft_.c_str());
}

Status DraftFile::Write(ConstBytes bytes) { return WriteAll(fd_.get(), bytes, path_); }

Result<bool> DraftFile::Publish() {
  if (::fsync(fd_.get()) != 0) return ErrnoError(errno, "cannot write back " + path_);
  // Unlike a rename, this never replaces.
  const bool made = ::link(draft_.c_str(), path_.c_str()) == 0;
  if (!made && errno == EEXIST) return false;
  if (!made) return ErrnoError(errno, "cannot create " + path_);
  ::unlink(std::exchange(draft_, {}).c_str());
  VTEE_TRY(SyncDirectory(ParentOf(path_)));
  return true;
}

Result<bool> CreateDurably(const std::string& path, ConstBytes bytes) {
  VTEE_ASSIGN_OR_RETURN(DraftFile draft, DraftFile::Create(path));
  VTEE_TRY(draft.Write(bytes));
  return draft.Publish();
}

Status WriteDurably(const std::string& path, ConstBytes bytes) {
  const std::string draft = path + ".new";
  {
    const UniqueFd fd(
        ::open(draft.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, kOwnerOnly));
    if (!fd) return ErrnoError(errno, "cannot create " + draft);
    VTEE_TRY(WriteAll(fd.get(), bytes, draft));
    if (::fsync(fd.get()) != 0) return ErrnoError(errno, "cannot write back " + draft);
  }
  if (::rename(draft.c_str(), path.c_str()) != 0) {
    return ErrnoError(errno, "cannot replace " + path);
  }
  return SyncDirectory(ParentOf(path));
}

}  // namespace vtee::ta
