// SPDX-License-Identifier: BSD-3-Clause
// TaFiles: where the signed files of a VM's TAs and libraries come from: what has been installed
// into its storage, the host's folders, the guest's supplicant, in this order. Nothing is handed
// out that has not been verified.
//
// Threading: any thread, concurrently.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "ta/container/signed_ta.h"
#include "ta/core/call.h"
#include "ta/core/tee_state.h"
#include "ta/loader/modules.h"
#include "ta/storage/stored_objects.h"

namespace vtee::ta {

// Who may sign, and where files are looked for.
struct TaSources {
  TrustRoots roots;
  std::vector<std::string> folders;  // of the host: UUID.ta
  bool guest = true;                 // the guest is asked for what is not there
};

class TaFiles {
 public:
  // References: for as long as this lives.
  TaFiles(const TaSources& sources, TeeState& state, StoredObjects& storage);
  TaFiles(const TaFiles&) = delete;
  TaFiles& operator=(const TaFiles&) = delete;

  // The verified image of a TA or library; the source of every load.
  std::variant<std::vector<std::byte>, LoadFailure> Fetch(Call& call, const tee::Uuid& uuid);
  // With what its signed file says.
  std::variant<VerifiedTa, LoadFailure> FetchVerified(Call& call, const tee::Uuid& uuid);
  // Keeps a TA's signed file in the VM's storage; TEE codes, SECURITY for what would not be run.
  std::uint32_t Install(std::span<const std::byte> file);
  // Those TAs in the host's folders that have one of these flags, verified.
  std::vector<tee::Uuid> InFoldersWith(std::uint32_t flags);

 private:
  Verdict<VerifiedTa> Verify(std::span<const std::byte> file, const tee::Uuid& uuid);
  std::variant<VerifiedTa, LoadFailure> VerifyOrLog(std::span<const std::byte> file,
                                                    const tee::Uuid& uuid);
  std::optional<std::vector<std::byte>> ReadInstalled(const tee::Uuid& uuid);
  std::optional<std::vector<std::byte>> ReadFromFolders(const tee::Uuid& uuid) const;

  const TaSources& sources_;
  TeeState& state_;
  StoredObjects& storage_;
};

}  // namespace vtee::ta
