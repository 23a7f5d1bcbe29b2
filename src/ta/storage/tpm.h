// SPDX-License-Identifier: BSD-3-Clause
// Tpm: what a state needs of the host's TPM 2.0: secrets sealed to it, and counters that only go
// up.
//
// Sealed to the storage hierarchy with the TCG's template for ECC P-256: whoever may use this TPM
// can unseal, and nobody with another one, nor with this one after it was cleared. What goes over
// the bus is encrypted to the TPM (a salted session). Counters are NV indices that need an
// authorization to be read and counted; only the owner can remove them, and the TPM makes none that
// would begin below where one has been.
// Threading: any thread; each call connects anew, so that nothing is left in the TPM between them.
// Not supported: PCR policies, an owner hierarchy with a password, proof that the TPM is genuine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "base/result.h"
#include "ta/crypto/secret.h"

namespace vtee::ta {

inline constexpr const char* kDefaultTcti = "device:/dev/tpmrm0";

class Tpm {
 public:
  // How tpm2-tss reaches it: "device:/dev/tpmrm0", "swtpm:port=2321". Empty: kDefaultTcti.
  explicit Tpm(std::string tcti) : tcti_(tcti.empty() ? kDefaultTcti : std::move(tcti)) {}
  const std::string& tcti() const { return tcti_; }

  Result<SecretBytes> Seal(ConstBytes secret) const;  // up to 128 bytes
  // kInvalidArgument: not sealed by this TPM, or it was cleared since, or damaged.
  Result<SecretBytes> Unseal(ConstBytes sealed) const;

  // At its first count. kResourceExhausted: there is something at `index` already.
  Result<std::uint64_t> MakeCounter(std::uint32_t index, ConstBytes authorization) const;
  // kNotFound: there is no such counter, or it has another authorization.
  Result<std::uint64_t> ReadCounter(std::uint32_t index, ConstBytes authorization) const;
  Result<std::uint64_t> Increment(std::uint32_t index, ConstBytes authorization) const;
  Status RemoveCounter(std::uint32_t index, ConstBytes authorization) const;

 private:
  const std::string tcti_;
};

}  // namespace vtee::ta
