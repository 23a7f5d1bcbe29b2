// SPDX-License-Identifier: BSD-3-Clause
#include "ta/container/subkey.h"

#include <openssl/evp.h>

#include <algorithm>
#include <array>
#include <memory>
#include <optional>

#include "base/checked.h"
#include "ta/container/header.h"

namespace vtee::ta {
namespace {

constexpr std::uint32_t kRsaModulus = 0xD0000130;   // TEE_ATTR_RSA_MODULUS
constexpr std::uint32_t kRsaExponent = 0xD0000230;  // TEE_ATTR_RSA_PUBLIC_EXPONENT
constexpr std::uint32_t kMostAttributes = 16;

Refusal Malformed(const char* what) {
  return {Fault::kSubkey,
          std::string("the subkey in the file is malformed (") + what + "); sign the TA again"};
}

}  // namespace

Verdict<Subkey> ReadSubkey(std::span<const std::byte> image) {
  FileReader reader(image);
  SubkeyHeader header{};
  if (!reader.Take(header)) return Malformed("too short");
  if (header.attribute_count > kMostAttributes) return Malformed("too many attributes");
  if (!SignatureScheme::From(header.algorithm)) {
    return Refusal{Fault::kAlgorithm,
                   "the subkey is for an algorithm that TAs are not signed with"};
  }
  std::span<const std::byte> modulus;
  std::span<const std::byte> exponent;
  for (std::uint32_t i = 0; i < header.attribute_count; ++i) {
    SubkeyAttribute attribute{};
    if (!reader.Take(attribute)) return Malformed("attributes cut off");
    if (!RangeInside(attribute.offset, attribute.size, image.size())) {
      return Malformed("an attribute outside of the file");
    }
    const auto value = image.subspan(attribute.offset, attribute.size);
    if (attribute.id == kRsaModulus) modulus = value;
    if (attribute.id == kRsaExponent) exponent = value;
  }
  if (modulus.empty() || exponent.empty()) return Malformed("no modulus or no exponent");
  auto key = SigningKey::FromNumbers(modulus, exponent);
  if (!key) {
    return Refusal{Fault::kKey, "the subkey is not RSA of 2048 to 8192 bits; make a stronger one"};
  }
  return Subkey{tee::Uuid{header.uuid}, header.version, header.max_depth, header.name_size,
                *std::move(key)};
}

tee::Uuid SubkeyNextUuid(const tee::Uuid& subkey, std::span<const std::byte> name) {
  if (name.empty()) return subkey;
  const auto end = std::find(name.begin(), name.end(), std::byte{0});
  const auto length = static_cast<std::size_t>(end - name.begin());
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  const std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)> context(EVP_MD_CTX_new(),
                                                                        EVP_MD_CTX_free);
  if (!context || EVP_DigestInit_ex(context.get(), EVP_sha512(), nullptr) != 1 ||
      EVP_DigestUpdate(context.get(), subkey.octets.data(), subkey.octets.size()) != 1 ||
      EVP_DigestUpdate(context.get(), name.data(), length) != 1 ||
      EVP_DigestFinal_ex(context.get(), digest.data(), nullptr) != 1) {
    throw std::bad_alloc();
  }
  tee::Uuid next;
  std::copy_n(digest.begin(), next.octets.size(), next.octets.begin());
  next.octets[6] = static_cast<std::uint8_t>((next.octets[6] & 0x0F) | 0x50);
  next.octets[8] = static_cast<std::uint8_t>((next.octets[8] & 0x3F) | 0x80);
  return next;
}

}  // namespace vtee::ta
