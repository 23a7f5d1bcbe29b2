// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/asymmetric.h"

#include <gtest/gtest.h>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/derivation.h"
#include "ta/crypto/key_generation.h"
#include "ta/crypto/montgomery.h"
#include "ta/crypto/operation_modes.h"
#include "ta/crypto/test_bytes.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

CryptoObject Generated(std::uint32_t type, std::uint32_t bits,
                       std::vector<Attribute> attributes = {}) {
  CryptoObject object(type, bits);
  EXPECT_EQ(object.CheckGenerate(attributes), code::kSuccess);
  EXPECT_EQ(GenerateKey(object, bits, attributes), code::kSuccess);
  EXPECT_TRUE(object.initialized());
  EXPECT_EQ(object.bits(), bits);
  return object;
}

Attribute Curve(std::uint32_t id) { return {attr::kEccCurve, {}, id, 0}; }

SecretBytes SomeBytes(std::size_t size) {
  SecretBytes bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + 1);
  return bytes;
}

void ExpectSigns(std::uint32_t algorithm, const CryptoObject& key, std::size_t digest_size,
                 Attributes params = {}) {
  const SecretBytes digest = SomeBytes(digest_size);
  SecretBytes signature;
  ASSERT_EQ(AsymmetricOperate(algorithm, opmode::kSign, key, params, digest, signature),
            code::kSuccess)
      << std::hex << algorithm;
  EXPECT_EQ(AsymmetricVerify(algorithm, key, params, digest, signature), code::kSuccess)
      << std::hex << algorithm;
  SecretBytes other = digest;
  other[0] ^= std::byte{1};
  EXPECT_EQ(AsymmetricVerify(algorithm, key, params, other, signature), kSignatureInvalid);
  signature[signature.size() / 2] ^= std::byte{1};
  EXPECT_EQ(AsymmetricVerify(algorithm, key, params, digest, signature), kSignatureInvalid);
}

void ExpectDecrypts(std::uint32_t algorithm, const CryptoObject& key, std::size_t size,
                    Attributes params = {}) {
  const SecretBytes text = SomeBytes(size);
  SecretBytes secret;
  SecretBytes back;
  ASSERT_EQ(AsymmetricOperate(algorithm, opmode::kEncrypt, key, params, text, secret),
            code::kSuccess)
      << std::hex << algorithm;
  ASSERT_EQ(AsymmetricOperate(algorithm, opmode::kDecrypt, key, params, secret, back),
            code::kSuccess)
      << std::hex << algorithm;
  EXPECT_EQ(back, text);
}

TEST(Rsa, KeysOfAllSizesWork) {
  for (const std::uint32_t bits : {256u, 384u, 512u, 1000u, 1024u, 2048u}) {
    const CryptoObject key = Generated(objtype::kRsaKeypair, bits);
    EXPECT_EQ(key.Bytes(attr::kRsaModulus).size(), (bits + 7) / 8) << bits;
    ExpectDecrypts(alg::kRsaesPkcs1, key, bits / 8 - 11 > 5 ? 5 : 1);
    ExpectDecrypts(alg::kRsaNopad, key, bits / 8 - 2);
  }
}

TEST(Rsa, PublicExponentsAreOddAndLarge) {
  CryptoObject key(objtype::kRsaKeypair, 512);
  const std::byte three[] = {std::byte{3}};
  const std::byte even[] = {std::byte{1}, std::byte{0}, std::byte{2}};
  for (const ConstBytes e : {ConstBytes(three), ConstBytes(even)}) {
    const Attribute attribute{attr::kRsaPublicExponent, e, 0, 0};
    EXPECT_EQ(GenerateKey(key, 512, {&attribute, 1}), code::kBadParameters);
    EXPECT_FALSE(key.initialized());
  }
}

TEST(Rsa, SignsWithEveryDigest) {
  const CryptoObject key = Generated(objtype::kRsaKeypair, 2048);
  struct Case {
    std::uint32_t number;
    std::size_t size;
  };
  for (const auto& [number, size] :
       {Case{1, 16}, Case{2, 20}, Case{3, 28}, Case{4, 32}, Case{5, 48}, Case{6, 64}, Case{8, 28},
        Case{9, 32}, Case{0xA, 48}, Case{0xB, 64}}) {
    ExpectSigns(0x70000830 | number << 12, key, size);
    if (number != 1) ExpectSigns(0x70010930 | number << 12 | number << 20, key, size);
  }
  ExpectSigns(alg::kRsassaPssMd5, key, 16);
  const Attribute salt{attr::kRsaPssSaltLength, {}, 7, 0};
  ExpectSigns(alg::kRsassaPssSha256, key, 32, {&salt, 1});
  ExpectSigns(alg::kRsassaPkcs1, key, 100);
}

TEST(Rsa, DigestsOfTheWrongSizeAreRefused) {
  const CryptoObject key = Generated(objtype::kRsaKeypair, 1024);
  SecretBytes out;
  EXPECT_EQ(AsymmetricOperate(alg::kRsassaPkcs1Sha256, opmode::kSign, key, {}, SomeBytes(31), out),
            code::kBadParameters);
  EXPECT_EQ(AsymmetricVerify(alg::kRsassaPkcs1Sha256, key, {}, SomeBytes(33), SomeBytes(128)),
            code::kBadParameters);
}

TEST(Rsa, OaepWithLabelAndOtherMask) {
  const CryptoObject key = Generated(objtype::kRsaKeypair, 2048);
  for (const std::uint32_t number : {2u, 3u, 4u, 5u, 6u, 8u, 9u, 0xAu, 0xBu}) {
    ExpectDecrypts(0x60010230 | number << 20, key, 20);
  }
  ExpectDecrypts(alg::kRsaesOaepMd5, key, 20);
  const SecretBytes label = SomeBytes(10);
  const std::uint32_t mask = alg::kSha1;
  const Attribute params[] = {{attr::kRsaOaepLabel, label, 0, 0},
                              {attr::kRsaOaepMgfHash, std::as_bytes(std::span(&mask, 1)), 0, 0}};
  ExpectDecrypts(alg::kRsaesOaepSha256, key, 20, params);
  SecretBytes secret;
  SecretBytes back;
  ASSERT_EQ(AsymmetricOperate(alg::kRsaesOaepSha256, opmode::kEncrypt, key, params, SomeBytes(20),
                              secret),
            code::kSuccess);
  EXPECT_EQ(AsymmetricOperate(alg::kRsaesOaepSha256, opmode::kDecrypt, key, {}, secret, back),
            code::kBadParameters);
}

// A key of 1024 bits is too short for OAEP with SHA-512; the size of what would come out is not.
TEST(Rsa, TheRoomAnEncryptionWantsIsKnownBeforeItsInput) {
  const CryptoObject key = Generated(objtype::kRsaKeypair, 1024);
  constexpr std::uint32_t kOaepSha512 = 0x60610230;
  SecretBytes out;
  ASSERT_EQ(AsymmetricOperate(kOaepSha512, opmode::kEncrypt, key, {}, SomeBytes(1), out),
            code::kBadParameters);
  EXPECT_EQ(AsymmetricRoom(kOaepSha512, opmode::kEncrypt, key), 128U);
  EXPECT_EQ(AsymmetricRoom(alg::kRsaesPkcs1, opmode::kEncrypt, key), 128U);
  // What has no padding comes out as short as it is.
  EXPECT_EQ(AsymmetricRoom(alg::kRsaNopad, opmode::kEncrypt, key), 0U);
  EXPECT_EQ(AsymmetricRoom(alg::kRsaesPkcs1, opmode::kDecrypt, key), 0U);
  EXPECT_EQ(AsymmetricRoom(alg::kRsassaPssSha256, opmode::kSign, key), 0U);
}

TEST(Ecdsa, SignsOnEveryCurve) {
  struct Case {
    std::uint32_t curve;
    std::uint32_t bits;
  };
  for (const auto& [curve, bits] :
       {Case{1, 192}, Case{2, 224}, Case{3, 256}, Case{4, 384}, Case{5, 521}}) {
    const CryptoObject key = Generated(objtype::kEcdsaKeypair, bits, {Curve(curve)});
    for (const std::size_t digest : {20u, 28u, 32u, 48u, 64u}) {
      ExpectSigns(alg::kEcdsaSha256, key, digest);
    }
    CryptoObject half(objtype::kEcdsaPublic, bits);
    ASSERT_EQ(half.CopyFrom(key), code::kSuccess);
    EXPECT_FALSE(half.Has(attr::kEccPrivate));
  }
}

TEST(Ecdsa, SignaturesOfTheWrongSizeAreInvalid) {
  const CryptoObject key = Generated(objtype::kEcdsaKeypair, 256, {Curve(3)});
  for (const std::size_t size : {0u, 1u, 63u, 65u, 128u}) {
    EXPECT_EQ(AsymmetricVerify(alg::kEcdsaSha256, key, {}, SomeBytes(32), SomeBytes(size)),
              kSignatureInvalid);
  }
  EXPECT_EQ(AsymmetricVerify(alg::kEcdsaSha256, key, {}, SomeBytes(32), SecretBytes(64)),
            kSignatureInvalid);
}

TEST(Sm2, SignsAndEncrypts) {
  const CryptoObject dsa = Generated(objtype::kSm2DsaKeypair, 256);
  ExpectSigns(alg::kSm2DsaSm3, dsa, 32);
  const CryptoObject pke = Generated(objtype::kSm2PkeKeypair, 256);
  ExpectDecrypts(alg::kSm2Pke, pke, 1);
  ExpectDecrypts(alg::kSm2Pke, pke, 200);
}

std::uint32_t Derive(std::uint32_t algorithm, const CryptoObject& key, Attributes params,
                     SecretBytes& secret) {
  CryptoObject into(objtype::kGenericSecret, 4096);
  SecretBytes confirmation;
  const std::uint32_t result = DeriveKey(algorithm, {key, nullptr}, params, into, confirmation);
  secret = Secret(into.secret());
  return result;
}

TEST(Derivation, BothSidesOfEcdhAgree) {
  for (const std::uint32_t curve : {1u, 2u, 3u, 4u, 5u}) {
    constexpr std::uint32_t kBits[] = {0, 192, 224, 256, 384, 521};
    const CryptoObject a = Generated(objtype::kEcdhKeypair, kBits[curve], {Curve(curve)});
    const CryptoObject b = Generated(objtype::kEcdhKeypair, kBits[curve], {Curve(curve)});
    const Attribute of_a[] = {{attr::kEccX, a.Bytes(attr::kEccX), 0, 0},
                              {attr::kEccY, a.Bytes(attr::kEccY), 0, 0}};
    const Attribute of_b[] = {{attr::kEccX, b.Bytes(attr::kEccX), 0, 0},
                              {attr::kEccY, b.Bytes(attr::kEccY), 0, 0}};
    SecretBytes one;
    SecretBytes other;
    ASSERT_EQ(Derive(alg::kEcdh, a, of_b, one), code::kSuccess);
    ASSERT_EQ(Derive(alg::kEcdh, b, of_a, other), code::kSuccess);
    EXPECT_EQ(one, other);
    EXPECT_EQ(one.size(), (kBits[curve] + 7) / 8);
  }
}

TEST(Derivation, PointsOffTheCurveAreRefused) {
  const CryptoObject key = Generated(objtype::kEcdhKeypair, 256, {Curve(3)});
  const SecretBytes x = SomeBytes(32);
  const Attribute wrong[] = {{attr::kEccX, x, 0, 0}, {attr::kEccY, x, 0, 0}};
  SecretBytes secret;
  EXPECT_EQ(Derive(alg::kEcdh, key, wrong, secret), code::kBadParameters);
  const SecretBytes zero(32);
  const Attribute zeros[] = {{attr::kEccX, zero, 0, 0}, {attr::kEccY, zero, 0, 0}};
  EXPECT_EQ(Derive(alg::kEcdh, key, zeros, secret), code::kBadParameters);
  const SecretBytes longer = SomeBytes(33);
  const Attribute too_long[] = {{attr::kEccX, longer, 0, 0}, {attr::kEccY, longer, 0, 0}};
  EXPECT_EQ(Derive(alg::kEcdh, key, too_long, secret), code::kBadParameters);
}

TEST(Derivation, BothSidesOfX25519AndX448Agree) {
  struct Case {
    std::uint32_t algorithm;
    std::uint32_t type;
    std::uint32_t bits;
    std::uint32_t public_id;
  };
  for (const auto& [algorithm, type, bits, id] :
       {Case{alg::kX25519, objtype::kX25519Keypair, 256, attr::kX25519Public},
        Case{alg::kX448, objtype::kX448Keypair, 448, attr::kX448Public}}) {
    const CryptoObject a = Generated(type, bits);
    const CryptoObject b = Generated(type, bits);
    const Attribute of_a{id, a.Bytes(id), 0, 0};
    const Attribute of_b{id, b.Bytes(id), 0, 0};
    SecretBytes one;
    SecretBytes other;
    ASSERT_EQ(Derive(algorithm, a, {&of_b, 1}, one), code::kSuccess);
    ASSERT_EQ(Derive(algorithm, b, {&of_a, 1}, other), code::kSuccess);
    EXPECT_EQ(one, other);
    // A key of small order gives nothing away.
    const SecretBytes zero(bits / 8);
    const Attribute small{id, zero, 0, 0};
    EXPECT_EQ(Derive(algorithm, a, {&small, 1}, one), code::kBadParameters);
  }
}

// RFC 5869, A.1 and A.3
TEST(Derivation, HkdfAsPublished) {
  CryptoObject key(objtype::kHkdfIkm, 4096);
  const SecretBytes ikm(22, std::byte{0x0b});
  key.SetSecret(ikm);
  key.Fill(22 * 8);
  const auto salt = Hex("000102030405060708090a0b0c");
  const auto info = Hex("f0f1f2f3f4f5f6f7f8f9");
  const Attribute params[] = {
      {0xD00002C0, salt, 0, 0}, {0xD00003C0, info, 0, 0}, {0xF00004C0, {}, 42, 0}};
  SecretBytes okm;
  ASSERT_EQ(Derive(alg::kHkdfSha256, key, params, okm), code::kSuccess);
  EXPECT_EQ(okm,
            Secret(Hex("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5"
                       "b887185865")));
  const Attribute only_length[] = {{0xF00004C0, {}, 42, 0}};
  ASSERT_EQ(Derive(alg::kHkdfSha256, key, only_length, okm), code::kSuccess);
  EXPECT_EQ(okm,
            Secret(Hex("8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395fa"
                       "a4b61a96c8")));
  EXPECT_EQ(Derive(alg::kHkdfSha256, key, {}, okm), code::kBadParameters);
}

// RFC 6070, 1 to 3
TEST(Derivation, Pbkdf2AsPublished) {
  CryptoObject key(objtype::kPbkdf2Password, 4096);
  key.SetSecret(std::as_bytes(std::span("password", 8)));
  key.Fill(64);
  const ConstBytes salt = std::as_bytes(std::span("salt", 4));
  struct Case {
    std::uint32_t iterations;
    const char* key;
  };
  for (const auto& [iterations, expected] :
       {Case{1, "0c60c80f961f0e71f3a9b524af6012062fe037a6"},
        Case{2, "ea6c014dc72d6f8ccd1ed92ace1d41f0d8de8957"},
        Case{4096, "4b007901b765489abead49d926f721d065a429c1"}}) {
    const Attribute params[] = {
        {0xD00002C2, salt, 0, 0}, {0xF00003C2, {}, iterations, 0}, {0xF00004C2, {}, 20, 0}};
    SecretBytes derived;
    ASSERT_EQ(Derive(alg::kPbkdf2Sha1, key, params, derived), code::kSuccess);
    EXPECT_EQ(derived, Secret(Hex(expected)));
  }
}

CryptoObject EdKey(std::string_view private_half, std::string_view public_half) {
  CryptoObject key(objtype::kEd25519Keypair, 256);
  key.SetBytes(attr::kEd25519Private, Hex(private_half));
  key.SetBytes(attr::kEd25519Public, Hex(public_half));
  key.Fill(256);
  return key;
}

// RFC 8032, 7.2: "foo"
TEST(Ed25519, WithAContextAsPublished) {
  const CryptoObject key =
      EdKey("0305334e381af78f141cb666f6199f57bc3495335a256a95bd2a55bf546663f6",
            "dfc9425e4f968f7f0c29f0259cf5f9aed6851c2bb4ad8bfb860cfee0ab248292");
  const auto message = Hex("f726936d19c800494e3fdaff20b276a8");
  const auto context = Hex("666f6f");
  const Attribute param{attr::kEddsaContext, context, 0, 0};
  SecretBytes signature;
  ASSERT_EQ(AsymmetricOperate(alg::kEd25519, opmode::kSign, key, {&param, 1}, message, signature),
            code::kSuccess);
  EXPECT_EQ(signature,
            Secret(Hex("55a4cc2f70a54e04288c5f4cd1e45a7bb520b36292911876cada7323198dd87a"
                       "8b36950b95130022907a7fb7c4e9b2d5f6cca685a587b4b21f4b888e4e7edb0d")));
  EXPECT_EQ(AsymmetricVerify(alg::kEd25519, key, {&param, 1}, message, signature), code::kSuccess);
  EXPECT_EQ(AsymmetricVerify(alg::kEd25519, key, {}, message, signature), kSignatureInvalid);
}

// RFC 8032, 7.3
TEST(Ed25519, OfADigestAsPublished) {
  const CryptoObject key =
      EdKey("833fe62409237b9d62ec77587520911e9a759cec1d19755b7da901b96dca3d42",
            "ec172b93ad5e563bf4932c70e1245034c35467ef2efd4d64ebf819683467e2bf");
  const auto message = Hex("616263");
  const Attribute param{attr::kEddsaPrehash, {}, 1, 0};
  SecretBytes signature;
  ASSERT_EQ(AsymmetricOperate(alg::kEd25519, opmode::kSign, key, {&param, 1}, message, signature),
            code::kSuccess);
  EXPECT_EQ(signature,
            Secret(Hex("98a70222f0b8121aa9d30f813d683f809e462b469c7ff87639499bb94e6dae41"
                       "31f85042463c2a355a2003d062adf5aaa10b8c61e636062aaad11c2a26083406")));
  EXPECT_EQ(AsymmetricVerify(alg::kEd25519, key, {&param, 1}, message, signature), code::kSuccess);
}

TEST(Ed25519, AllVariantsSignAndTellEachOtherApart) {
  const CryptoObject key = Generated(objtype::kEd25519Keypair, 256);
  ExpectSigns(alg::kEd25519, key, 40);
  const SecretBytes context = SomeBytes(255);
  const Attribute with_context{attr::kEddsaContext, context, 0, 0};
  const Attribute prehash{attr::kEddsaPrehash, {}, 1, 0};
  ExpectSigns(alg::kEd25519, key, 40, {&with_context, 1});
  ExpectSigns(alg::kEd25519, key, 40, {&prehash, 1});
  const SecretBytes longer = SomeBytes(256);
  const Attribute too_long{attr::kEddsaContext, longer, 0, 0};
  SecretBytes signature;
  EXPECT_EQ(AsymmetricOperate(alg::kEd25519, opmode::kSign, key, {&too_long, 1}, longer, signature),
            code::kBadParameters);
}

TEST(Object, TravelsThroughStorage) {
  const CryptoObject key = Generated(objtype::kEcdsaKeypair, 256, {Curve(3)});
  const SecretBytes bytes = key.Serialize();
  CryptoObject back;
  ASSERT_TRUE(back.Deserialize(bytes));
  EXPECT_EQ(back.Serialize(), bytes);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(back.Deserialize(ConstBytes(bytes).first(size))) << size;
  }
}

TEST(Object, PopulateTakesJustWhatTheTypeWants) {
  const SecretBytes key = SomeBytes(16);
  const Attribute secret{attr::kSecret, key, 0, 0};
  const Attribute twice[] = {secret, secret};
  const Attribute foreign{attr::kRsaModulus, key, 0, 0};
  CryptoObject object(objtype::kAes, 256);
  EXPECT_EQ(object.Populate({}), code::kItemNotFound);
  EXPECT_EQ(object.Populate(twice), code::kItemNotFound);
  EXPECT_EQ(object.Populate({&foreign, 1}), code::kItemNotFound);
  EXPECT_EQ(object.Populate({&secret, 1}), code::kSuccess);
  EXPECT_EQ(object.bits(), 128u);
  CryptoObject small(objtype::kAes, 128);
  const SecretBytes longer = SomeBytes(32);
  const Attribute too_long{attr::kSecret, longer, 0, 0};
  EXPECT_EQ(small.Populate({&too_long, 1}), code::kBadState);
  CryptoObject odd(objtype::kAes, 256);
  const SecretBytes seventeen = SomeBytes(17);
  const Attribute no_key{attr::kSecret, seventeen, 0, 0};
  EXPECT_EQ(odd.Populate({&no_key, 1}), code::kBadParameters);
}

TEST(Object, NumbersLoseTheirLeadingZeros) {
  CryptoObject object(objtype::kRsaPublic, 256);
  const auto modulus = Hex("00000102");
  object.SetBytes(attr::kRsaModulus, modulus);
  EXPECT_EQ(object.Bytes(attr::kRsaModulus).size(), 2u);
}

}  // namespace
}  // namespace vtee::ta
