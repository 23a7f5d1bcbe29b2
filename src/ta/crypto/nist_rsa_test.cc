// SPDX-License-Identifier: BSD-3-Clause
// RSA against NIST's CAVP vectors, those of RSA Security, and OAEP with all pairs of digests
// (test_vectors.h).
#include <gtest/gtest.h>

#include <fstream>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/asymmetric.h"
#include "ta/crypto/test_vector_keys.h"
#include "ta/crypto/test_vectors.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

std::uint32_t Pkcs1With(const VectorDigest& digest) { return 0x70000830 | digest.number << 12; }
std::uint32_t PssWith(const VectorDigest& digest) {
  return 0x70010930 | digest.number << 12 | digest.number << 20;
}

CryptoObject PublicKey(const Bytes& modulus, const Bytes& exponent) {
  const Attribute parts[] = {{attr::kRsaModulus, modulus, 0, 0},
                             {attr::kRsaPublicExponent, exponent, 0, 0}};
  CryptoObject key(objtype::kRsaPublic, 4096);
  EXPECT_EQ(key.Populate(parts), code::kSuccess);
  return key;
}

// `d` alone, without the primes.
CryptoObject ShortPair(const Vector& vector) {
  const Bytes n = vector.Number("n");
  const Bytes e = vector.Number("e");
  const Bytes d = vector.Number("d");
  const Attribute parts[] = {{attr::kRsaModulus, n, 0, 0},
                             {attr::kRsaPublicExponent, e, 0, 0},
                             {attr::kRsaPrivateExponent, d, 0, 0}};
  CryptoObject key(objtype::kRsaKeypair, 4096);
  EXPECT_EQ(key.Populate(parts), code::kSuccess);
  return key;
}

// `salt`: of PSS.
CheckVector Verifies(std::optional<std::uint32_t> salt, int* refused) {
  return [salt, refused](const Vector& vector) {
    if (!vector.Has("S")) return false;
    const VectorDigest digest = DigestIn(vector.Text("SHAAlg"));
    const CryptoObject key = PublicKey(vector.Number("n"), vector.Number("e"));
    const Attribute length{attr::kRsaPssSaltLength, {}, salt.value_or(0), 0};
    const Attributes params(&length, salt ? 1 : 0);
    const std::uint32_t algorithm = salt ? PssWith(digest) : Pkcs1With(digest);
    const bool good = !vector.Has("Result") || vector.passes();
    if (!good) ++*refused;
    const Bytes hash = digest.Of(vector.Octets("Msg"));
    const Bytes signature = vector.Number("S");
    EXPECT_EQ(AsymmetricVerify(algorithm, key, params, hash, signature),
              good ? code::kSuccess : kSignatureInvalid);
    if (good && vector.Has("d") && !salt) {
      SecretBytes own;
      EXPECT_EQ(AsymmetricOperate(algorithm, opmode::kSign, ShortPair(vector), {}, hash, own),
                code::kSuccess);
      EXPECT_EQ(ToHex(own), ToHex(signature));
    }
    return true;
  };
}

constexpr const char* kFolder = "asymmetric/RSA/FIPS_186-2/";

TEST(NistRsa, Pkcs1Signatures) {
  int refused = 0;
  const auto run = [&](const std::string& file) {
    return ForEachVector(file, Verifies(std::nullopt, &refused));
  };
  EXPECT_GE(run(std::string(kFolder) + "SigVer15_186-3.rsp"), 450);
  EXPECT_GE(refused, 375);
  refused = 0;
  EXPECT_GE(run("asymmetric/RSA/SigVer15EMTest.txt"), 150);
  EXPECT_GE(refused, 150);
  EXPECT_GE(run(std::string(kFolder) + "SigGen15_186-3.rsp"), 250);
  EXPECT_GE(run(std::string(kFolder) + "SigGen15_186-2.txt"), 250);
}

TEST(NistRsa, PssSignatures) {
  int refused = 0;
  EXPECT_GE(ForEachVector(std::string(kFolder) + "SigVerPSS_186-3.rsp", Verifies(10, &refused)),
            450);
  EXPECT_GE(refused, 375);
  EXPECT_GE(ForEachVector(std::string(kFolder) + "SigGenPSS_186-3.rsp", Verifies(0, &refused)),
            250);
  EXPECT_GE(ForEachVector(std::string(kFolder) + "SigGenPSS_186-2.txt", Verifies(20, &refused)),
            250);
}

// All eight numbers of a key.
CryptoObject WholePair(const Vector& vector) {
  const std::pair<std::uint32_t, const char*> names[] = {
      {attr::kRsaModulus, "Modulus"},
      {attr::kRsaPublicExponent, "Public exponent"},
      {attr::kRsaPrivateExponent, "Exponent"},
      {attr::kRsaPrime1, "Prime 1"},
      {attr::kRsaPrime2, "Prime 2"},
      {attr::kRsaExponent1, "Prime exponent 1"},
      {attr::kRsaExponent2, "Prime exponent 2"},
      {attr::kRsaCoefficient, "Coefficient"}};
  std::vector<Bytes> numbers;
  for (const auto& [id, name] : names) {
    // "01 00 01" or "10001"
    Bytes number = vector.Text(name).find(' ') == std::string::npos ? vector.Number(name)
                                                                    : vector.Octets(name);
    numbers.push_back(std::move(number));
  }
  std::vector<Attribute> parts;
  for (std::size_t i = 0; i < numbers.size(); ++i) {
    parts.push_back({names[i].first, numbers[i], 0, 0});
  }
  CryptoObject key(objtype::kRsaKeypair, 4096);
  EXPECT_EQ(key.Populate(parts), code::kSuccess);
  return key;
}

TEST(NistRsa, SignaturesWithModuliOfAnyLength) {
  const VectorDigest sha1 = DigestIn("SHA1");
  int count = ForEachTitledVector(
      "asymmetric/RSA/pkcs1v15sign-vectors.txt", "Signature", [&](const Vector& vector) {
        const CryptoObject key = WholePair(vector);
        const Bytes hash = sha1.Of(vector.Octets("Message to be signed"));
        SecretBytes signature;
        EXPECT_EQ(AsymmetricOperate(Pkcs1With(sha1), opmode::kSign, key, {}, hash, signature),
                  code::kSuccess);
        EXPECT_EQ(ToHex(signature), ToHex(vector.Octets("Signature")));
        EXPECT_EQ(AsymmetricVerify(Pkcs1With(sha1), key, {}, hash, signature), code::kSuccess);
        return true;
      });
  EXPECT_GE(count, 300);
  count = ForEachTitledVector(
      "asymmetric/RSA/pkcs-1v2-1d2-vec/pss-vect.txt", "Signature", [&](const Vector& vector) {
        const CryptoObject key = WholePair(vector);
        const Bytes hash = sha1.Of(vector.Octets("Message to be signed"));
        EXPECT_EQ(AsymmetricVerify(PssWith(sha1), key, {}, hash, vector.Octets("Signature")),
                  code::kSuccess);
        SecretBytes own;
        EXPECT_EQ(AsymmetricOperate(PssWith(sha1), opmode::kSign, key, {}, hash, own),
                  code::kSuccess);
        EXPECT_EQ(AsymmetricVerify(PssWith(sha1), key, {}, hash, own), code::kSuccess);
        return true;
      });
  EXPECT_GE(count, 60);
}

void ExpectDecrypts(std::uint32_t algorithm, const CryptoObject& key, Attributes params,
                    const Bytes& secret, const Bytes& plain) {
  SecretBytes out;
  ASSERT_EQ(AsymmetricOperate(algorithm, opmode::kDecrypt, key, params, secret, out),
            code::kSuccess);
  EXPECT_EQ(ToHex(out), ToHex(plain));
  SecretBytes again;
  ASSERT_EQ(AsymmetricOperate(algorithm, opmode::kEncrypt, key, params, plain, again),
            code::kSuccess);
  ASSERT_EQ(AsymmetricOperate(algorithm, opmode::kDecrypt, key, params, again, out),
            code::kSuccess);
  EXPECT_EQ(ToHex(out), ToHex(plain));
}

TEST(NistRsa, Encryption) {
  int count = ForEachTitledVector(
      "asymmetric/RSA/pkcs1v15crypt-vectors.txt", "Encryption", [](const Vector& vector) {
        ExpectDecrypts(alg::kRsaesPkcs1, WholePair(vector), {}, vector.Octets("Encryption"),
                       vector.Octets("Message"));
        return true;
      });
  EXPECT_GE(count, 300);
  count = ForEachTitledVector(
      "asymmetric/RSA/pkcs-1v2-1d2-vec/oaep-vect.txt", "Encryption", [](const Vector& vector) {
        ExpectDecrypts(alg::kRsaesOaepSha1, WholePair(vector), {}, vector.Octets("Encryption"),
                       vector.Octets("Message"));
        return true;
      });
  EXPECT_GE(count, 60);
}

// oaep-MASK-DIGEST.txt: the mask's digest is the first.
TEST(NistRsa, OaepWithAnyMask) {
  int files = 0;
  for (const char* mask : {"sha1", "sha224", "sha256", "sha384", "sha512"}) {
    for (const char* name : {"sha1", "sha224", "sha256", "sha384", "sha512"}) {
      const std::string file =
          std::string("asymmetric/RSA/oaep-custom/oaep-") + mask + "-" + name + ".txt";
      if (!std::ifstream(std::string(VTEE_CRYPTO_VECTORS) + "/" + file).is_open()) continue;
      ++files;
      const auto upper = [](std::string text) { return "SHA" + text.substr(3); };
      const std::uint32_t mask_digest = alg::kMd5 - 1 + DigestIn(upper(mask)).number;
      const Attribute param{attr::kRsaOaepMgfHash, std::as_bytes(std::span(&mask_digest, 1)), 0, 0};
      const std::uint32_t algorithm = 0x60010230 | DigestIn(upper(name)).number << 20;
      const int count = ForEachTitledVector(file, "Encryption", [&](const Vector& vector) {
        ExpectDecrypts(algorithm, WholePair(vector), {&param, 1}, vector.Number("Encryption"),
                       vector.Number("Message"));
        return true;
      });
      EXPECT_GE(count, 60) << file;
    }
  }
  EXPECT_GE(files, 24);
}

}  // namespace
}  // namespace vtee::ta
