// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/ed25519_variants.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "ta/crypto/big_number.h"
#include "ta/crypto/edwards25519.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;
namespace curve = edwards25519;
using curve::kBytes;
constexpr std::size_t kHash = 64;
constexpr std::size_t kMostContext = 255;

void Check(int ok) {
  if (ok != 1) throw std::bad_alloc();
}

// SHA-512 of the parts, one after the other.
SecretBytes Hash(std::initializer_list<ConstBytes> parts) {
  const std::unique_ptr<EVP_MD_CTX, Deleter<EVP_MD_CTX_free>> context(EVP_MD_CTX_new());
  if (!context) throw std::bad_alloc();
  Check(EVP_DigestInit_ex(context.get(), EVP_sha512(), nullptr));
  for (const ConstBytes part : parts) {
    Check(EVP_DigestUpdate(context.get(), part.data(), part.size()));
  }
  SecretBytes digest(kHash);
  Check(EVP_DigestFinal_ex(context.get(), Out(digest), nullptr));
  return digest;
}

SecretBytes HashModOrder(std::initializer_list<ConstBytes> parts) {
  const SecretBytes hash = Hash(parts);
  SecretBytes scalar(kBytes);
  curve::Reduce(std::span(hash).first<kHash>(), std::span(scalar).first<kBytes>());
  return scalar;
}

// dom2(phflag, context)
SecretBytes Prefix(const EdVariant& variant) {
  constexpr std::string_view kText = "SigEd25519 no Ed25519 collisions";
  SecretBytes prefix = Secret(std::as_bytes(std::span(kText)));
  prefix.push_back(variant.prehash ? std::byte{1} : std::byte{0});
  prefix.push_back(static_cast<std::byte>(variant.context.size()));
  prefix.insert(prefix.end(), variant.context.begin(), variant.context.end());
  return prefix;
}

}  // namespace

std::uint32_t SignEd25519Variant(ConstBytes private_key, ConstBytes public_key,
                                 const EdVariant& variant, ConstBytes message,
                                 SecretBytes& signature) {
  if (private_key.size() != kBytes || public_key.size() != kBytes ||
      variant.context.size() > kMostContext) {
    return code::kBadParameters;
  }
  const SecretBytes prefix = Prefix(variant);
  const SecretBytes hashed = variant.prehash ? Hash({message}) : SecretBytes();
  const ConstBytes text = variant.prehash ? ConstBytes(hashed) : message;
  SecretBytes expanded = Hash({private_key});
  expanded[0] &= std::byte{0xF8};
  expanded[kBytes - 1] &= std::byte{0x7F};
  expanded[kBytes - 1] |= std::byte{0x40};
  const auto scalar = std::span(expanded).first<kBytes>();
  const ConstBytes nonce_key = ConstBytes(expanded).subspan(kBytes);

  // The public key that the private one has, not the one that came with it: signatures under
  // two public keys would give the private key away.
  std::array<std::byte, kBytes> own;
  curve::MultiplyBase(scalar, own);
  const SecretBytes r = HashModOrder({prefix, nonce_key, text});
  signature.resize(2 * kBytes);
  const auto encoded = std::span(signature).first<kBytes>();
  curve::MultiplyBase(std::span(r).first<kBytes>(), encoded);
  const SecretBytes k = HashModOrder({prefix, encoded, own, text});
  curve::MultiplyAdd(std::span(k).first<kBytes>(), scalar, std::span(r).first<kBytes>(),
                     std::span(signature).last<kBytes>());
  return code::kSuccess;
}

bool VerifyEd25519Variant(ConstBytes public_key, const EdVariant& variant, ConstBytes message,
                          ConstBytes signature) {
  if (public_key.size() != kBytes || signature.size() != 2 * kBytes ||
      variant.context.size() > kMostContext) {
    return false;
  }
  const ConstBytes encoded = signature.first(kBytes);
  const auto s = signature.last<kBytes>();
  if (!curve::IsReduced(s)) return false;
  const SecretBytes prefix = Prefix(variant);
  const SecretBytes hashed = variant.prehash ? Hash({message}) : SecretBytes();
  const ConstBytes text = variant.prehash ? ConstBytes(hashed) : message;
  const SecretBytes k = HashModOrder({prefix, encoded, public_key, text});
  std::array<std::byte, kBytes> expected;
  return curve::VerificationPoint(s, std::span(k).first<kBytes>(), public_key.first<kBytes>(),
                                  expected) &&
         std::equal(expected.begin(), expected.end(), encoded.begin(), encoded.end());
}

}  // namespace vtee::ta
