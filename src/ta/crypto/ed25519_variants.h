// SPDX-License-Identifier: BSD-3-Clause
// Ed25519ctx and Ed25519ph (RFC 8032, 5.1), which OpenSSL has from 3.2 on: their signatures carry a
// prefix (dom2) inside the hashes.
//
// The curve is edwards25519.h's, whose steps do not depend on the private key. Results are TEE
// codes. Any thread. Not supported: plain Ed25519, which OpenSSL does.
#pragma once

#include <cstdint>

#include "ta/crypto/montgomery.h"

namespace vtee::ta {

std::uint32_t SignEd25519Variant(ConstBytes private_key, ConstBytes public_key,
                                 const EdVariant& variant, ConstBytes message,
                                 SecretBytes& signature);
bool VerifyEd25519Variant(ConstBytes public_key, const EdVariant& variant, ConstBytes message,
                          ConstBytes signature);

}  // namespace vtee::ta
