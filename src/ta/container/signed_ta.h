// SPDX-License-Identifier: BSD-3-Clause
// VerifySignedTa: from the bytes of a .ta file to an ELF image that may run.
//
// Follows optee_os 4.10 core/kernel/ree_fs_ta.c and core/crypto/signed_hdr.c: legacy, bootstrap and
// encrypted TAs, chains of subkeys. The order is: signature of the header, hash of the contents,
// then what they say. Versions of TAs and of subkeys never go back; OP-TEE 4.5 and 4.10 do not
// check the latter (they never fill in the field).
// Any thread. The caller has copied the file: a guest may have supplied it, and must not change
// it while it is verified. Not supported: RSA keys below 2048 bits, SHA-1 and SHA-224.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "ta/container/refusal.h"
#include "ta/container/trust_roots.h"
#include "tee/types.h"

namespace vtee::ta {

// The newest version seen of each TA and each subkey.
class VersionStore {
 public:
  virtual ~VersionStore() = default;
  enum class Kind : std::uint8_t { kTa, kSubkey };
  // Remembers `version` if it is the newest, for good, before it returns. The newest so far (which
  // may be higher); nothing: it could not be read or kept.
  virtual std::optional<std::uint32_t> Raise(Kind kind, const tee::Uuid& uuid,
                                             std::uint32_t version) = 0;
};

// Keys of encrypted TAs; absent ones cannot be used.
struct TaDecryptionKeys {
  using Key = std::array<unsigned char, 32>;
  std::optional<Key> device;
  std::optional<Key> class_wide;
};

struct VerifiedTa {
  tee::Uuid uuid;
  std::uint32_t version = 0;      // 0: a legacy TA, which has none
  std::vector<std::byte> image;   // the ELF file
  std::vector<std::byte> digest;  // the hash that was signed: what attestation calls the TA
  std::string signer;             // fingerprint of the trusted key
};

// What a bootstrap file says that it is, before anything is verified. Nothing: it is no such file.
std::optional<tee::Uuid> ClaimedUuid(std::span<const std::byte> file);

// `wanted`: the UUID of the TA that is to run.
Verdict<VerifiedTa> VerifySignedTa(std::span<const std::byte> file, const tee::Uuid& wanted,
                                   const TrustRoots& roots, const TaDecryptionKeys& keys,
                                   VersionStore& versions);

}  // namespace vtee::ta
