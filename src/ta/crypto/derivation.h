// SPDX-License-Identifier: BSD-3-Clause
// Key derivation as an operation of a TA (system call 32). Results are TEE codes. Any thread.
#pragma once

#include <cstdint>

#include "ta/crypto/object.h"

namespace vtee::ta {

bool IsDerivationSupported(std::uint32_t algorithm);

struct DerivationKeys {
  const CryptoObject& key;
  const CryptoObject* ephemeral;  // of TEE_ALG_SM2_KEP
};
// `into`: a symmetric key or generic secret, which is filled. `confirmation`: of TEE_ALG_SM2_KEP,
// what goes to the attribute CONFIRMATION_OUT; empty otherwise.
std::uint32_t DeriveKey(std::uint32_t algorithm, const DerivationKeys& keys, Attributes params,
                        CryptoObject& into, SecretBytes& confirmation);

}  // namespace vtee::ta
