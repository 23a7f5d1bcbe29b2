// SPDX-License-Identifier: BSD-3-Clause
// StateKey: the random root of all that is kept for one VM's TEE, and what is derived from it.
//
// The root lies in DIR/root.sealed, encrypted with a key of the host (AES-256-GCM) and bound to the
// VM's UUID: who copies the directory without the host's key has nothing, and one VM's root is
// refused to another. Derivations are HKDF-SHA256 with a label each.
// Threading: immutable; any thread. Owns the root, wiped when freed.
// Not supported: changing the host's key in place (back up, and restore with another one).
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "ta/crypto/secret.h"
#include "ta/storage/tpm.h"
#include "tee/types.h"

namespace vtee::ta {

inline constexpr std::size_t kRootBytes = 32;
// What the state itself derives from its root.
inline constexpr std::string_view kStorageLabel = "storage";
inline constexpr std::string_view kCounterLabel = "tpm counter";

// A key of 32 bytes. `create`: made, with mode 0600, when there is none. Refused when others than
// its owner and group have access to the file.
Result<SecretBytes> ReadHostKey(const std::string& path, bool create);
// The same from an open descriptor, which stays open: all of a file, or the rest of a pipe.
Result<SecretBytes> ReadHostKey(int fd);

// Whose root.sealed it is, for who has no key: not to be relied on. Nothing: it is none.
std::optional<tee::Uuid> OwnerOfRoot(ConstBytes file);

// How a state's host key is named: a file (empty: DIR.key), or "tpm:", which may go on with how the
// TPM is reached. Nothing: no TPM.
std::optional<Tpm> TpmOf(const std::string& state_key);
// The key so named. With a TPM it is kept, sealed, in DIR/key.tpm. `create`: made if there is none.
Result<SecretBytes> OpenHostKey(const std::string& state_key, const std::string& dir, bool create);

class StateKey {
 public:
  // Unseals DIR/root.sealed. Makes the directory and a new root when neither a root nor objects
  // sealed with one are there.
  static Result<StateKey> Open(const std::string& dir, const tee::Uuid& vm, ConstBytes host_key);

  // Labels: "storage", "huk", ... Different labels give unrelated keys.
  SecretBytes Derive(std::string_view label, std::size_t size = kRootBytes) const;

 private:
  StateKey(SecretBytes root, const tee::Uuid& vm) : root_(std::move(root)), vm_(vm) {}
  SecretBytes root_;
  tee::Uuid vm_;
};

}  // namespace vtee::ta
