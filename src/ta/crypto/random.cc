// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/random.h"

#include <openssl/err.h>
#include <openssl/rand.h>

#include <algorithm>

#include "tee/types.h"

namespace vtee::ta {

std::uint32_t RandomBytes(std::span<std::byte> out) {
  constexpr std::size_t kPiece = std::size_t{1} << 20;  // OpenSSL's lengths are ints
  while (!out.empty()) {
    const auto piece = out.first(std::min(out.size(), kPiece));
    auto* octets = reinterpret_cast<unsigned char*>(piece.data());
    if (RAND_bytes(octets, static_cast<int>(piece.size())) != 1) {
      ERR_clear_error();
      return tee::code::kGeneric;
    }
    out = out.subspan(piece.size());
  }
  return tee::code::kSuccess;
}

}  // namespace vtee::ta
