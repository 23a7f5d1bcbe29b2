// SPDX-License-Identifier: BSD-3-Clause
// A backup of a VM's state: one file, a tar archive (POSIX ustar) that ends with SHA256SUMS.
//
// The members, in this order: root.sealed; objects.db, objects.db-wal, key.tpm, anchor and key as
// far as there are any; SHA256SUMS, which `sha256sum -c` checks, with two lines of comment before
// it that have the format's number and the VM. Reading accepts byte for byte what writing makes,
// and nothing else: no other names, types, sizes or paddings, and no end before the end. Threading:
// pure functions. Not supported: members of 8 GiB or more; checking who made it (the members check
// themselves once the host's key is there).
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "ta/storage/durable_file.h"
#include "tee/types.h"

namespace vtee::ta {

namespace archive {
inline constexpr std::string_view kRoot = "root.sealed";
inline constexpr std::string_view kDatabase = "objects.db";
inline constexpr std::string_view kLog = "objects.db-wal";
inline constexpr std::string_view kTpmKey = "key.tpm";
inline constexpr std::string_view kAnchor = "anchor";
inline constexpr std::string_view kKey = "key";
}  // namespace archive

struct ArchiveMember {
  std::string_view name;  // of the above, in their order
  std::string path;       // of the file; must not change meanwhile
  SecretBytes bytes;      // or, without a path, these
};

Status WriteArchive(DraftFile& out, const std::vector<ArchiveMember>& members, const tee::Uuid& vm);

// Writes the members as files into `folder`, which is empty, and back to the disk. `name`: the
// archive's, for sentences. After an error the folder may hold some of them.
Result<tee::Uuid> ExtractArchive(int fd, const std::string& name, const std::string& folder);

}  // namespace vtee::ta
