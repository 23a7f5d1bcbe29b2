// SPDX-License-Identifier: BSD-3-Clause
// X25519, X448 and Ed25519 with points of small order and numbers in more than one form (RFC 7748,
// 5 and 6; RFC 8032, 5.1).
#include <gtest/gtest.h>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/asymmetric.h"
#include "ta/crypto/derivation.h"
#include "ta/crypto/key_generation.h"
#include "ta/crypto/operation_modes.h"
#include "ta/crypto/test_bytes.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

std::uint32_t Exchange(std::uint32_t algorithm, const Bytes& peer, Bytes& secret) {
  const bool small = algorithm == alg::kX25519;
  CryptoObject key(small ? objtype::kX25519Keypair : objtype::kX448Keypair, small ? 256 : 448);
  key.SetBytes(small ? attr::kX25519Private : attr::kX448Private, Counting(small ? 32 : 56, 7));
  key.Fill(key.max_bits());
  const Attribute param{small ? attr::kX25519Public : attr::kX448Public, peer, 0, 0};
  CryptoObject into(objtype::kGenericSecret, 4096);
  SecretBytes confirmation;
  const std::uint32_t result =
      DeriveKey(algorithm, {key, nullptr}, {&param, 1}, into, confirmation);
  secret.assign(into.secret().begin(), into.secret().end());
  return result;
}

// A number, lowest octet first: `first`, then `middle` again and again, then `last`.
Bytes Filled(std::size_t size, unsigned first, unsigned middle, unsigned last) {
  Bytes bytes(size, static_cast<std::byte>(middle));
  bytes.front() = static_cast<std::byte>(first);
  bytes.back() = static_cast<std::byte>(last);
  return bytes;
}

// All that lead to zero: 0, 1, two of order 8, p - 1, and those that are the same with p on top;
// each with and without the bit that is not looked at.
TEST(X25519Edges, PointsOfSmallOrderAreRefused) {
  const Bytes points[] = {Bytes(32),
                          Filled(32, 1, 0, 0),
                          Hex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"),
                          Hex("5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"),
                          Filled(32, 0xEC, 0xFF, 0x7F),
                          Filled(32, 0xED, 0xFF, 0x7F),
                          Filled(32, 0xEE, 0xFF, 0x7F)};
  Bytes secret;
  for (Bytes point : points) {
    EXPECT_EQ(Exchange(alg::kX25519, point, secret), code::kBadParameters) << ToHex(point);
    point.back() |= std::byte{0x80};
    EXPECT_EQ(Exchange(alg::kX25519, point, secret), code::kBadParameters) << ToHex(point);
    EXPECT_TRUE(secret.empty());
  }
}

TEST(X25519Edges, ANumberInMoreThanOneForm) {
  Bytes nine;
  Bytes secret;
  ASSERT_EQ(Exchange(alg::kX25519, Filled(32, 9, 0, 0), nine), code::kSuccess);
  // 9 + p; the highest bit.
  for (const Bytes& same : {Filled(32, 0xF6, 0xFF, 0x7F), Filled(32, 9, 0, 0x80)}) {
    ASSERT_EQ(Exchange(alg::kX25519, same, secret), code::kSuccess);
    EXPECT_EQ(ToHex(secret), ToHex(nine));
  }
  for (const std::size_t size : {0u, 31u, 33u, 56u, 64u}) {
    EXPECT_EQ(Exchange(alg::kX25519, Bytes(size, std::byte{9}), secret), code::kBadParameters);
  }
}

TEST(X448Edges, PointsOfSmallOrderAreRefused) {
  const Bytes zeros(28);
  const Bytes ones(28, std::byte{0xFF});
  const Bytes high = Filled(28, 0xFE, 0xFF, 0xFF);
  // 0, 1, p - 1, p, p + 1
  const Bytes points[] = {Bytes(56), Filled(56, 1, 0, 0), Joined(high, high), Joined(ones, high),
                          Joined(zeros, ones)};
  Bytes secret;
  for (const Bytes& point : points) {
    EXPECT_EQ(Exchange(alg::kX448, point, secret), code::kBadParameters) << ToHex(point);
    EXPECT_TRUE(secret.empty());
  }
}

TEST(X448Edges, ANumberInMoreThanOneForm) {
  Bytes five;
  Bytes secret;
  ASSERT_EQ(Exchange(alg::kX448, Filled(56, 5, 0, 0), five), code::kSuccess);
  // 5 + p
  ASSERT_EQ(Exchange(alg::kX448, Joined(Filled(28, 4, 0, 0), Bytes(28, std::byte{0xFF})), secret),
            code::kSuccess);
  EXPECT_EQ(ToHex(secret), ToHex(five));
  for (const std::size_t size : {0u, 32u, 55u, 57u}) {
    EXPECT_EQ(Exchange(alg::kX448, Bytes(size, std::byte{5}), secret), code::kBadParameters);
  }
}

// Plain, and with a context, which are not the same code.
class Ed25519Edges : public testing::TestWithParam<bool> {
 protected:
  Attributes params() const { return {&context_, GetParam() ? 1u : 0u}; }
  std::uint32_t Verify(const CryptoObject& key, const Bytes& signature) const {
    return AsymmetricVerify(alg::kEd25519, key, params(), message_, signature);
  }

  Bytes text_ = Text("context");
  Attribute context_{attr::kEddsaContext, text_, 0, 0};
  Bytes message_ = Text("message");
};
INSTANTIATE_TEST_SUITE_P(All, Ed25519Edges, testing::Bool());

// The order of the base point, lowest octet first.
constexpr std::string_view kOrder =
    "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

Bytes Sum(std::span<const std::byte> first, std::span<const std::byte> second) {
  Bytes sum(first.begin(), first.end());
  unsigned carry = 0;
  for (std::size_t i = 0; i < sum.size(); ++i) {
    carry += std::to_integer<unsigned>(sum[i]) + std::to_integer<unsigned>(second[i]);
    sum[i] = static_cast<std::byte>(carry);
    carry >>= 8;
  }
  return sum;
}

TEST_P(Ed25519Edges, SHasOneForm) {
  CryptoObject key(objtype::kEd25519Keypair, 256);
  ASSERT_EQ(GenerateKey(key, 256, {}), code::kSuccess);
  SecretBytes made;
  ASSERT_EQ(AsymmetricOperate(alg::kEd25519, opmode::kSign, key, params(), message_, made),
            code::kSuccess);
  const Bytes r(made.begin(), made.begin() + 32);
  Bytes s(made.begin() + 32, made.end());
  ASSERT_EQ(Verify(key, Joined(r, s)), code::kSuccess);
  // s + 1 to 7 times the order says the same.
  for (int i = 0; i < 7; ++i) {
    s = Sum(s, Hex(kOrder));
    EXPECT_EQ(Verify(key, Joined(r, s)), kSignatureInvalid) << ToHex(s);
  }
  for (const std::size_t size : {0u, 1u, 32u, 63u}) {
    EXPECT_EQ(Verify(key, Bytes(made.begin(), made.begin() + static_cast<std::ptrdiff_t>(size))),
              kSignatureInvalid);
  }
  EXPECT_EQ(Verify(key, Joined(made, Bytes(1))), kSignatureInvalid);
}

// With the neutral point for a key and s = 0, R is the neutral point whatever the message: in one
// form only.
TEST_P(Ed25519Edges, RHasOneForm) {
  const Bytes neutral = Filled(32, 1, 0, 0);
  const Attribute part{attr::kEd25519Public, neutral, 0, 0};
  CryptoObject key(objtype::kEd25519Public, 256);
  ASSERT_EQ(key.Populate({&part, 1}), code::kSuccess);
  ASSERT_EQ(Verify(key, Joined(neutral, Bytes(32))), code::kSuccess);
  EXPECT_EQ(Verify(key, Joined(neutral, Hex(kOrder))), kSignatureInvalid);
  // With p on top; with the sign of an x that is zero.
  for (const Bytes& other : {Filled(32, 0xEE, 0xFF, 0x7F), Filled(32, 1, 0, 0x80),
                             Filled(32, 0xEE, 0xFF, 0xFF), Bytes(32)}) {
    EXPECT_EQ(Verify(key, Joined(other, Bytes(32))), kSignatureInvalid) << ToHex(other);
  }
}

TEST_P(Ed25519Edges, KeysThatAreNoPointsVerifyNothing) {
  // y = 2 has no x; y = 1 has x = 0, which has no sign.
  for (const Bytes& bytes : {Filled(32, 2, 0, 0), Filled(32, 2, 0, 0x80)}) {
    const Attribute part{attr::kEd25519Public, bytes, 0, 0};
    CryptoObject key(objtype::kEd25519Public, 256);
    ASSERT_EQ(key.Populate({&part, 1}), code::kSuccess);
    EXPECT_EQ(Verify(key, Joined(Filled(32, 1, 0, 0), Bytes(32))), kSignatureInvalid);
    EXPECT_EQ(Verify(key, Joined(bytes, Bytes(32))), kSignatureInvalid);
  }
}

}  // namespace
}  // namespace vtee::ta
