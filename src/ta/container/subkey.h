// SPDX-License-Identifier: BSD-3-Clause
// Subkeys: keys that a TA's file brings along, each signed by the one before it, the first by a
// trusted one. A subkey signs for one UUID only, derived from its own and a name, so that its owner
// cannot sign TAs of others (optee_os 4.x, scripts/sign_encrypt.py; RFC 4122 version 5 with
// SHA-512 in the place of SHA-1).
// Pure functions; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "ta/container/refusal.h"
#include "ta/container/signing_key.h"
#include "tee/types.h"

namespace vtee::ta {

struct Subkey {
  tee::Uuid uuid;
  std::uint32_t version = 0;
  std::uint32_t max_depth = 0;  // how many subkeys may follow
  std::uint32_t name_size = 0;  // bytes after the image that belong to the key's namespace
  SigningKey key;
};

// Reads a subkey's image, whose hash and signature have been verified.
Verdict<Subkey> ReadSubkey(std::span<const std::byte> image);

// The one UUID that what the subkey signs must have; `name` ends at its first NUL, if any. Without
// a name that is the subkey's own.
tee::Uuid SubkeyNextUuid(const tee::Uuid& subkey, std::span<const std::byte> name);

}  // namespace vtee::ta
