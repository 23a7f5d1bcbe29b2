// SPDX-License-Identifier: BSD-3-Clause
// Published vectors of the curves: RFC 8032, 7748 and 6979, GM/T 0003.5.
#include <gtest/gtest.h>
#include <openssl/rand.h>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/asymmetric.h"
#include "ta/crypto/big_number.h"
#include "ta/crypto/derivation.h"
#include "ta/crypto/edwards25519.h"
#include "ta/crypto/key_generation.h"
#include "ta/crypto/montgomery.h"
#include "ta/crypto/operation_modes.h"
#include "ta/crypto/test_bytes.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

Bytes Sha(const EVP_MD* md, std::span<const std::byte> text) {
  Bytes digest(static_cast<std::size_t>(EVP_MD_get_size(md)));
  EXPECT_EQ(EVP_Digest(text.data(), text.size(), Out(digest), nullptr, md, nullptr), 1);
  return digest;
}

CryptoObject EdKey(std::string_view private_half, std::string_view public_half) {
  CryptoObject key(objtype::kEd25519Keypair, 256);
  key.SetBytes(attr::kEd25519Private, Hex(private_half));
  key.SetBytes(attr::kEd25519Public, Hex(public_half));
  key.Fill(256);
  return key;
}

struct EdVector {
  const char* private_half;
  const char* public_half;
  const char* message;
  const char* context;  // null: none
  const char* signature;
};

void ExpectSigns(const EdVector& vector) {
  const CryptoObject key = EdKey(vector.private_half, vector.public_half);
  const Bytes message = Hex(vector.message);
  const Bytes context = Hex(vector.context == nullptr ? "" : vector.context);
  const Attribute attribute{attr::kEddsaContext, context, 0, 0};
  const Attributes params(&attribute, vector.context == nullptr ? 0 : 1);
  SecretBytes signature;
  ASSERT_EQ(AsymmetricOperate(alg::kEd25519, opmode::kSign, key, params, message, signature),
            code::kSuccess);
  EXPECT_EQ(ToHex(signature), Digits(vector.signature));
  EXPECT_EQ(AsymmetricVerify(alg::kEd25519, key, params, message, signature), code::kSuccess);
  signature[63] ^= std::byte{0x80};
  EXPECT_EQ(AsymmetricVerify(alg::kEd25519, key, params, message, signature), kSignatureInvalid);
}

// RFC 8032, 7.1
TEST(Ed25519Vectors, Plain) {
  ExpectSigns({"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
               "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a", "", nullptr,
               "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc6"
               "1e39701cf9b46bd25bf5f0595bbe24655141438e7a100b"});
  ExpectSigns({"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
               "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c", "72", nullptr,
               "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e45"
               "8f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"});
  ExpectSigns({"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
               "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025", "af82", nullptr,
               "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae"
               "67f760984dc6594a7c15e9716ed28dc027beceea1ec40a"});
}

// RFC 8032, 7.2
TEST(Ed25519Vectors, WithAContext) {
  constexpr const char* kPrivate =
      "0305334e381af78f141cb666f6199f57bc3495335a256a95bd2a55bf546663f6";
  constexpr const char* kPublic =
      "dfc9425e4f968f7f0c29f0259cf5f9aed6851c2bb4ad8bfb860cfee0ab248292";
  constexpr const char* kMessage = "f726936d19c800494e3fdaff20b276a8";
  ExpectSigns({kPrivate, kPublic, kMessage, "666f6f",
               "55a4cc2f70a54e04288c5f4cd1e45a7bb520b36292911876cada7323198dd87a8b36950b9513002290"
               "7a7fb7c4e9b2d5f6cca685a587b4b21f4b888e4e7edb0d"});
  ExpectSigns({kPrivate, kPublic, kMessage, "626172",
               "fc60d5872fc46b3aa69f8b5b4351d5808f92bcc044606db097abab6dbcb1aee3216c48e8b3b66431b5"
               "b186d1d28f8ee15a5ca2df6668346291c2043d4eb3e90d"});
  ExpectSigns({kPrivate, kPublic, "508e9e6882b979fea900f62adceaca35", "666f6f",
               "8b70c1cc8310e1de20ac53ce28ae6e7207f33c3295e03bb5c0732a1d20dc64908922a8b052cf99b7c4"
               "fe107a5abb5b2c4085ae75890d02df26269d8945f84b0b"});
  ExpectSigns({"ab9c2853ce297ddab85c993b3ae14bcad39b2c682beabc27d6d4eb20711d6560",
               "0f1d1274943b91415889152e893d80e93275a1fc0b65fd71b4b0dda10ad7d772", kMessage,
               "666f6f",
               "21655b5f1aa965996b3f97b3c849eafba922a0a62992f73b3d1b73106a84ad85e9b86a7b6005ea8683"
               "37ff2d20a7f5fbd4cd10b0be49a68da2b2e0dc0ad8960f"});
}

// What this arithmetic makes of plain Ed25519 is what OpenSSL makes of it.
TEST(Edwards25519, SignsAsOpenSslDoes) {
  namespace curve = edwards25519;
  for (int i = 0; i < 20; ++i) {
    CryptoObject key(objtype::kEd25519Keypair, 256);
    ASSERT_EQ(GenerateKey(key, 256, {}), code::kSuccess);
    Bytes hash = Sha(EVP_sha512(), key.Bytes(attr::kEd25519Private));
    hash[0] &= std::byte{0xF8};
    hash[31] = (hash[31] & std::byte{0x7F}) | std::byte{0x40};
    const auto scalar = std::span(hash).first<32>();
    Bytes point(32);
    curve::MultiplyBase(scalar, std::span(point).first<32>());
    EXPECT_EQ(ToHex(point), ToHex(key.Bytes(attr::kEd25519Public)));

    const Bytes message = Counting(static_cast<std::size_t>(i));
    Bytes r(32);
    Bytes k(32);
    Bytes signature(64);
    const Bytes nonce = Sha(EVP_sha512(), Joined(std::span(hash).last<32>(), message));
    curve::Reduce(std::span(nonce).first<64>(), std::span(r).first<32>());
    curve::MultiplyBase(std::span(r).first<32>(), std::span(signature).first<32>());
    const Bytes challenge =
        Sha(EVP_sha512(), Joined(Joined(std::span(signature).first<32>(), point), message));
    curve::Reduce(std::span(challenge).first<64>(), std::span(k).first<32>());
    curve::MultiplyAdd(std::span(k).first<32>(), scalar, std::span(r).first<32>(),
                       std::span(signature).last<32>());
    SecretBytes expected;
    ASSERT_EQ(AsymmetricOperate(alg::kEd25519, opmode::kSign, key, {}, message, expected),
              code::kSuccess);
    EXPECT_EQ(ToHex(signature), ToHex(expected));
  }
}

TEST(Edwards25519, NumbersStayBelowTheOrder) {
  namespace curve = edwards25519;
  const Bytes order = Hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
  Bytes below = order;
  below[0] = std::byte{0xEC};
  EXPECT_FALSE(curve::IsReduced(std::span(order).first<32>()));
  EXPECT_TRUE(curve::IsReduced(std::span(below).first<32>()));
  Bytes reduced(32);
  const Bytes most(64, std::byte{0xFF});
  curve::Reduce(std::span(most).first<64>(), std::span(reduced).first<32>());
  EXPECT_TRUE(curve::IsReduced(std::span(reduced).first<32>()));
  curve::Reduce(std::span<const std::byte, 64>(Joined(order, Bytes(32))),
                std::span(reduced).first<32>());
  EXPECT_EQ(reduced, Bytes(32));
  // (order - 1)^2 + (order - 1) is nothing
  curve::MultiplyAdd(std::span(below).first<32>(), std::span(below).first<32>(),
                     std::span(below).first<32>(), std::span(reduced).first<32>());
  EXPECT_EQ(reduced, Bytes(32));
}

TEST(Edwards25519, WhatIsNoPointIsRefused) {
  namespace curve = edwards25519;
  const Bytes zero(32);
  Bytes out(32);
  const auto verifies = [&](std::string_view a) {
    const Bytes key = Hex(a);
    return curve::VerificationPoint(std::span(zero).first<32>(), std::span(zero).first<32>(),
                                    std::span(key).first<32>(), std::span(out).first<32>());
  };
  // y = 1, then with the sign of an x that is zero; y = 2, which has no x; y = p and more.
  EXPECT_TRUE(verifies("0100000000000000000000000000000000000000000000000000000000000000"));
  EXPECT_EQ(ToHex(out), "0100000000000000000000000000000000000000000000000000000000000000");
  EXPECT_FALSE(verifies("0100000000000000000000000000000000000000000000000000000000000080"));
  EXPECT_FALSE(verifies("0200000000000000000000000000000000000000000000000000000000000000"));
  EXPECT_FALSE(verifies("edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"));
  EXPECT_FALSE(verifies("eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"));
}

TEST(Ed25519Vectors, SignaturesHaveOneForm) {
  CryptoObject key(objtype::kEd25519Keypair, 256);
  ASSERT_EQ(GenerateKey(key, 256, {}), code::kSuccess);
  const Attribute prehash{attr::kEddsaPrehash, {}, 1, 0};
  const Bytes message = Text("message");
  SecretBytes signature;
  ASSERT_EQ(AsymmetricOperate(alg::kEd25519, opmode::kSign, key, {&prehash, 1}, message, signature),
            code::kSuccess);
  // s + the order signs the same, and must not be taken.
  const Bytes order = Hex("edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010");
  unsigned carry = 0;
  for (std::size_t i = 0; i < 32; ++i) {
    carry += std::to_integer<unsigned>(signature[32 + i]) + std::to_integer<unsigned>(order[i]);
    signature[32 + i] = static_cast<std::byte>(carry);
    carry >>= 8;
  }
  EXPECT_EQ(AsymmetricVerify(alg::kEd25519, key, {&prehash, 1}, message, signature),
            kSignatureInvalid);
  for (const std::size_t size : {0u, 63u, 65u, 128u}) {
    EXPECT_EQ(AsymmetricVerify(alg::kEd25519, key, {&prehash, 1}, message, Bytes(size)),
              kSignatureInvalid);
  }
  EXPECT_EQ(AsymmetricVerify(alg::kEd25519, key, {&prehash, 1}, message, Bytes(64)),
            kSignatureInvalid);
}

// A pair whose halves do not belong together signs as the private half does.
TEST(Ed25519Vectors, AForeignPublicHalfGivesNothingAway) {
  CryptoObject key(objtype::kEd25519Keypair, 256);
  CryptoObject other(objtype::kEd25519Keypair, 256);
  ASSERT_EQ(GenerateKey(key, 256, {}), code::kSuccess);
  ASSERT_EQ(GenerateKey(other, 256, {}), code::kSuccess);
  CryptoObject mixed = key;
  mixed.SetBytes(attr::kEd25519Public, other.Bytes(attr::kEd25519Public));
  const Bytes context = Text("c");
  const Attribute param{attr::kEddsaContext, context, 0, 0};
  SecretBytes one;
  SecretBytes two;
  ASSERT_EQ(AsymmetricOperate(alg::kEd25519, opmode::kSign, key, {&param, 1}, context, one),
            code::kSuccess);
  ASSERT_EQ(AsymmetricOperate(alg::kEd25519, opmode::kSign, mixed, {&param, 1}, context, two),
            code::kSuccess);
  EXPECT_EQ(one, two);
}

SecretBytes Exchange(std::uint32_t algorithm, std::uint32_t type, std::uint32_t private_id,
                     std::uint32_t public_id, std::string_view own, std::string_view peer) {
  CryptoObject key(type, algorithm == alg::kX448 ? 448 : 256);
  key.SetBytes(private_id, Hex(own));
  key.Fill(key.max_bits());
  const Bytes other = Hex(peer);
  const Attribute param{public_id, other, 0, 0};
  CryptoObject into(objtype::kGenericSecret, 4096);
  SecretBytes confirmation;
  EXPECT_EQ(DeriveKey(algorithm, {key, nullptr}, {&param, 1}, into, confirmation), code::kSuccess);
  return Secret(into.secret());
}

// RFC 7748, 6.1
TEST(Montgomery, X25519AsPublished) {
  constexpr const char* kSecret =
      "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";
  const auto exchange = [](std::string_view own, std::string_view peer) {
    return ToHex(Exchange(alg::kX25519, objtype::kX25519Keypair, attr::kX25519Private,
                          attr::kX25519Public, own, peer));
  };
  EXPECT_EQ(exchange("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a",
                     "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"),
            kSecret);
  EXPECT_EQ(exchange("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb",
                     "8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a"),
            kSecret);
}

// RFC 7748, 6.2
TEST(Montgomery, X448AsPublished) {
  constexpr const char* kSecret =
      "07fff4181ac6cc95ec1c16a94a0f74d12da232ce40a77552281d282bb60c0b56fd2464c335543936521c2440308"
      "5d59a449a5037514a879d";
  const auto exchange = [](std::string_view own, std::string_view peer) {
    return ToHex(Exchange(alg::kX448, objtype::kX448Keypair, attr::kX448Private, attr::kX448Public,
                          own, peer));
  };
  EXPECT_EQ(exchange("9a8f4925d1519f5775cf46b04b5800d4ee9ee8bae8bc5565d498c28dd9c9baf574a94197448"
                     "97391006382a6f127ab1d9ac2d8c0a598726b",
                     "3eb7a829b0cd20f5bcfc0b599b6feccf6da4627107bdb0d4f345b43027d8b972fc3e34fb423"
                     "2a13ca706dcb57aec3dae07bdc1c67bf33609"),
            kSecret);
  EXPECT_EQ(exchange("1c306a7ac2a0e2e0990b294470cba339e6453772b075811d8fad0d1d6927c120bb5ee8972b0"
                     "d3e21374c9c921b09d1b0366f10b65173992d",
                     "9b08f7cc31b7e3e67d22d5aea121074a273bd2b83de09c63faa73d2c22c5d9bbc836647241d"
                     "953d40c5b12da88120d53177f80e532c41fa0"),
            kSecret);
}

struct EcdsaVector {
  std::uint32_t curve;
  std::uint32_t bits;
  const EVP_MD* md;
  const char* x;
  const char* y;
  const char* signature;
};

CryptoObject EccPublic(std::uint32_t type, std::uint32_t bits, std::uint32_t curve,
                       std::string_view x, std::string_view y) {
  CryptoObject key(type, bits);
  if (curve != 0) key.SetValue(attr::kEccCurve, curve);
  key.SetBytes(attr::kEccX, Hex(x));
  key.SetBytes(attr::kEccY, Hex(y));
  key.Fill(bits);
  return key;
}

void ExpectVerifies(const EcdsaVector& vector) {
  const CryptoObject key =
      EccPublic(objtype::kEcdsaPublic, vector.bits, vector.curve, vector.x, vector.y);
  const Bytes digest = Sha(vector.md, Text("sample"));
  const Bytes signature = Hex(vector.signature);
  const std::size_t half = (vector.bits + 7) / 8;
  ASSERT_EQ(signature.size(), 2 * half);
  const auto verify = [&](const CryptoObject& with, ConstBytes bytes) {
    return AsymmetricVerify(alg::kEcdsaSha256, with, {}, digest, bytes);
  };
  EXPECT_EQ(verify(key, signature), code::kSuccess) << vector.bits;
  EXPECT_EQ(verify(key, Bytes(2 * half)), kSignatureInvalid);
  EXPECT_EQ(verify(key, Bytes(2 * half, std::byte{0xFF})), kSignatureInvalid);
  Bytes longer = signature;
  longer.insert(longer.begin() + static_cast<std::ptrdiff_t>(half), std::byte{0});
  longer.insert(longer.begin(), std::byte{0});
  EXPECT_EQ(verify(key, longer), kSignatureInvalid);
  Bytes zero_r = signature;
  std::fill_n(zero_r.begin(), half, std::byte{0});
  EXPECT_EQ(verify(key, zero_r), kSignatureInvalid);
  Bytes zero_s = signature;
  std::fill_n(zero_s.begin() + static_cast<std::ptrdiff_t>(half), half, std::byte{0});
  EXPECT_EQ(verify(key, zero_s), kSignatureInvalid);
  // x and y the other way round: no point
  const CryptoObject no_key =
      EccPublic(objtype::kEcdsaPublic, vector.bits, vector.curve, vector.y, vector.x);
  EXPECT_EQ(verify(no_key, signature), kSignatureInvalid);
}

constexpr const char* kP192X = "AC2C77F529F91689FEA0EA5EFEC7F210D8EEA0B9E047ED56";
constexpr const char* kP192Y = "3BC723E57670BD4887EBC732C523063D0A7C957BC97C1C43";

// RFC 6979, A.2.3 to A.2.7: "sample". The longer digests are cut.
TEST(EcdsaVectors, SmallCurves) {
  ExpectVerifies({1, 192, EVP_sha256(), kP192X, kP192Y,
                  "4B0B8CE98A92866A2820E20AA6B75B56382E0F9BFD5ECB55"
                  "CCDB006926EA9565CBADC840829D8C384E06DE1F1E381B85"});
  ExpectVerifies({1, 192, EVP_sha384(), kP192X, kP192Y,
                  "DA63BF0B9ABCF948FBB1E9167F136145F7A20426DCC287D5"
                  "C3AA2C960972BD7A2003A57E1C4C77F0578F8AE95E31EC5E"});
  ExpectVerifies({1, 192, EVP_sha512(), kP192X, kP192Y,
                  "4D60C5AB1996BD848343B31C00850205E2EA6922DAC2E4B8"
                  "3F6E837448F027A1BF4B34E796E32A811CBB4050908D8F67"});
  ExpectVerifies({2, 224, EVP_sha256(), "00CF08DA5AD719E42707FA431292DEA11244D64FC51610D94B130D6C",
                  "EEAB6F3DEBE455E3DBF85416F7030CBD94F34F2D6F232C69F3C1385A",
                  "61AA3DA010E8E8406C656BC477A7A7189895E7E840CDFE8FF42307BA"
                  "BC814050DAB5D23770879494F9E0A680DC1AF7161991BDE692B10101"});
  ExpectVerifies({2, 224, EVP_sha1(), "00CF08DA5AD719E42707FA431292DEA11244D64FC51610D94B130D6C",
                  "EEAB6F3DEBE455E3DBF85416F7030CBD94F34F2D6F232C69F3C1385A",
                  "22226F9D40A96E19C4A301CE5B74B115303C0F3A4FD30FC257FB57AC"
                  "66D1CDD83E3AF75605DD6E2FEFF196D30AA7ED7A2EDF7AF475403D69"});
}

TEST(EcdsaVectors, LargeCurves) {
  ExpectVerifies({3, 256, EVP_sha256(),
                  "60FED4BA255A9D31C961EB74C6356D68C049B8923B61FA6CE669622E60F29FB6",
                  "7903FE1008B8BC99A41AE9E95628BC64F2F1B20C2D7E9F5177A3C294D4462299",
                  "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
                  "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"});
  ExpectVerifies({4, 384, EVP_sha384(),
                  "EC3A4E415B4E19A4568618029F427FA5DA9A8BC4AE92E02E06AAE5286B300C64"
                  "DEF8F0EA9055866064A254515480BC13",
                  "8015D9B72D7D57244EA8EF9AC0C621896708A59367F9DFB9F54CA84B3F1C9DB1"
                  "288B231C3AE0D4FE7344FD2533264720",
                  "94EDBB92A5ECB8AAD4736E56C691916B3F88140666CE9FA73D64C4EA95AD133C"
                  "81A648152E44ACF96E36DD1E80FABE46"
                  "99EF4AEB15F178CEA1FE40DB2603138F130E740A19624526203B6351D0A3A94F"
                  "A329C145786E679E7B82C71A38628AC8"});
  ExpectVerifies({5, 521, EVP_sha512(),
                  "01894550D0785932E00EAA23B694F213F8C3121F86DC97A04E5A7167DB4E5BCD3"
                  "71123D46E45DB6B5D5370A7F20FB633155D38FFA16D2BD761DCAC474B9A2F5023A4",
                  "00493101C962CD4D2FDDF782285E64584139C2F91B47F87FF82354D6630F746A2"
                  "8A0DB25741B5B34A828008B22ACC23F924FAAFBD4D33F81EA66956DFEAA2BFDFCF5",
                  "00C328FAFCBD79DD77850370C46325D987CB525569FB63C5D3BC53950E6D4C5F17"
                  "4E25A1EE9017B5D450606ADD152B534931D7D4E8455CC91F9B15BF05EC36E377FA"
                  "00617CCE7CF5064806C467F678D3B4080D6F1CC50AF26CA209417308281B68AF28"
                  "2623EAA63E5B5C0723D8B8C37FF0777B1A20F8CCB1DCCC43997F1EE0E44DA4A67A"});
}

// The x coordinate keeps its zeros in front.
TEST(Ecdh, SecretsAreAsLongAsTheCurve) {
  const Attribute curve{attr::kEccCurve, {}, 3, 0};
  CryptoObject own(objtype::kEcdhKeypair, 256);
  ASSERT_EQ(GenerateKey(own, 256, {&curve, 1}), code::kSuccess);
  bool found = false;
  for (int i = 0; i < 10000 && !found; ++i) {
    CryptoObject peer(objtype::kEcdhKeypair, 256);
    ASSERT_EQ(GenerateKey(peer, 256, {&curve, 1}), code::kSuccess);
    const Attribute params[] = {{attr::kEccX, peer.Bytes(attr::kEccX), 0, 0},
                                {attr::kEccY, peer.Bytes(attr::kEccY), 0, 0}};
    CryptoObject into(objtype::kGenericSecret, 4096);
    SecretBytes confirmation;
    ASSERT_EQ(DeriveKey(alg::kEcdh, {own, nullptr}, params, into, confirmation), code::kSuccess);
    ASSERT_EQ(into.secret().size(), 32u);
    found = into.secret()[0] == std::byte{0};
  }
  EXPECT_TRUE(found);
}

}  // namespace
}  // namespace vtee::ta
