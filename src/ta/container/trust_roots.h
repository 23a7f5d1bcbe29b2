// SPDX-License-Identifier: BSD-3-Clause
// TrustRoots: whose TAs may run.
//
// The keys come from the operator, as PEM files. OP-TEE's development keys, whose private halves
// anybody can download, are known and taken for what they are: they need to be allowed by name.
// Filled once, then immutable; any thread reads.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "ta/container/signing_key.h"

namespace vtee::ta {

// One of OP-TEE's published development keys (optee_os keys/default.pem and its predecessor).
bool IsDevelopmentKey(const SigningKey& key);

class TrustRoots {
 public:
  // Refuses development keys.
  Status AddPem(std::string_view pem, std::string_view name);
  // Those of OP-TEE 4.x: for tests and demonstrations. Whoever can write a TA can sign it with
  // them, so all that is left is a check of integrity. The caller says so loudly.
  Status AddDevelopmentKeys();

  std::span<const SigningKey> keys() const { return keys_; }
  bool development() const { return development_; }

 private:
  std::vector<SigningKey> keys_;
  bool development_ = false;
};

}  // namespace vtee::ta
