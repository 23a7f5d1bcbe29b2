// SPDX-License-Identifier: BSD-3-Clause
// AttestationKey: the RSA key that a VM's TEE signs measurements with. Made when it is first
// wanted, and kept in the VM's own storage, where no TA can have an object of its name.
//
// Results are TEE codes. A key that is damaged in the storage is an error for good, never replaced:
// whoever trusts the old one shall not get to see another. Threading: any thread.
#pragma once

#include <cstdint>
#include <mutex>

#include "ta/crypto/object.h"
#include "ta/storage/object_store.h"

namespace vtee::ta {

class AttestationKey {
 public:
  static constexpr std::uint32_t kBits = 3072;  // as OP-TEE's CFG_ATTESTATION_PTA_KEY_SIZE

  AttestationKey(ObjectStore& store, const tee::Uuid& owner);

  // Big-endian numbers without leading zeros.
  std::uint32_t Public(SecretBytes& exponent, SecretBytes& modulus);
  // Of a signature, in bytes.
  static constexpr std::size_t size() { return kBits / 8; }
  // RSASSA-PSS with SHA-256 and a salt of 32 bytes.
  std::uint32_t Sign(ConstBytes digest, SecretBytes& signature);

 private:
  std::uint32_t Load();  // under the lock

  ObjectStore& store_;
  const ObjectKey name_;
  std::mutex mutex_;
  CryptoObject key_;
};

}  // namespace vtee::ta
