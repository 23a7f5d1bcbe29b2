// SPDX-License-Identifier: BSD-3-Clause
#include "cli/temp_dir.h"

#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <system_error>

namespace vtee::cli {

Result<TempDir> TempDir::Create() {
  const char* base = std::getenv("TMPDIR");
  std::string path(base != nullptr && base[0] == '/' ? base : "/tmp");
  path += "/vtee-XXXXXX";
  if (mkdtemp(path.data()) == nullptr) {
    return ErrnoError(errno, "cannot make a temporary folder " + path);
  }
  return TempDir(std::move(path));
}

TempDir::~TempDir() {
  if (path_.empty()) return;
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace vtee::cli
