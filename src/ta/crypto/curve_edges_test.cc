// SPDX-License-Identifier: BSD-3-Clause
// What a hostile peer sends to the curves of NIST: points that are none, numbers at and beyond
// their bounds. The cases are those that Wycheproof collects; the numbers follow from the curves.
#include <gtest/gtest.h>
#include <openssl/err.h>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/asymmetric.h"
#include "ta/crypto/big_number.h"
#include "ta/crypto/curves.h"
#include "ta/crypto/derivation.h"
#include "ta/crypto/key_generation.h"
#include "ta/crypto/operation_modes.h"
#include "ta/crypto/test_bytes.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

Bytes Plain(const SecretBytes& bytes) { return {bytes.begin(), bytes.end()}; }

BnPtr Number(std::string_view digits) { return ToNumber(Hex(digits)); }

class OnCurve : public testing::TestWithParam<std::uint32_t> {
 protected:
  OnCurve()
      : curve_(*FindCurve(GetParam())),
        group_(EC_GROUP_new_by_curve_name(curve_.nid)),
        context_(NewNumberContext()) {
    EXPECT_EQ(EC_GROUP_get_curve(group_.get(), p_.get(), a_.get(), b_.get(), context_.get()), 1);
    EXPECT_EQ(EC_GROUP_get_order(group_.get(), order_.get(), context_.get()), 1);
    EXPECT_EQ(EC_POINT_get_affine_coordinates(group_.get(), EC_GROUP_get0_generator(group_.get()),
                                              x_.get(), y_.get(), context_.get()),
              1);
  }

  BnPtr Sum(const BIGNUM* first, const BIGNUM* second) const {
    BnPtr sum = NewNumber();
    EXPECT_EQ(BN_add(sum.get(), first, second), 1);
    return sum;
  }
  BnPtr Difference(const BIGNUM* first, const BIGNUM* second) const {
    BnPtr difference = NewNumber();
    EXPECT_EQ(BN_sub(difference.get(), first, second), 1);
    return difference;
  }
  // y of a point with this x. Null: x is one of the twist's.
  BnPtr YOf(const BIGNUM* x) const {
    BnPtr y = NewNumber();
    EXPECT_EQ(BN_mod_sqr(y.get(), x, p_.get(), context_.get()), 1);
    EXPECT_EQ(BN_mod_add(y.get(), y.get(), a_.get(), p_.get(), context_.get()), 1);
    EXPECT_EQ(BN_mod_mul(y.get(), y.get(), x, p_.get(), context_.get()), 1);
    EXPECT_EQ(BN_mod_add(y.get(), y.get(), b_.get(), p_.get(), context_.get()), 1);
    BnPtr root(BN_mod_sqrt(nullptr, y.get(), p_.get(), context_.get()));
    ERR_clear_error();
    return root;
  }

  CryptoObject Pair(std::uint32_t type, const BIGNUM* d) const {
    CryptoObject key(type, curve_.bits);
    key.SetValue(attr::kEccCurve, curve_.id);
    key.SetBytes(attr::kEccX, FromNumber(x_.get()));
    key.SetBytes(attr::kEccY, FromNumber(y_.get()));
    key.SetBytes(attr::kEccPrivate, FromNumber(d));
    key.Fill(curve_.bits);
    return key;
  }

  std::uint32_t Derive(const BIGNUM* d, const Bytes& x, const Bytes& y, Bytes& secret) const {
    const Attribute peer[] = {{attr::kEccX, x, 0, 0}, {attr::kEccY, y, 0, 0}};
    CryptoObject into(objtype::kGenericSecret, 4096);
    SecretBytes confirmation;
    const std::uint32_t result =
        DeriveKey(alg::kEcdh, {Pair(objtype::kEcdhKeypair, d), nullptr}, peer, into, confirmation);
    secret.assign(into.secret().begin(), into.secret().end());
    return result;
  }
  std::uint32_t Derive(const BIGNUM* d, const BIGNUM* x, const BIGNUM* y, Bytes& secret) const {
    return Derive(d, Plain(FromNumber(x)), Plain(FromNumber(y)), secret);
  }

  // r and s as they stand in a signature; empty: one is too long to stand there.
  Bytes Signature(const BIGNUM* r, const BIGNUM* s) const {
    const Bytes first = Plain(FromNumberPadded(r, curve_.bytes));
    const Bytes second = Plain(FromNumberPadded(s, curve_.bytes));
    return first.empty() || second.empty() ? Bytes() : Joined(first, second);
  }
  std::uint32_t Verify(const CryptoObject& key, const Bytes& digest, const Bytes& signature) const {
    return AsymmetricVerify(alg::kEcdsaSha256, key, {}, digest, signature);
  }

  const Curve& curve_;
  std::unique_ptr<EC_GROUP, Deleter<EC_GROUP_free>> group_;
  BnContextPtr context_;
  BnPtr p_ = NewNumber(), a_ = NewNumber(), b_ = NewNumber(), order_ = NewNumber();
  BnPtr x_ = NewNumber(), y_ = NewNumber();  // the generator
};
INSTANTIATE_TEST_SUITE_P(All, OnCurve, testing::Values(1u, 2u, 3u, 4u, 5u));

TEST_P(OnCurve, PointsThatAreNoneAreRefused) {
  const BnPtr d = Number("1234567890abcdef");
  Bytes secret;
  ASSERT_EQ(Derive(d.get(), x_.get(), y_.get(), secret), code::kSuccess);
  const auto refused = [&](const BIGNUM* x, const BIGNUM* y) {
    Bytes none;
    EXPECT_EQ(Derive(d.get(), x, y, none), code::kBadParameters)
        << ToHex(FromNumber(x)) << " " << ToHex(FromNumber(y));
    EXPECT_TRUE(none.empty());
  };
  const BnPtr zero = NewNumber();
  const BnPtr one = Number("01");
  // What stands for infinity, and near the curve.
  refused(zero.get(), zero.get());
  refused(x_.get(), zero.get());
  refused(x_.get(), Sum(y_.get(), one.get()).get());
  refused(Sum(x_.get(), one.get()).get(), y_.get());
  refused(y_.get(), x_.get());
  // The same point with numbers that are not below the prime.
  refused(Sum(x_.get(), p_.get()).get(), y_.get());
  refused(x_.get(), Sum(y_.get(), p_.get()).get());
  refused(p_.get(), p_.get());
  // Of the twist, and with an x that is small enough to take the prime on top of it.
  int twisted = 0;
  int points = 0;
  for (const BnPtr x = NewNumber(); twisted < 5 || points < 5;) {
    ASSERT_EQ(BN_add_word(x.get(), 1), 1);
    if (const BnPtr y = YOf(x.get())) {
      ++points;
      EXPECT_EQ(Derive(d.get(), x.get(), y.get(), secret), code::kSuccess);
      refused(Sum(x.get(), p_.get()).get(), y.get());
    } else {
      ++twisted;
      refused(x.get(), one.get());
      refused(x.get(), y_.get());
    }
  }
}

// Nothing is wrong with a coordinate that is zero, or that comes with zeros in front.
TEST_P(OnCurve, ZerosInCoordinates) {
  const BnPtr d = Number("1234567890abcdef");
  Bytes secret;
  Bytes again;
  ASSERT_EQ(Derive(d.get(), x_.get(), y_.get(), secret), code::kSuccess);
  const Bytes zeros(40);
  ASSERT_EQ(Derive(d.get(), Joined(zeros, Plain(FromNumber(x_.get()))),
                   Joined(zeros, Plain(FromNumber(y_.get()))), again),
            code::kSuccess);
  EXPECT_EQ(secret, again);
  const BnPtr zero = NewNumber();
  const BnPtr y = YOf(zero.get());
  if (!y) return;
  ASSERT_EQ(Derive(d.get(), zero.get(), y.get(), secret), code::kSuccess);
  ASSERT_EQ(Derive(d.get(), Bytes(3), Plain(FromNumber(y.get())), again), code::kSuccess);
  EXPECT_EQ(secret, again);
  const BnPtr one = Number("01");
  ASSERT_EQ(Derive(one.get(), zero.get(), y.get(), secret), code::kSuccess);
  EXPECT_EQ(secret, Bytes(curve_.bytes));
}

TEST_P(OnCurve, PrivateNumbersAtTheirBounds) {
  const BnPtr one = Number("01");
  Bytes secret;
  const Bytes x = Plain(FromNumberPadded(x_.get(), curve_.bytes));
  const BnPtr good[] = {Number("01"), Difference(order_.get(), one.get())};
  for (const BnPtr& d : good) {
    ASSERT_EQ(Derive(d.get(), x_.get(), y_.get(), secret), code::kSuccess);
    EXPECT_EQ(secret, x);
  }
  const BnPtr bad[] = {NewNumber(), Difference(order_.get(), NewNumber().get()),
                       Sum(order_.get(), one.get()), Sum(order_.get(), order_.get()),
                       ToNumber(Bytes(curve_.bytes, std::byte{0xFF}))};
  SecretBytes signature;
  for (const BnPtr& d : bad) {
    EXPECT_EQ(Derive(d.get(), x_.get(), y_.get(), secret), code::kBadParameters);
    EXPECT_EQ(AsymmetricOperate(alg::kEcdsaSha256, opmode::kSign,
                                Pair(objtype::kEcdsaKeypair, d.get()), {}, Counting(32), signature),
              code::kBadParameters);
  }
}

TEST_P(OnCurve, SignaturesOutsideTheirBoundsAreInvalid) {
  const BnPtr one = Number("01");
  const CryptoObject key = Pair(objtype::kEcdsaKeypair, one.get());
  const Bytes digest = Counting(32);
  SecretBytes made;
  ASSERT_EQ(AsymmetricOperate(alg::kEcdsaSha256, opmode::kSign, key, {}, digest, made),
            code::kSuccess);
  const BnPtr r = ToNumber(ConstBytes(made).first(curve_.bytes));
  const BnPtr s = ToNumber(ConstBytes(made).subspan(curve_.bytes));
  ASSERT_EQ(Verify(key, digest, Plain(made)), code::kSuccess);
  // The other s of two; ECDSA has both.
  EXPECT_EQ(Verify(key, digest, Signature(r.get(), Difference(order_.get(), s.get()).get())),
            code::kSuccess);
  const BnPtr zero = NewNumber();
  const BnPtr wrong[] = {NewNumber(),
                         Number("01"),
                         Difference(order_.get(), one.get()),
                         Sum(order_.get(), zero.get()),
                         Sum(order_.get(), one.get()),
                         Sum(order_.get(), r.get()),
                         Sum(order_.get(), s.get()),
                         Difference(p_.get(), one.get()),
                         Sum(p_.get(), zero.get()),
                         ToNumber(Bytes(curve_.bytes, std::byte{0xFF}))};
  int tried = 0;
  for (const BnPtr& each : wrong) {
    for (const Bytes& signature :
         {Signature(each.get(), s.get()), Signature(r.get(), each.get()),
          Signature(each.get(), each.get()), Signature(each.get(), one.get()),
          Signature(zero.get(), each.get())}) {
      if (signature.empty()) continue;
      EXPECT_EQ(Verify(key, digest, signature), kSignatureInvalid) << ToHex(signature);
      ++tried;
    }
  }
  EXPECT_GE(tried, 30);
  EXPECT_EQ(Verify(key, digest, Signature(s.get(), r.get())), kSignatureInvalid);
}

// u1 G + u2 Q is infinity whatever s is: the digest is the order less r, and Q is G.
TEST_P(OnCurve, InfinityVerifiesNothing) {
  const BnPtr one = Number("01");
  const CryptoObject key = Pair(objtype::kEcdsaKeypair, one.get());
  for (const char* number : {"01", "02", "123456789a"}) {
    const BnPtr r = Number(number);
    // Of a digest the first bits count.
    const BnPtr cut = Difference(order_.get(), r.get());
    ASSERT_EQ(BN_lshift(cut.get(), cut.get(), static_cast<int>(8 * curve_.bytes - curve_.bits)), 1);
    const Bytes digest = Plain(FromNumberPadded(cut.get(), curve_.bytes));
    ASSERT_FALSE(digest.empty());
    EXPECT_EQ(Verify(key, digest, Signature(r.get(), one.get())), kSignatureInvalid);
    EXPECT_EQ(Verify(key, digest, Signature(r.get(), r.get())), kSignatureInvalid);
  }
}

TEST_P(OnCurve, DigestsOfAnyValueAreSigned) {
  const CryptoObject key = Pair(objtype::kEcdsaKeypair, Number("01").get());
  SecretBytes signature;
  for (const Bytes& digest :
       {Bytes(20), Bytes(64), Bytes(28, std::byte{0xFF}), Bytes(64, std::byte{0xFF}),
        Plain(FromNumberPadded(order_.get(), curve_.bytes))}) {
    ASSERT_EQ(AsymmetricOperate(alg::kEcdsaSha256, opmode::kSign, key, {}, digest, signature),
              code::kSuccess);
    EXPECT_EQ(Verify(key, digest, Plain(signature)), code::kSuccess) << ToHex(digest);
  }
}

// A TA would not survive another answer, and keys come from anybody.
TEST_P(OnCurve, KeysThatAreNoPointsVerifyNothing) {
  CryptoObject key = Pair(objtype::kEcdsaKeypair, Number("01").get());
  SecretBytes signature;
  ASSERT_EQ(AsymmetricOperate(alg::kEcdsaSha256, opmode::kSign, key, {}, Counting(32), signature),
            code::kSuccess);
  for (const Bytes& x : {Bytes(), Hex("01"), Plain(FromNumber(y_.get())),
                         Plain(FromNumber(p_.get())), Bytes(100, std::byte{0xFF})}) {
    key.SetBytes(attr::kEccX, x);
    EXPECT_EQ(Verify(key, Counting(32), Plain(signature)), kSignatureInvalid) << ToHex(x);
  }
}

class Sm2Edges : public testing::Test {
 protected:
  static CryptoObject Key(std::uint32_t type) {
    CryptoObject key(type, 256);
    EXPECT_EQ(GenerateKey(key, 256, {}), code::kSuccess);
    return key;
  }
};

// t = r + s must not be zero either.
TEST_F(Sm2Edges, SignaturesOutsideTheirBoundsAreInvalid) {
  const CryptoObject key = Key(objtype::kSm2DsaKeypair);
  const BnPtr order = Number("FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123");
  const Bytes digest = Counting(32);
  SecretBytes made;
  ASSERT_EQ(AsymmetricOperate(alg::kSm2DsaSm3, opmode::kSign, key, {}, digest, made),
            code::kSuccess);
  const BnPtr r = ToNumber(ConstBytes(made).first(32));
  const BnPtr less = NewNumber();
  ASSERT_EQ(BN_sub(less.get(), order.get(), r.get()), 1);
  const Bytes ours(made.begin(), made.begin() + 32);
  const Bytes theirs(made.begin() + 32, made.end());
  const Bytes n = Plain(FromNumber(order.get()));
  const Bytes zero(32);
  const Bytes all(32, std::byte{0xFF});
  for (const Bytes& signature :
       {Joined(ours, zero), Joined(zero, theirs), Joined(zero, zero), Joined(ours, n),
        Joined(n, theirs), Joined(all, theirs), Joined(ours, all), Joined(theirs, ours),
        Joined(ours, Plain(FromNumberPadded(less.get(), 32))), Joined(zero, Plain(made)),
        Bytes(made.begin(), made.end() - 1), Bytes()}) {
    EXPECT_EQ(AsymmetricVerify(alg::kSm2DsaSm3, key, {}, digest, signature), kSignatureInvalid)
        << ToHex(signature);
  }
  EXPECT_EQ(AsymmetricVerify(alg::kSm2DsaSm3, key, {}, digest, made), code::kSuccess);
}

TEST_F(Sm2Edges, CiphertextsThatAreChangedAreRefused) {
  const CryptoObject key = Key(objtype::kSm2PkeKeypair);
  SecretBytes sealed;
  ASSERT_EQ(AsymmetricOperate(alg::kSm2Pke, opmode::kEncrypt, key, {}, Text("message"), sealed),
            code::kSuccess);
  SecretBytes out;
  const auto decrypt = [&](const Bytes& bytes) {
    return AsymmetricOperate(alg::kSm2Pke, opmode::kDecrypt, key, {}, bytes, out);
  };
  ASSERT_EQ(decrypt(Plain(sealed)), code::kSuccess);
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    Bytes changed = Plain(sealed);
    changed[i] ^= std::byte{1};
    EXPECT_EQ(decrypt(changed), code::kBadParameters) << i;
  }
  for (std::size_t size = 0; size < sealed.size(); ++size) {
    EXPECT_EQ(decrypt(Bytes(sealed.begin(), sealed.begin() + static_cast<std::ptrdiff_t>(size))),
              code::kBadParameters)
        << size;
  }
  EXPECT_EQ(decrypt(Joined(Plain(sealed), Bytes(1))), code::kBadParameters);
  // Infinity, as zeros.
  Bytes infinity = Plain(sealed);
  std::fill_n(infinity.begin() + 1, 64, std::byte{0});
  EXPECT_EQ(decrypt(infinity), code::kBadParameters);
}

}  // namespace
}  // namespace vtee::ta
