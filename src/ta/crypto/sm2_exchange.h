// SPDX-License-Identifier: BSD-3-Clause
// The SM2 key exchange (GB/T 32918.3; GM/T 0003.3). Results are TEE codes. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ta/crypto/object.h"

namespace vtee::ta {

// `ephemeral`: the pair made for this exchange. `size`: bytes of the secret. `confirmation`: what
// the peer shall check, empty unless the parameters ask for it. BAD_STATE: what the peer has sent
// to be checked is wrong, or is no point of the curve.
std::uint32_t Sm2Exchange(const CryptoObject& key, const CryptoObject& ephemeral, Attributes params,
                          std::size_t size, SecretBytes& secret, SecretBytes& confirmation);

}  // namespace vtee::ta
