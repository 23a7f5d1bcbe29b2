// SPDX-License-Identifier: BSD-3-Clause
// Key exchange and derivation against NIST's CAVP vectors, RFC 5114, 5869, 6070 and 7748
// (test_vectors.h).
#include <gtest/gtest.h>

#include <map>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/asymmetric.h"
#include "ta/crypto/derivation.h"
#include "ta/crypto/key_generation.h"
#include "ta/crypto/test_vector_keys.h"
#include "ta/crypto/test_vectors.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

// "Result = F (7 - ...)": 7
bool FailsBecause(const Vector& vector, int reason) {
  return vector.Text("Result").starts_with("F (" + std::to_string(reason) + " ");
}

struct Derived {
  std::uint32_t result;
  Bytes secret;
};

Derived Derive(std::uint32_t algorithm, const CryptoObject& key, Attributes params) {
  CryptoObject into(objtype::kGenericSecret, 4096);
  SecretBytes confirmation;
  const std::uint32_t result = DeriveKey(algorithm, {key, nullptr}, params, into, confirmation);
  return {result, Bytes(into.secret().begin(), into.secret().end())};
}

Derived Ecdh(const VectorCurve& curve, const Vector& vector) {
  const CryptoObject own = EccKey(objtype::kEcdhKeypair, curve, vector.Number("QsIUTx"),
                                  vector.Number("QsIUTy"), vector.Number("dsIUT"));
  const Bytes x = vector.Number("QsCAVSx");
  const Bytes y = vector.Number("QsCAVSy");
  const Attribute peer[] = {{attr::kEccX, x, 0, 0}, {attr::kEccY, y, 0, 0}};
  return Derive(alg::kEcdh, own, peer);
}

// "EA - SHA1": the parameter sets are the curves in order.
const VectorCurve* CurveOf(const Vector& vector) {
  constexpr std::string_view kSets = "ABCDE";
  constexpr const char* kNames[] = {"P-192", "P-224", "P-256", "P-384", "P-521"};
  const std::string& heading = vector.heading();
  const auto set = heading.size() > 3 && heading[0] == 'E' ? kSets.find(heading[1]) : kSets.npos;
  return set == kSets.npos ? nullptr : FindVectorCurve(kNames[set]);
}

struct Tally {
  int off_the_curve = 0;
  int leading_zeros = 0;
};

// 1, 2: the peer's point is not on the curve. 5, 6: ours is not. 7: our private half is another:
// Z is another, or nothing if the number is above the order. 8: Z is wrong. 13: it begins with
// zeros.
void CheckShared(const Vector& vector, const Derived& derived, Tally& tally) {
  if (FailsBecause(vector, 1) || FailsBecause(vector, 2) || FailsBecause(vector, 5) ||
      FailsBecause(vector, 6)) {
    ++tally.off_the_curve;
    EXPECT_EQ(derived.result, code::kBadParameters);
    return;
  }
  if (FailsBecause(vector, 7) && derived.result == code::kBadParameters) return;
  ASSERT_EQ(derived.result, code::kSuccess);
  const Bytes z = vector.Octets("Z");
  const bool other = FailsBecause(vector, 7) || FailsBecause(vector, 8);
  EXPECT_EQ(derived.secret == z, !other) << ToHex(derived.secret);
  if (vector.passes() && std::to_integer<unsigned>(z[0]) < 16) ++tally.leading_zeros;
}

TEST(NistExchange, Ecdh) {
  for (const char* role : {"init", "resp"}) {
    Tally tally;
    const int count =
        ForEachVector(std::string("asymmetric/ECDH/KASValidityTest_ECCStaticUnified_NOKC_ZZOnly_") +
                          role + ".fax",
                      [&](const Vector& vector) {
                        const VectorCurve* curve = CurveOf(vector);
                        if (curve == nullptr || !vector.Has("Result")) return false;
                        CheckShared(vector, Ecdh(*curve, vector), tally);
                        return true;
                      });
    EXPECT_GE(count, 150);
    EXPECT_GE(tally.off_the_curve, 40);
    EXPECT_GE(tally.leading_zeros, 10);
  }
}

// The secret is stretched with the Concat KDF. 9: the stretched key is wrong; 10: the information.
TEST(NistExchange, EcdhWithConcatKdf) {
  for (const char* role : {"init", "resp"}) {
    Tally tally;
    const int count = ForEachVector(
        std::string("asymmetric/ECDH/KASValidityTest_ECCStaticUnified_KDFConcat_NOKC_") + role +
            ".fax",
        [&](const Vector& vector) {
          const VectorCurve* curve = CurveOf(vector);
          if (curve == nullptr || !vector.Has("Result")) return false;
          const Derived shared = Ecdh(*curve, vector);
          CheckShared(vector, shared, tally);
          const bool other = FailsBecause(vector, 7) || FailsBecause(vector, 8);
          if (shared.result != code::kSuccess || other) return true;
          const Attribute part{0xC00001C1, shared.secret, 0, 0};
          CryptoObject z(objtype::kConcatKdfZ, 4096);
          EXPECT_EQ(z.Populate({&part, 1}), code::kSuccess);
          const Bytes info = vector.Octets("OI");
          const Bytes expected = vector.Octets("DKM");
          const Attribute params[] = {
              {0xD00002C1, info, 0, 0},
              {0xF00003C1, {}, static_cast<std::uint32_t>(expected.size()), 0}};
          const std::uint32_t algorithm = 0x800000C1 | DigestIn(vector.heading()).number << 12;
          const Derived stretched = Derive(algorithm, z, params);
          EXPECT_EQ(stretched.result, code::kSuccess);
          EXPECT_EQ(stretched.secret == expected,
                    !FailsBecause(vector, 9) && !FailsBecause(vector, 10));
          return true;
        });
    EXPECT_GE(count, 300);
    EXPECT_GE(tally.off_the_curve, 80);
    EXPECT_GE(tally.leading_zeros, 20);
  }
}

TEST(NistExchange, PointsOfCurves) {
  int refused = 0;
  std::map<std::string_view, CryptoObject> pairs;
  const CheckVector check = [&](const Vector& vector) {
    const VectorCurve* curve = FindVectorCurve(vector.heading());
    if (curve == nullptr || !vector.Has("Result")) return false;
    CryptoObject& own = pairs[curve->name];
    if (!own.initialized()) {
      const Attribute id{attr::kEccCurve, {}, curve->id, 0};
      own = CryptoObject(objtype::kEcdhKeypair, curve->bits);
      EXPECT_EQ(GenerateKey(own, curve->bits, {&id, 1}), code::kSuccess);
    }
    const Bytes x = vector.Number("Qx");
    const Bytes y = vector.Number("Qy");
    const Attribute peer[] = {{attr::kEccX, x, 0, 0}, {attr::kEccY, y, 0, 0}};
    if (!vector.passes()) ++refused;
    EXPECT_EQ(Derive(alg::kEcdh, own, peer).result,
              vector.passes() ? code::kSuccess : code::kBadParameters);
    // Nor does it verify anything.
    const CryptoObject key = EccKey(objtype::kEcdsaPublic, *curve, x, y);
    EXPECT_EQ(
        AsymmetricVerify(alg::kEcdsaSha256, key, {}, Counting(32), Counting(2 * curve->bytes, 1)),
        kSignatureInvalid);
    return true;
  };
  EXPECT_GE(ForEachVector("asymmetric/ECDSA/FIPS_186-3/PKV.rsp", check), 60);
  EXPECT_GE(refused, 40);
  EXPECT_GE(ForEachVector("asymmetric/ECDSA/FIPS_186-2/PKV.rsp", check), 60);
}

CryptoObject DhPair(const Vector& vector) {
  std::vector<Bytes> numbers;
  for (const char* name : {"P", "G", "YstatIUT", "XstatIUT", "Q"}) {
    numbers.push_back(vector.Number(name));
  }
  const Attribute parts[] = {{attr::kDhPrime, numbers[0], 0, 0},
                             {attr::kDhBase, numbers[1], 0, 0},
                             {attr::kDhPublic, numbers[2], 0, 0},
                             {attr::kDhPrivate, numbers[3], 0, 0}};
  CryptoObject key(objtype::kDhKeypair, 2048);
  EXPECT_EQ(key.Populate(parts), code::kSuccess);
  return key;
}

// Without the zeros in front that Z may have, as OP-TEE does. 1: the peer's value is outside its
// bounds or its subgroup; without the subgroup's order, which keys need not have, only the bounds
// can be checked. 3, 4: our halves do not belong together, and Z is another. 5: Z is wrong.
TEST(NistExchange, Dh) {
  int refused = 0;
  int shortened = 0;
  const CheckVector check = [&](const Vector& vector) {
    if (!vector.Has("Result")) return false;
    const Bytes peer = vector.Number("YstatCAVS");
    const Attribute param{attr::kDhPublic, peer, 0, 0};
    const Derived derived = Derive(alg::kDh, DhPair(vector), {&param, 1});
    if (FailsBecause(vector, 1)) {
      ++refused;
      return true;
    }
    const Bytes z = vector.Octets("Z");
    EXPECT_EQ(derived.result, code::kSuccess);
    const bool other = !vector.passes();
    EXPECT_EQ(Padded(derived.secret, z.size()) == z, !other);
    if (derived.secret.size() < z.size()) ++shortened;
    return true;
  };
  EXPECT_GE(ForEachVector("asymmetric/DH/KASValidityTest_FFCStatic_NOKC_ZZOnly_init.fax", check),
            72);
  EXPECT_GE(ForEachVector("asymmetric/DH/KASValidityTest_FFCStatic_NOKC_ZZOnly_resp.fax", check),
            72);
  EXPECT_GE(refused, 12);
  EXPECT_GE(shortened, 1);
  EXPECT_GE(ForEachVector("asymmetric/DH/RFC5114.txt", check), 3);
}

TEST(NistExchange, MontgomeryCurves) {
  struct Case {
    const char* file;
    std::uint32_t algorithm;
    std::uint32_t type;
    std::uint32_t private_id;
    std::uint32_t public_id;
  };
  for (const Case& each :
       {Case{"X25519", alg::kX25519, objtype::kX25519Keypair, attr::kX25519Private,
             attr::kX25519Public},
        Case{"X448", alg::kX448, objtype::kX448Keypair, attr::kX448Private, attr::kX448Public}}) {
    const int count = ForEachVector(
        std::string("asymmetric/") + each.file + "/rfc7748.txt", [&](const Vector& vector) {
          if (!vector.Has("OUTPUT_U")) return false;
          const Bytes scalar = vector.Octets("INPUT_SCALAR");
          const Bytes u = vector.Octets("INPUT_U");
          // The public half is not looked at.
          const Attribute halves[] = {{each.private_id, scalar, 0, 0}, {each.public_id, u, 0, 0}};
          CryptoObject key(each.type, static_cast<std::uint32_t>(8 * u.size()));
          EXPECT_EQ(key.Populate(halves), code::kSuccess);
          const Attribute param{each.public_id, u, 0, 0};
          const Derived derived = Derive(each.algorithm, key, {&param, 1});
          EXPECT_EQ(derived.result, code::kSuccess);
          EXPECT_EQ(ToHex(derived.secret), vector.Text("OUTPUT_U"));
          return true;
        });
    EXPECT_GE(count, 3) << each.file;
  }
}

CryptoObject Secret(std::uint32_t type, std::uint32_t id, const Bytes& bytes) {
  const Attribute part{id, bytes, 0, 0};
  CryptoObject key(type, 4096);
  EXPECT_EQ(key.Populate({&part, 1}), code::kSuccess);
  return key;
}

TEST(NistExchange, Hkdf) {
  const CheckVector check = [](const Vector& vector) {
    if (!vector.Has("OKM")) return false;
    const Bytes salt = vector.Octets("salt");
    const Bytes info = vector.Octets("info");
    const Bytes expected = vector.Octets("OKM");
    const Attribute params[] = {{0xD00002C0, salt, 0, 0},
                                {0xD00003C0, info, 0, 0},
                                {0xF00004C0, {}, static_cast<std::uint32_t>(expected.size()), 0}};
    const CryptoObject key = Secret(objtype::kHkdfIkm, 0xC00001C0, vector.Octets("IKM"));
    const bool sha1 =
        vector.heading().empty() && vector.Has("PRK") && vector.Octets("PRK").size() == 20;
    const Derived derived = Derive(sha1 ? alg::kHkdfSha1 : alg::kHkdfSha256, key, params);
    // A TA's secrets end at 512 octets.
    constexpr std::size_t kRoom = 512;
    if (expected.size() > kRoom) {
      EXPECT_EQ(derived.result, code::kBadParameters);
    } else {
      EXPECT_EQ(ToHex(derived.secret), ToHex(expected));
    }
    return true;
  };
  EXPECT_GE(ForEachVector("KDF/rfc-5869-HKDF-SHA1.txt", check), 4);
  EXPECT_GE(ForEachVector("KDF/rfc-5869-HKDF-SHA256.txt", check), 3);
  EXPECT_GE(ForEachVector("KDF/hkdf-generated.txt", check), 1);
}

// "pass\0word" has a zero in it.
Bytes Unescaped(std::string text) {
  for (auto at = text.find("\\0"); at != std::string::npos; at = text.find("\\0")) {
    text.replace(at, 2, 1, '\0');
  }
  return Text(text);
}

// One of 16 million iterations is among them.
TEST(NistExchange, Pbkdf2) {
  const int count = ForEachVector("KDF/rfc-6070-PBKDF2-SHA1.txt", [](const Vector& vector) {
    if (!vector.Has("DERIVED_KEY")) return false;
    const Bytes salt = Unescaped(vector.Text("SALT"));
    const auto iterations = static_cast<std::uint32_t>(vector.Count("ITERATIONS"));
    const Attribute params[] = {
        {0xD00002C2, salt, 0, 0},
        {0xF00003C2, {}, iterations, 0},
        {0xF00004C2, {}, static_cast<std::uint32_t>(vector.Count("LENGTH")), 0}};
    const CryptoObject key =
        Secret(objtype::kPbkdf2Password, 0xC00001C2, Unescaped(vector.Text("PASSWORD")));
    const Derived derived = Derive(alg::kPbkdf2Sha1, key, params);
    EXPECT_EQ(derived.result, code::kSuccess);
    EXPECT_EQ(ToHex(derived.secret), vector.Text("DERIVED_KEY"));
    return true;
  });
  EXPECT_GE(count, 6);
}

}  // namespace
}  // namespace vtee::ta
