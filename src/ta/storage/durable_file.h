// SPDX-License-Identifier: BSD-3-Clause
// Small files that are there as a whole or not at all, also after a power failure.
//
// Threading: any thread; two must not replace one file at a time.
// Not supported: files above 64 KiB, file systems without an atomic rename(2).
#pragma once

#include <optional>
#include <string>

#include "base/result.h"
#include "ta/crypto/secret.h"

namespace vtee::ta {

inline constexpr std::size_t kMostFileBytes = 65536;

// Nothing: there is no such file.
Result<std::optional<SecretBytes>> ReadSmallFile(const std::string& path);
// Reads `fd` from where it is to its end.
Result<SecretBytes> ReadToEnd(int fd, const std::string& name);
// Replaces or creates `path` with mode 0600. When it returns, it stays.
Status WriteDurably(const std::string& path, ConstBytes bytes);
// Makes `path` with mode 0600 unless it is there: false, and it is left alone. Of several at a
// time, one makes it.
Result<bool> CreateDurably(const std::string& path, ConstBytes bytes);
// The file names in the directory stay.
Status SyncDirectory(const std::string& dir);

}  // namespace vtee::ta
