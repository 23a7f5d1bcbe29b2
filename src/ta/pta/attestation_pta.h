// SPDX-License-Identifier: BSD-3-Clause
// The attestation pseudo-TA: signed hashes of TAs and of the TEE (optee_os
// core/pta/attestation.c, lib/libutee/include/pta_attestation.h).
//
// An answer is a hash of 32 bytes and a signature over SHA-256(nonce | hash). It proves to whoever
// got the key from this VM's TEE before that the same TEE answers. It is software's word: the host
// could sign anything, and nothing here is rooted in hardware.
// Threading: PseudoTa's.
#pragma once

#include "ta/core/pseudo_ta.h"
#include "ta/pta/attestation_key.h"

namespace vtee::ta {

inline constexpr tee::Uuid kAttestationPta{{0x39, 0x80, 0x08, 0x61, 0x18, 0x2a, 0x47, 0x20, 0x9b,
                                            0x67, 0x2b, 0xcd, 0x62, 0x2b, 0xc0, 0xb5}};

class TeeCore;

class AttestationPta : public PseudoTa {
 public:
  explicit AttestationPta(TeeCore& core);
  std::uint32_t Invoke(Call& call, TaInstance* caller, std::uint32_t session, std::uint32_t command,
                       EntryParams& params) override;

 private:
  std::uint32_t PublicKey(EntryParams& params);
  std::uint32_t HashOfTa(Call& call, EntryParams& params);
  std::uint32_t HashOfCaller(TaInstance* caller, EntryParams& params);
  std::uint32_t HashOfTee(EntryParams& params);
  // Checks the parameters of an answer, which come before the hash is made.
  std::uint32_t Prepare(const EntryParam& nonce, EntryParam& out, SecretBytes& nonce_bytes);
  std::uint32_t Answer(ConstBytes nonce, ConstBytes hash, EntryParam& out);

  TeeCore& core_;
  AttestationKey key_;
};

}  // namespace vtee::ta
