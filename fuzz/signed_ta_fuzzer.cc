// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes the verification of TA files, which a guest supplies, and the reading of subkeys.
//
// What must hold: nothing is accepted (no input has a trusted signature), and each refusal has its
// code and its sentence.
#include <cstdint>

#include "fuzz_input.h"
#include "ta/container/signed_ta.h"
#include "ta/container/subkey.h"

namespace vtee::ta {
namespace {

class Versions : public VersionStore {
 public:
  std::optional<std::uint32_t> Raise(Kind, const tee::Uuid&, std::uint32_t version) override {
    return version;
  }
};

const TrustRoots& Roots() {
  static const TrustRoots roots = [] {
    TrustRoots made;
    Require(made.AddDevelopmentKeys().ok());
    return made;
  }();
  return roots;
}

void RunOne(std::span<const std::byte> file) {
  Versions versions;
  const auto verdict = VerifySignedTa(file, tee::Uuid{}, Roots(), {}, versions);
  Require(!verdict.ok());
  Require(verdict.refusal().code() != 0 && !verdict.refusal().message.empty());
  const auto subkey = ReadSubkey(file);
  if (subkey.ok()) {
    Require(subkey.value().key.signature_size() >= 256);
  } else {
    Require(!subkey.refusal().message.empty());
  }
}

}  // namespace
}  // namespace vtee::ta

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vtee::ta::RunOne(std::as_bytes(std::span(data, size)));
  return 0;
}
