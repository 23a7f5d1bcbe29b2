// SPDX-License-Identifier: BSD-3-Clause
// DSA, ECDSA and Ed25519 against NIST's CAVP vectors and those of ed25519.cr.yp.to
// (test_vectors.h).
#include <gtest/gtest.h>

#include <fstream>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/asymmetric.h"
#include "ta/crypto/big_number.h"
#include "ta/crypto/test_vector_keys.h"
#include "ta/crypto/test_vectors.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

std::uint32_t WithDigest(const VectorDigest& digest, bool elliptic) {
  constexpr std::uint32_t kCurves = 0x70000042;
  constexpr std::uint32_t kDsa = 0x70000131;
  return elliptic ? kCurves | (digest.number - 1) << 12 : kDsa | digest.number << 12;
}

// r and s, of `size` octets each, or as they came if they are longer.
Bytes Pair(const Vector& vector, std::size_t size) {
  return Joined(Padded(vector.Number("R"), size), Padded(vector.Number("S"), size));
}

// "P-256,SHA-1", "B-163": nothing for curves that no TA can name.
const VectorCurve* CurveOf(const Vector& vector) { return FindVectorCurve(vector.heading()); }

// FIPS 186-2 knew SHA-1 only.
VectorDigest DigestOf(const Vector& vector) {
  const bool named = vector.heading().find("SHA") != std::string::npos;
  return DigestIn(named ? vector.heading() : "SHA-1");
}

void ExpectSigns(std::uint32_t algorithm, const CryptoObject& pair, const Bytes& digest) {
  SecretBytes signature;
  ASSERT_EQ(AsymmetricOperate(algorithm, opmode::kSign, pair, {}, digest, signature),
            code::kSuccess);
  ASSERT_EQ(AsymmetricVerify(algorithm, pair, {}, digest, signature), code::kSuccess);
}

CheckVector EcdsaVerifies(int* refused) {
  return [refused](const Vector& vector) {
    const VectorCurve* curve = CurveOf(vector);
    if (curve == nullptr || !vector.Has("R")) return false;
    const VectorDigest digest = DigestOf(vector);
    const CryptoObject key =
        EccKey(objtype::kEcdsaPublic, *curve, vector.Number("Qx"), vector.Number("Qy"));
    const bool good = !vector.Has("Result") || vector.passes();
    if (!good) ++*refused;
    EXPECT_EQ(AsymmetricVerify(WithDigest(digest, true), key, {}, digest.Of(vector.Octets("Msg")),
                               Pair(vector, curve->bytes)),
              good ? code::kSuccess : kSignatureInvalid);
    return true;
  };
}

TEST(NistSignatures, EcdsaVerifies) {
  int refused = 0;
  // A key that is changed is still a point, or its signature would be refused otherwise.
  EXPECT_GE(ForEachVector("asymmetric/ECDSA/FIPS_186-3/SigVer.rsp", EcdsaVerifies(&refused)), 375);
  EXPECT_GE(refused, 300);
  refused = 0;
  EXPECT_GE(ForEachVector("asymmetric/ECDSA/FIPS_186-2/SigVer.rsp", EcdsaVerifies(&refused)), 75);
  EXPECT_GE(refused, 60);
  EXPECT_GE(ForEachVector("asymmetric/ECDSA/FIPS_186-3/SigGen.txt", EcdsaVerifies(&refused)), 375);
  EXPECT_GE(ForEachVector("asymmetric/ECDSA/FIPS_186-2/SigGen.txt", EcdsaVerifies(&refused)), 75);
}

// The halves of the pairs belong together: what one signs the other verifies.
TEST(NistSignatures, EcdsaSigns) {
  const CheckVector check = [](const Vector& vector) {
    const VectorCurve* curve = CurveOf(vector);
    if (curve == nullptr || !vector.Has("d")) return false;
    const CryptoObject pair = EccKey(objtype::kEcdsaKeypair, *curve, vector.Number("Qx"),
                                     vector.Number("Qy"), vector.Number("d"));
    ExpectSigns(alg::kEcdsaSha256, pair, Counting(32));
    return true;
  };
  EXPECT_GE(ForEachVector("asymmetric/ECDSA/FIPS_186-3/SigGen.txt", check), 375);
}

// Zero, the order, and what is right but for the order on top. Halves with zeros in front are
// taken, as OP-TEE takes them.
void ExpectKeepsBounds(std::uint32_t algorithm, const CryptoObject& key, const Bytes& hash,
                       const Vector& vector) {
  const ConstBytes order = key.Bytes(attr::kDsaSubprime);
  const std::size_t size = order.size() + 4;
  const Bytes r = Padded(vector.Number("R"), size);
  const Bytes s = Padded(vector.Number("S"), size);
  const auto more = [&](const Bytes& number) {
    const BnPtr sum = NewNumber();
    EXPECT_EQ(BN_add(sum.get(), ToNumber(number).get(), ToNumber(order).get()), 1);
    const SecretBytes bytes = FromNumberPadded(sum.get(), size);
    return Bytes(bytes.begin(), bytes.end());
  };
  const Bytes zero(size);
  const Bytes all = more(zero);
  EXPECT_EQ(AsymmetricVerify(algorithm, key, {}, hash, Joined(r, s)), code::kSuccess);
  for (const Bytes& wrong :
       {Joined(zero, s), Joined(r, zero), Joined(zero, zero), Joined(all, s), Joined(r, all),
        Joined(more(r), s), Joined(r, more(s)), Joined(more(r), more(s)), Joined(s, r),
        Joined(Joined(r, s), Bytes(1)), Joined(Joined(r, s), Bytes(2))}) {
    EXPECT_EQ(AsymmetricVerify(algorithm, key, {}, hash, wrong), kSignatureInvalid);
  }
}

CheckVector DsaVerifies(int* refused) {
  return [refused](const Vector& vector) {
    if (!vector.Has("R")) return false;
    const VectorDigest digest = DigestOf(vector);
    // OP-TEE has SHA-1, SHA-224 and SHA-256 for DSA.
    if (digest.number > 4) return false;
    std::vector<Bytes> numbers;
    for (const char* name : {"P", "Q", "G", "Y", "X"}) numbers.push_back(vector.Number(name));
    const Attribute parts[] = {{attr::kDsaPrime, numbers[0], 0, 0},
                               {attr::kDsaSubprime, numbers[1], 0, 0},
                               {attr::kDsaBase, numbers[2], 0, 0},
                               {attr::kDsaPublic, numbers[3], 0, 0},
                               {attr::kDsaPrivate, numbers[4], 0, 0}};
    CryptoObject key(objtype::kDsaPublic, 3072);
    CryptoObject pair(objtype::kDsaKeypair, 3072);
    EXPECT_EQ(key.Populate(std::span(parts).first(4)), code::kSuccess);
    EXPECT_EQ(pair.Populate(parts), code::kSuccess);
    const bool good = !vector.Has("Result") || vector.passes();
    if (!good) ++*refused;
    const std::uint32_t algorithm = WithDigest(digest, false);
    const Bytes hash = digest.Of(vector.Octets("Msg"));
    EXPECT_EQ(AsymmetricVerify(algorithm, key, {}, hash,
                               Pair(vector, key.Bytes(attr::kDsaSubprime).size())),
              good ? code::kSuccess : kSignatureInvalid);
    if (good) ExpectSigns(algorithm, pair, hash);
    if (good) ExpectKeepsBounds(algorithm, key, hash, vector);
    return true;
  };
}

TEST(NistSignatures, Dsa) {
  int refused = 0;
  EXPECT_GE(ForEachVector("asymmetric/DSA/FIPS_186-3/SigVer.rsp", DsaVerifies(&refused)), 180);
  EXPECT_GE(refused, 90);
  refused = 0;
  EXPECT_GE(ForEachVector("asymmetric/DSA/FIPS_186-2/SigVer.rsp", DsaVerifies(&refused)), 15);
  EXPECT_GE(refused, 8);
  EXPECT_GE(ForEachVector("asymmetric/DSA/FIPS_186-3/SigGen.txt", DsaVerifies(&refused)), 180);
  EXPECT_GE(ForEachVector("asymmetric/DSA/FIPS_186-2/SigGen.txt", DsaVerifies(&refused)), 15);
}

// Lines of private and public key, public key, message, signature and message, with colons between.
TEST(NistSignatures, Ed25519) {
  std::ifstream in(std::string(VTEE_CRYPTO_VECTORS) + "/asymmetric/Ed25519/sign.input");
  std::string line;
  int count = 0;
  while (std::getline(in, line)) {
    std::vector<Bytes> fields;
    std::istringstream parts(line);
    for (std::string part; std::getline(parts, part, ':');) fields.push_back(Hex(part));
    ASSERT_GE(fields.size(), 4U);
    fields[0].resize(32);
    fields[3].resize(64);
    const Attribute halves[] = {{attr::kEd25519Private, fields[0], 0, 0},
                                {attr::kEd25519Public, fields[1], 0, 0}};
    CryptoObject key(objtype::kEd25519Keypair, 256);
    ASSERT_EQ(key.Populate(halves), code::kSuccess);
    SecretBytes signature;
    ASSERT_EQ(AsymmetricOperate(alg::kEd25519, opmode::kSign, key, {}, fields[2], signature),
              code::kSuccess);
    ASSERT_EQ(ToHex(signature), ToHex(fields[3]));
    ASSERT_EQ(AsymmetricVerify(alg::kEd25519, key, {}, fields[2], signature), code::kSuccess);
    signature[fields[2].size() % 64] ^= std::byte{1};
    ASSERT_EQ(AsymmetricVerify(alg::kEd25519, key, {}, fields[2], signature), kSignatureInvalid);
    ++count;
  }
  EXPECT_GE(count, 1024);
}

}  // namespace
}  // namespace vtee::ta
