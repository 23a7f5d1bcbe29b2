// SPDX-License-Identifier: BSD-3-Clause
// Generates keys into objects. Results are TEE codes. Any thread, an object in one at a time.
#pragma once

#include <cstdint>

#include "ta/crypto/object.h"

namespace vtee::ta {

// `attributes` have been checked with CryptoObject::CheckGenerate(), `bits` with CheckKeySize().
std::uint32_t GenerateKey(CryptoObject& object, std::uint32_t bits, Attributes attributes);

}  // namespace vtee::ta
