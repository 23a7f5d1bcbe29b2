// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/test_vector_keys.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include "tee/types.h"

namespace vtee::ta {

Bytes VectorDigest::Of(std::span<const std::byte> message) const {
  Bytes digest(static_cast<std::size_t>(EVP_MD_get_size(md)));
  EXPECT_EQ(EVP_Digest(message.data(), message.size(), Out(digest), nullptr, md, nullptr), 1);
  return digest;
}

VectorDigest DigestIn(std::string_view text) {
  struct Known {
    std::string_view name;
    VectorDigest digest;
  };
  const Known known[] = {{"224", {3, EVP_sha224()}},
                         {"256", {4, EVP_sha256()}},
                         {"384", {5, EVP_sha384()}},
                         {"512", {6, EVP_sha512()}},
                         {"1", {2, EVP_sha1()}}};
  const auto at = text.find("SHA");
  if (at != std::string_view::npos) {
    std::string_view rest = text.substr(at + 3);
    if (rest.starts_with('-')) rest.remove_prefix(1);
    for (const Known& each : known) {
      if (rest.starts_with(each.name)) return each.digest;
    }
  }
  ADD_FAILURE() << "no digest in " << text;
  return known[0].digest;
}

const VectorCurve* FindVectorCurve(std::string_view text) {
  static constexpr VectorCurve kCurves[] = {{"P-192", 1, 192, 24},
                                            {"P-224", 2, 224, 28},
                                            {"P-256", 3, 256, 32},
                                            {"P-384", 4, 384, 48},
                                            {"P-521", 5, 521, 66}};
  for (const VectorCurve& curve : kCurves) {
    if (text.starts_with(curve.name)) return &curve;
  }
  return nullptr;
}

Bytes Padded(const Bytes& number, std::size_t size) {
  if (number.size() >= size) return number;
  return Joined(Bytes(size - number.size()), number);
}

CryptoObject EccKey(std::uint32_t type, const VectorCurve& curve, const Bytes& x, const Bytes& y,
                    const Bytes& d) {
  const Attribute parts[] = {{attr::kEccX, x, 0, 0},
                             {attr::kEccY, y, 0, 0},
                             {attr::kEccCurve, {}, curve.id, 0},
                             {attr::kEccPrivate, d, 0, 0}};
  const bool pair = (type & objtype::kKeypairFlag) != 0;
  CryptoObject key(type, curve.bits);
  EXPECT_EQ(key.Populate(std::span(parts).first(pair ? 4 : 3)), tee::code::kSuccess);
  return key;
}

}  // namespace vtee::ta
