// SPDX-License-Identifier: BSD-3-Clause
#include "ta/container/trust_roots.h"

#include <algorithm>

#include "ta/container/development_keys.h"

namespace vtee::ta {

bool IsDevelopmentKey(const SigningKey& key) {
  return std::ranges::any_of(DevelopmentKeys(), [&](std::string_view pem) {
    const auto known = SigningKey::FromPem(pem);
    return known.ok() && known->fingerprint() == key.fingerprint();
  });
}

Status TrustRoots::AddPem(std::string_view pem, std::string_view name) {
  auto key = SigningKey::FromPem(pem);
  if (!key.ok()) {
    return Error{key.error().code, std::string(name) + ": " + key.error().message};
  }
  if (IsDevelopmentKey(*key)) {
    return Error{ErrorCode::kInvalidArgument,
                 std::string(name) +
                     ": this is OP-TEE's development key, whose private half is public: everybody "
                     "can sign with it. For a test, say so: keys=development"};
  }
  keys_.push_back(std::move(key).value());
  return {};
}

Status TrustRoots::AddDevelopmentKeys() {
  for (const std::string_view pem : DevelopmentKeys()) {
    VTEE_ASSIGN_OR_RETURN(auto key, SigningKey::FromPem(pem));
    keys_.push_back(std::move(key));
  }
  development_ = true;
  return {};
}

}  // namespace vtee::ta
