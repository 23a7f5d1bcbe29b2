// SPDX-License-Identifier: BSD-3-Clause
#include "ta/pta/attestation_pta.h"

#include <algorithm>
#include <cstring>

#include "ta/core/tee_core.h"
#include "ta/crypto/algorithms.h"
#include "ta/crypto/digest.h"
#include "ta/loader/tee_uuid.h"
#include "ta/pta/pta_params.h"
#include "ta/pta/tee_measurement.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

enum Command : std::uint32_t {
  kPublicKey = 0,
  kHashOfTa = 1,
  kHashOfCaller = 2,
  kHashOfTee = 3,
};

constexpr std::size_t kHashBytes = sizeof(Digest);

}  // namespace

AttestationPta::AttestationPta(TeeCore& core)
    : core_(core), key_(core.storage().store(), kAttestationPta) {}

// memref out: exponent; memref out: modulus; value out: the algorithm of signatures.
std::uint32_t AttestationPta::PublicKey(EntryParams& params) {
  if (ParamTypes(params) != 0x0266) return code::kBadParameters;
  SecretBytes exponent;
  SecretBytes modulus;
  const std::uint32_t result = key_.Public(exponent, modulus);
  if (result != code::kSuccess) return result;
  // Both sizes are told even if the first is too small.
  const std::uint32_t first = WriteBuffer(params[0], exponent);
  const std::uint32_t second = WriteBuffer(params[1], modulus);
  params[2].a = alg::kRsassaPssSha256;
  return first != code::kSuccess ? first : second;
}

std::uint32_t AttestationPta::Prepare(const EntryParam& nonce, EntryParam& out,
                                      SecretBytes& nonce_bytes) {
  constexpr std::uint64_t kMostNonce = 1u << 20;
  if (nonce.memory == nullptr || nonce.size == 0 || (out.memory == nullptr && out.size != 0)) {
    return code::kBadParameters;
  }
  if (nonce.size > kMostNonce) return code::kOutOfMemory;
  nonce_bytes.resize(nonce.size);
  if (!nonce.memory->Read(nonce.offset, nonce_bytes)) return code::kBadParameters;
  const std::uint64_t room = out.size;
  out.size = kHashBytes + AttestationKey::size();
  return room < out.size ? code::kShortBuffer : code::kSuccess;
}

std::uint32_t AttestationPta::Answer(ConstBytes nonce, ConstBytes hash, EntryParam& out) {
  const auto state = DigestState::Create(alg::kSha256);
  Digest digest{};
  std::size_t size = digest.size();
  if (!state || state->Init() != code::kSuccess || state->Update(nonce) != code::kSuccess ||
      state->Update(hash) != code::kSuccess || state->Final(digest, size) != code::kSuccess) {
    return code::kGeneric;
  }
  SecretBytes signature;
  const std::uint32_t signed_it = key_.Sign(digest, signature);
  if (signed_it != code::kSuccess) return signed_it;
  SecretBytes answer = Secret(hash);
  answer.insert(answer.end(), signature.begin(), signature.end());
  return WriteBuffer(out, answer);
}

// memref in: UUID; memref in: nonce; memref out. The hash is that of the signed file's header.
std::uint32_t AttestationPta::HashOfTa(Call& call, EntryParams& params) {
  TeeUuid raw{};
  if (ParamTypes(params) != 0x0655 || params[0].size != raw.size()) return code::kBadParameters;
  const auto bytes = ReadBuffer(params[0], raw.size());
  if (!bytes) return code::kBadParameters;
  std::memcpy(raw.data(), bytes->data(), raw.size());
  SecretBytes nonce;
  const std::uint32_t ready = Prepare(params[1], params[2], nonce);
  if (ready != code::kSuccess) return ready;
  const auto found = core_.files().FetchVerified(call, FromTeeUuid(raw));
  if (const auto* failure = std::get_if<LoadFailure>(&found)) return failure->code;
  const VerifiedTa& ta = std::get<VerifiedTa>(found);
  // The answer has room for SHA-256 alone.
  if (ta.digest.size() != kHashBytes) return code::kNotSupported;
  return Answer(nonce, ta.digest, params[2]);
}

// memref in: nonce; memref out.
std::uint32_t AttestationPta::HashOfCaller(TaInstance* caller, EntryParams& params) {
  if (ParamTypes(params) != 0x0065) return code::kBadParameters;
  if (caller == nullptr) return code::kAccessDenied;
  SecretBytes nonce;
  const std::uint32_t ready = Prepare(params[0], params[1], nonce);
  if (ready != code::kSuccess) return ready;
  const auto hash = MeasureTa(caller->space(), caller->modules());
  return hash ? Answer(nonce, *hash, params[1]) : code::kGeneric;
}

std::uint32_t AttestationPta::HashOfTee(EntryParams& params) {
  if (ParamTypes(params) != 0x0065) return code::kBadParameters;
  SecretBytes nonce;
  const std::uint32_t ready = Prepare(params[0], params[1], nonce);
  if (ready != code::kSuccess) return ready;
  const auto hash = MeasureTee();
  return hash ? Answer(nonce, *hash, params[1]) : code::kGeneric;
}

std::uint32_t AttestationPta::Invoke(Call& call, TaInstance* caller, std::uint32_t,
                                     std::uint32_t command, EntryParams& params) {
  switch (command) {
    case kPublicKey:
      return PublicKey(params);
    case kHashOfTa:
      return HashOfTa(call, params);
    case kHashOfCaller:
      return HashOfCaller(caller, params);
    case kHashOfTee:
      return HashOfTee(params);
    default:
      return code::kBadParameters;
  }
}

}  // namespace vtee::ta
