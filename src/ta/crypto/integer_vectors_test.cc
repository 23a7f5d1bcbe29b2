// SPDX-License-Identifier: BSD-3-Clause
// RSA, DSA and SM2 against OpenSSL's own functions and published values.
#include <gtest/gtest.h>
#include <openssl/dsa.h>
#include <openssl/rsa.h>

#include <cstring>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/asymmetric.h"
#include "ta/crypto/big_number.h"
#include "ta/crypto/derivation.h"
#include "ta/crypto/evp_digest.h"
#include "ta/crypto/key_generation.h"
#include "ta/crypto/operation_modes.h"
#include "ta/crypto/test_bytes.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

using MdContextPtr = std::unique_ptr<EVP_MD_CTX, Deleter<EVP_MD_CTX_free>>;

CryptoObject RsaKey(std::uint32_t bits) {
  CryptoObject key(objtype::kRsaKeypair, bits);
  EXPECT_EQ(GenerateKey(key, bits, {}), code::kSuccess);
  return key;
}

// The whole pair as OpenSSL's.
PkeyPtr Imported(const CryptoObject& key) {
  const ParamBuilderPtr builder(OSSL_PARAM_BLD_new());
  std::vector<BnPtr> numbers;
  const auto push = [&](const char* name, std::uint32_t id) {
    numbers.push_back(ToNumber(key.Bytes(id)));
    EXPECT_EQ(OSSL_PARAM_BLD_push_BN(builder.get(), name, numbers.back().get()), 1);
  };
  push(OSSL_PKEY_PARAM_RSA_N, attr::kRsaModulus);
  push(OSSL_PKEY_PARAM_RSA_E, attr::kRsaPublicExponent);
  push(OSSL_PKEY_PARAM_RSA_D, attr::kRsaPrivateExponent);
  const ParamsPtr params(OSSL_PARAM_BLD_to_param(builder.get()));
  const PkeyContextPtr context(EVP_PKEY_CTX_new_from_name(nullptr, "RSA", nullptr));
  EVP_PKEY* raw = nullptr;
  EXPECT_EQ(EVP_PKEY_fromdata_init(context.get()), 1);
  EXPECT_EQ(EVP_PKEY_fromdata(context.get(), &raw, EVP_PKEY_KEYPAIR, params.get()), 1);
  return PkeyPtr(raw);
}

Bytes Digest(const EVP_MD* md, const Bytes& text) {
  Bytes digest(static_cast<std::size_t>(EVP_MD_get_size(md)));
  EXPECT_EQ(EVP_Digest(text.data(), text.size(), Out(digest), nullptr, md, nullptr), 1);
  return digest;
}

// `salt` below zero: PKCS#1 v1.5.
void SetPadding(EVP_PKEY_CTX* context, int salt) {
  if (salt < 0) return;
  EXPECT_EQ(EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING), 1);
  EXPECT_EQ(EVP_PKEY_CTX_set_rsa_pss_saltlen(context, salt), 1);
}

// What one side signs, the other verifies: with OpenSSL hashing the message itself.
void ExpectSignsAsOpenSsl(std::uint32_t algorithm, const EVP_MD* md, const CryptoObject& key,
                          EVP_PKEY* pkey, int salt, Attributes params) {
  const Bytes message = Text("what is signed");
  const Bytes digest = Digest(md, message);
  SecretBytes signature;
  ASSERT_EQ(AsymmetricOperate(algorithm, opmode::kSign, key, params, digest, signature),
            code::kSuccess)
      << std::hex << algorithm;
  const MdContextPtr verify(EVP_MD_CTX_new());
  EVP_PKEY_CTX* context = nullptr;
  ASSERT_EQ(EVP_DigestVerifyInit(verify.get(), &context, md, nullptr, pkey), 1);
  SetPadding(context, salt);
  EXPECT_EQ(
      EVP_DigestVerify(verify.get(), In(signature), signature.size(), In(message), message.size()),
      1)
      << std::hex << algorithm;
  const MdContextPtr sign(EVP_MD_CTX_new());
  ASSERT_EQ(EVP_DigestSignInit(sign.get(), &context, md, nullptr, pkey), 1);
  SetPadding(context, salt);
  std::size_t size = signature.size();
  ASSERT_EQ(EVP_DigestSign(sign.get(), Out(signature), &size, In(message), message.size()), 1);
  EXPECT_EQ(AsymmetricVerify(algorithm, key, params, digest, signature), code::kSuccess)
      << std::hex << algorithm;
}

constexpr std::uint32_t kDigests[] = {1, 2, 3, 4, 5, 6, 8, 9, 0xA, 0xB};

TEST(RsaAndOpenSsl, SignWithEveryDigest) {
  const CryptoObject key = RsaKey(2048);
  const PkeyPtr pkey = Imported(key);
  for (const std::uint32_t number : kDigests) {
    const EVP_MD* md = EvpDigestByNumber(number);
    ExpectSignsAsOpenSsl(0x70000830 | number << 12, md, key, pkey.get(), -1, {});
    const std::uint32_t pss =
        number == 1 ? alg::kRsassaPssMd5 : 0x70010930 | number << 12 | number << 20;
    ExpectSignsAsOpenSsl(pss, md, key, pkey.get(), EVP_MD_get_size(md), {});
    for (const std::uint32_t length : {0u, 11u}) {
      const Attribute salt{attr::kRsaPssSaltLength, {}, length, 0};
      ExpectSignsAsOpenSsl(pss, md, key, pkey.get(), static_cast<int>(length), {&salt, 1});
    }
  }
}

TEST(RsaAndOpenSsl, SaltsOfAnotherLengthAreInvalid) {
  const CryptoObject key = RsaKey(1024);
  const Bytes digest = Counting(32);
  const Attribute eight{attr::kRsaPssSaltLength, {}, 8, 0};
  SecretBytes signature;
  ASSERT_EQ(
      AsymmetricOperate(alg::kRsassaPssSha256, opmode::kSign, key, {&eight, 1}, digest, signature),
      code::kSuccess);
  EXPECT_EQ(AsymmetricVerify(alg::kRsassaPssSha256, key, {&eight, 1}, digest, signature),
            code::kSuccess);
  EXPECT_EQ(AsymmetricVerify(alg::kRsassaPssSha256, key, {}, digest, signature), kSignatureInvalid);
}

struct Oaep {
  std::uint32_t digest;
  std::uint32_t mask;
  Bytes label;
};

PkeyContextPtr OaepContext(EVP_PKEY* pkey, const Oaep& with, bool encrypts) {
  PkeyContextPtr context(EVP_PKEY_CTX_new(pkey, nullptr));
  EXPECT_EQ(encrypts ? EVP_PKEY_encrypt_init(context.get()) : EVP_PKEY_decrypt_init(context.get()),
            1);
  EXPECT_EQ(EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_OAEP_PADDING), 1);
  EXPECT_EQ(EVP_PKEY_CTX_set_rsa_oaep_md(context.get(), EvpDigestByNumber(with.digest)), 1);
  EXPECT_EQ(EVP_PKEY_CTX_set_rsa_mgf1_md(context.get(), EvpDigestByNumber(with.mask)), 1);
  if (!with.label.empty()) {
    void* copy = OPENSSL_memdup(with.label.data(), with.label.size());
    EXPECT_EQ(
        EVP_PKEY_CTX_set0_rsa_oaep_label(context.get(), copy, static_cast<int>(with.label.size())),
        1);
  }
  return context;
}

void ExpectEncryptsAsOpenSsl(const CryptoObject& key, EVP_PKEY* pkey, const Oaep& with) {
  const std::uint32_t algorithm =
      with.digest == 1 ? alg::kRsaesOaepMd5 : 0x60010230 | with.digest << 20;
  const std::uint32_t mask = 0x50000000 | with.mask;
  std::vector<Attribute> params = {
      {attr::kRsaOaepMgfHash, std::as_bytes(std::span(&mask, 1)), 0, 0}};
  if (!with.label.empty()) params.push_back({attr::kRsaOaepLabel, with.label, 0, 0});
  const Bytes text = Text("a secret");
  SecretBytes secret;
  ASSERT_EQ(AsymmetricOperate(algorithm, opmode::kEncrypt, key, params, text, secret),
            code::kSuccess);
  Bytes back(256);
  std::size_t size = back.size();
  ASSERT_EQ(EVP_PKEY_decrypt(OaepContext(pkey, with, false).get(), Out(back), &size, In(secret),
                             secret.size()),
            1);
  back.resize(size);
  EXPECT_EQ(back, text);
  Bytes theirs(256);
  size = theirs.size();
  ASSERT_EQ(EVP_PKEY_encrypt(OaepContext(pkey, with, true).get(), Out(theirs), &size, In(text),
                             text.size()),
            1);
  SecretBytes ours;
  EXPECT_EQ(AsymmetricOperate(algorithm, opmode::kDecrypt, key, params, theirs, ours),
            code::kSuccess);
  EXPECT_EQ(ours, Secret(text));
}

TEST(RsaAndOpenSsl, OaepWithEveryDigestMaskAndLabel) {
  const CryptoObject key = RsaKey(2048);
  const PkeyPtr pkey = Imported(key);
  for (const std::uint32_t digest : kDigests) {
    ExpectEncryptsAsOpenSsl(key, pkey.get(), {digest, digest, {}});
    ExpectEncryptsAsOpenSsl(key, pkey.get(), {digest, 2, Text("label")});
  }
}

// The parts of a small key belong together.
TEST(RsaKeys, TheirPartsFit) {
  const BnContextPtr context = NewNumberContext();
  for (const std::uint32_t bits : {256u, 257u, 320u, 511u, 512u}) {
    const CryptoObject key = RsaKey(bits);
    const auto number = [&](std::uint32_t id) { return ToNumber(key.Bytes(id)); };
    const BnPtr n = number(attr::kRsaModulus);
    const BnPtr p = number(attr::kRsaPrime1);
    const BnPtr q = number(attr::kRsaPrime2);
    const BnPtr e = number(attr::kRsaPublicExponent);
    const BnPtr product = NewNumber();
    EXPECT_EQ(BN_num_bits(n.get()), static_cast<int>(bits));
    ASSERT_EQ(BN_mul(product.get(), p.get(), q.get(), context.get()), 1);
    EXPECT_EQ(BN_cmp(product.get(), n.get()), 0);
    EXPECT_EQ(BN_check_prime(p.get(), context.get(), nullptr), 1);
    EXPECT_EQ(BN_check_prime(q.get(), context.get(), nullptr), 1);
    ASSERT_EQ(BN_mod_mul(product.get(), q.get(), number(attr::kRsaCoefficient).get(), p.get(),
                         context.get()),
              1);
    EXPECT_TRUE(BN_is_one(product.get()));
    for (const auto& [prime, exponent] :
         {std::pair(p.get(), attr::kRsaExponent1), std::pair(q.get(), attr::kRsaExponent2)}) {
      const BnPtr less = NewNumber();
      ASSERT_EQ(BN_sub(less.get(), prime, BN_value_one()), 1);
      for (const std::uint32_t id : {exponent, attr::kRsaPrivateExponent}) {
        ASSERT_EQ(BN_mod_mul(product.get(), e.get(), number(id).get(), less.get(), context.get()),
                  1);
        EXPECT_TRUE(BN_is_one(product.get())) << bits;
      }
    }
  }
}

TEST(RsaNopad, NumbersHaveNoZerosInFront) {
  const CryptoObject key = RsaKey(256);
  const Bytes modulus(key.Bytes(attr::kRsaModulus).begin(), key.Bytes(attr::kRsaModulus).end());
  SecretBytes out;
  const auto encrypt = [&](ConstBytes in) {
    return AsymmetricOperate(alg::kRsaNopad, opmode::kEncrypt, key, {}, in, out);
  };
  // Nothing but zeros: one is left.
  ASSERT_EQ(encrypt(Bytes(32)), code::kSuccess);
  EXPECT_EQ(ToHex(out), "00");
  ASSERT_EQ(encrypt(Hex("01")), code::kSuccess);
  EXPECT_EQ(ToHex(out), "01");
  ASSERT_EQ(encrypt(Joined(Bytes(40), Hex("02"))), code::kSuccess);
  const SecretBytes power = out;
  ASSERT_EQ(encrypt(Hex("02")), code::kSuccess);
  EXPECT_EQ(out, power);
  ASSERT_EQ(AsymmetricOperate(alg::kRsaNopad, opmode::kDecrypt, key, {},
                              Joined(Bytes(9), Bytes(power.begin(), power.end())), out),
            code::kSuccess);
  EXPECT_EQ(ToHex(out), "02");
  // Not below the modulus.
  EXPECT_EQ(encrypt(modulus), code::kBadParameters);
  EXPECT_EQ(encrypt(Bytes(33, std::byte{1})), code::kBadParameters);
  Bytes less = modulus;
  less.back() ^= std::byte{1};
  EXPECT_EQ(encrypt(less), code::kSuccess);
}

TEST(RsaSignatures, OfTheWrongLengthAreInvalid) {
  const CryptoObject key = RsaKey(1024);
  const Bytes digest = Counting(32);
  for (const std::uint32_t algorithm : {alg::kRsassaPkcs1Sha256, alg::kRsassaPssSha256}) {
    SecretBytes signature;
    ASSERT_EQ(AsymmetricOperate(algorithm, opmode::kSign, key, {}, digest, signature),
              code::kSuccess);
    const Bytes longer = Joined(Bytes(1), signature);
    const Bytes shorter(signature.begin() + 1, signature.end());
    for (const ConstBytes wrong : {ConstBytes(longer), ConstBytes(shorter), ConstBytes()}) {
      EXPECT_EQ(AsymmetricVerify(algorithm, key, {}, digest, wrong), kSignatureInvalid);
    }
    EXPECT_EQ(AsymmetricVerify(algorithm, key, {}, digest, Bytes(128)), kSignatureInvalid);
    EXPECT_EQ(AsymmetricVerify(algorithm, key, {}, digest, Bytes(128, std::byte{0xFF})),
              kSignatureInvalid);
  }
}

SecretBytes NumberOf(EVP_PKEY* pkey, const char* name) {
  BIGNUM* number = nullptr;
  EXPECT_EQ(EVP_PKEY_get_bn_param(pkey, name, &number), 1);
  return FromNumber(BnPtr(number).get());
}

CryptoObject DsaKey(int bits, int q_bits) {
  const PkeyContextPtr context(EVP_PKEY_CTX_new_id(EVP_PKEY_DSA, nullptr));
  EXPECT_EQ(EVP_PKEY_paramgen_init(context.get()), 1);
  EXPECT_EQ(EVP_PKEY_CTX_set_dsa_paramgen_bits(context.get(), bits), 1);
  EXPECT_EQ(EVP_PKEY_CTX_set_dsa_paramgen_q_bits(context.get(), q_bits), 1);
  EVP_PKEY* raw = nullptr;
  EXPECT_EQ(EVP_PKEY_paramgen(context.get(), &raw), 1);
  const PkeyPtr group(raw);
  const SecretBytes p = NumberOf(raw, OSSL_PKEY_PARAM_FFC_P);
  const SecretBytes q = NumberOf(raw, OSSL_PKEY_PARAM_FFC_Q);
  const SecretBytes g = NumberOf(raw, OSSL_PKEY_PARAM_FFC_G);
  const Attribute params[] = {
      {attr::kDsaPrime, p, 0, 0}, {attr::kDsaSubprime, q, 0, 0}, {attr::kDsaBase, g, 0, 0}};
  CryptoObject key(objtype::kDsaKeypair, static_cast<std::uint32_t>(bits));
  EXPECT_EQ(GenerateKey(key, static_cast<std::uint32_t>(bits), params), code::kSuccess);
  return key;
}

TEST(Dsa, SignsAndVerifies) {
  struct Case {
    int bits;
    int q_bits;
    std::uint32_t algorithm;
    std::size_t digest;
  };
  for (const auto& [bits, q_bits, algorithm, size] :
       {Case{512, 160, alg::kDsaSha1, 20}, Case{1024, 160, alg::kDsaSha1, 20},
        Case{1024, 160, alg::kDsaSha256, 20}, Case{2048, 224, alg::kDsaSha224, 28},
        Case{2048, 256, alg::kDsaSha256, 32}}) {
    const CryptoObject key = DsaKey(bits, q_bits);
    const Bytes digest = Noise(size);
    SecretBytes signature;
    ASSERT_EQ(AsymmetricOperate(algorithm, opmode::kSign, key, {}, digest, signature),
              code::kSuccess)
        << bits;
    EXPECT_EQ(signature.size(), static_cast<std::size_t>(q_bits) / 4);
    EXPECT_EQ(AsymmetricVerify(algorithm, key, {}, digest, signature), code::kSuccess);
    EXPECT_EQ(AsymmetricVerify(algorithm, key, {}, digest, Bytes(signature.size())),
              kSignatureInvalid);
    EXPECT_EQ(AsymmetricVerify(algorithm, key, {}, digest, Bytes(200, std::byte{1})),
              kSignatureInvalid);
    EXPECT_EQ(AsymmetricVerify(algorithm, key, {}, digest, {}), kSignatureInvalid);
    EXPECT_EQ(AsymmetricVerify(algorithm, key, {}, Bytes(7), signature), code::kBadParameters);
    signature[0] ^= std::byte{1};
    EXPECT_EQ(AsymmetricVerify(algorithm, key, {}, digest, signature), kSignatureInvalid);
  }
}

CryptoObject Sm2Key(std::uint32_t type) {
  CryptoObject key(type, 256);
  key.SetBytes(attr::kEccPrivate,
               Hex("3945208F7B2144B13F36E38AC6D39F95889393692860B51A42FB81EF4DF7C5B8"));
  key.SetBytes(attr::kEccX,
               Hex("09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020"));
  key.SetBytes(attr::kEccY,
               Hex("CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13"));
  key.Fill(256);
  return key;
}

// GM/T 0003.5, C.2
TEST(Sm2Vectors, Decrypts) {
  const CryptoObject key = Sm2Key(objtype::kSm2PkeKeypair);
  const Bytes secret = Hex(
      "0404EBFC718E8D1798620432268E77FEB6415E2EDE0E073C0F4F640ECD2E149A73E858F9D81E5430A57B36DAAB8F"
      "950A3C64E6EE6A63094D99283AFF767E124DF021886CA989CA9C7D58087307CA93092D651EFA59983C18F809E262"
      "923C53AEC295D30383B54E39D609D160AFCB1908D0BD8766");
  SecretBytes text;
  ASSERT_EQ(AsymmetricOperate(alg::kSm2Pke, opmode::kDecrypt, key, {}, secret, text),
            code::kSuccess);
  EXPECT_EQ(text, Secret(Text("encryption standard")));
  for (const std::size_t at : {0u, 1u, 40u, 65u, 84u, 115u}) {
    Bytes wrong = secret;
    wrong[at] ^= std::byte{1};
    EXPECT_NE(AsymmetricOperate(alg::kSm2Pke, opmode::kDecrypt, key, {}, wrong, text),
              code::kSuccess)
        << at;
  }
  for (std::size_t size = 0; size < 98; ++size) {
    EXPECT_EQ(AsymmetricOperate(alg::kSm2Pke, opmode::kDecrypt, key, {},
                                ConstBytes(secret).first(size), text),
              code::kBadParameters);
  }
}

// GM/T 0003.5, A.2
TEST(Sm2Vectors, Verifies) {
  const CryptoObject key = Sm2Key(objtype::kSm2DsaKeypair);
  const Bytes digest = Hex("F0B43E94BA45ACCAACE692ED534382EB17E6AB5A19CE7B31F4486FDFC0D28640");
  const Bytes signature =
      Hex("F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3"
          "B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA");
  EXPECT_EQ(AsymmetricVerify(alg::kSm2DsaSm3, key, {}, digest, signature), code::kSuccess);
  EXPECT_EQ(AsymmetricVerify(alg::kSm2DsaSm3, key, {}, Counting(32), signature), kSignatureInvalid);
}

// One side of the exchange.
std::uint32_t KeyExchange(bool initiator, const CryptoObject& own, const CryptoObject& ephemeral,
                          const CryptoObject& peer, const CryptoObject& peer_ephemeral,
                          ConstBytes check, SecretBytes& secret, SecretBytes& confirmation) {
  const Bytes a = Text("Alice");
  const Bytes b = Text("Bob");
  const Bytes room(32);
  std::vector<Attribute> params = {{0xF0000646, {}, initiator ? 0u : 1u, 0},
                                   {attr::kEccX, peer.Bytes(attr::kEccX), 0, 0},
                                   {attr::kEccY, peer.Bytes(attr::kEccY), 0, 0},
                                   {0xD0000946, peer_ephemeral.Bytes(attr::kEccX), 0, 0},
                                   {0xD0000A46, peer_ephemeral.Bytes(attr::kEccY), 0, 0},
                                   {0xD0000446, a, 0, 0},
                                   {0xD0000546, b, 0, 0},
                                   {0xD0000846, room, 0, 0}};
  if (!check.empty()) params.push_back({0xD0000746, check, 0, 0});
  CryptoObject into(objtype::kGenericSecret, 128);
  const std::uint32_t result =
      DeriveKey(alg::kSm2Kep, {own, &ephemeral}, params, into, confirmation);
  secret = Secret(into.secret());
  return result;
}

TEST(Sm2Exchange, BothSidesAgreeAndConfirm) {
  const auto generated = [] {
    CryptoObject key(objtype::kSm2KepKeypair, 256);
    EXPECT_EQ(GenerateKey(key, 256, {}), code::kSuccess);
    return key;
  };
  const CryptoObject a = generated();
  const CryptoObject ra = generated();
  const CryptoObject b = generated();
  const CryptoObject rb = generated();
  SecretBytes of_a;
  SecretBytes of_b;
  SecretBytes from_a;
  SecretBytes from_b;
  ASSERT_EQ(KeyExchange(false, b, rb, a, ra, {}, of_b, from_b), code::kSuccess);
  ASSERT_EQ(KeyExchange(true, a, ra, b, rb, from_b, of_a, from_a), code::kSuccess);
  EXPECT_EQ(of_a, of_b);
  EXPECT_EQ(of_a.size(), 128u);
  EXPECT_NE(from_a, from_b);
  EXPECT_EQ(KeyExchange(false, b, rb, a, ra, from_a, of_b, from_b), code::kSuccess);
  // The own confirmation back, and somebody else's key.
  EXPECT_EQ(KeyExchange(true, a, ra, b, rb, from_a, of_a, from_b), code::kBadState);
  EXPECT_EQ(KeyExchange(true, a, ra, ra, rb, from_b, of_a, from_a), code::kBadState);
  // No point.
  CryptoObject wrong = b;
  wrong.SetBytes(attr::kEccY, b.Bytes(attr::kEccX));
  EXPECT_EQ(KeyExchange(true, a, ra, wrong, rb, {}, of_a, from_a), code::kBadState);
}

// Whatever a TA populates a key with: an answer, and soon.
TEST(HostileKeys, EllipticPrivateHalves) {
  // Zero, the order less one, the order, and more.
  constexpr const char* kSm2Numbers[] = {
      "00", "FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54122",
      "FFFFFFFEFFFFFFFFFFFFFFFFFFFFFFFF7203DF6B21C6052B53BBF40939D54123",
      "FFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFF"};
  SecretBytes out;
  for (const char* number : kSm2Numbers) {
    CryptoObject sm2 = Sm2Key(objtype::kSm2DsaKeypair);
    sm2.SetBytes(attr::kEccPrivate, Hex(number));
    EXPECT_EQ(AsymmetricOperate(alg::kSm2DsaSm3, opmode::kSign, sm2, {}, Counting(32), out),
              code::kBadParameters)
        << number;
    CryptoObject pke = Sm2Key(objtype::kSm2PkeKeypair);
    pke.SetBytes(attr::kEccPrivate, Hex(number));
    EXPECT_EQ(AsymmetricOperate(alg::kSm2Pke, opmode::kDecrypt, pke, {}, Bytes(200), out),
              code::kBadParameters);
  }
  const Attribute curve{attr::kEccCurve, {}, 3, 0};
  CryptoObject ec(objtype::kEcdsaKeypair, 256);
  ASSERT_EQ(GenerateKey(ec, 256, {&curve, 1}), code::kSuccess);
  struct Case {
    const char* number;
    std::uint32_t result;
  };
  for (const auto& [number, result] :
       {Case{"00", code::kBadParameters}, Case{"01", code::kSuccess},
        Case{"FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632550", code::kSuccess},
        Case{"FFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551",
             code::kBadParameters}}) {
    ec.SetBytes(attr::kEccPrivate, Hex(number));
    EXPECT_EQ(AsymmetricOperate(alg::kEcdsaSha256, opmode::kSign, ec, {}, Counting(32), out),
              result)
        << number;
  }
}

TEST(HostileKeys, IntegersOfAllKinds) {
  const Bytes numbers[] = {Hex("00"),
                           Hex("01"),
                           Hex("02"),
                           Hex("03"),
                           Bytes(20, std::byte{0xFF}),
                           Bytes(64, std::byte{0xFE}),
                           Bytes(128, std::byte{0xFF})};
  SecretBytes out;
  for (const Bytes& first : numbers) {
    for (const Bytes& second : numbers) {
      CryptoObject rsa(objtype::kRsaKeypair, 1024);
      rsa.SetBytes(attr::kRsaModulus, first);
      rsa.SetBytes(attr::kRsaPublicExponent, second);
      rsa.SetBytes(attr::kRsaPrivateExponent, second);
      rsa.Fill(1024);
      AsymmetricOperate(alg::kRsaNopad, opmode::kEncrypt, rsa, {}, Hex("02"), out);
      AsymmetricOperate(alg::kRsaNopad, opmode::kDecrypt, rsa, {}, Hex("02"), out);
      AsymmetricOperate(alg::kRsassaPssSha256, opmode::kSign, rsa, {}, Bytes(32), out);
      AsymmetricVerify(alg::kRsassaPkcs1Sha256, rsa, {}, Bytes(32), Bytes(128));
      AsymmetricOperate(alg::kRsaesPkcs1, opmode::kEncrypt, rsa, {}, Hex("02"), out);
      CryptoObject dsa(objtype::kDsaKeypair, 1024);
      dsa.SetBytes(attr::kDsaPrime, first);
      dsa.SetBytes(attr::kDsaSubprime, second);
      dsa.SetBytes(attr::kDsaBase, Hex("02"));
      dsa.SetBytes(attr::kDsaPrivate, Hex("03"));
      dsa.SetBytes(attr::kDsaPublic, Hex("08"));
      dsa.Fill(1024);
      AsymmetricOperate(alg::kDsaSha1, opmode::kSign, dsa, {}, Bytes(20), out);
      EXPECT_NE(AsymmetricVerify(alg::kDsaSha1, dsa, {}, Bytes(20), Bytes(40)), code::kSuccess);
      CryptoObject dh(objtype::kDhKeypair, 1024);
      dh.SetBytes(attr::kDhPrime, first);
      dh.SetBytes(attr::kDhPrivate, second);
      dh.Fill(1024);
      const Bytes peer = Hex("05");
      const Attribute param{attr::kDhPublic, peer, 0, 0};
      CryptoObject into(objtype::kGenericSecret, 4096);
      DeriveKey(alg::kDh, {dh, nullptr}, {&param, 1}, into, out);
    }
  }
}

// r or s would be zero whatever the nonce.
TEST(HostileKeys, DsaThatCannotSign) {
  const CryptoObject good = DsaKey(1024, 160);
  SecretBytes out;
  CryptoObject no_base = good;
  no_base.SetBytes(attr::kDsaBase, Hex("00"));
  EXPECT_NE(AsymmetricOperate(alg::kDsaSha1, opmode::kSign, no_base, {}, Bytes(20), out),
            code::kSuccess);
  CryptoObject no_private = good;
  no_private.SetBytes(attr::kDsaPrivate, Hex("00"));
  EXPECT_NE(AsymmetricOperate(alg::kDsaSha1, opmode::kSign, no_private, {}, Bytes(20), out),
            code::kSuccess);
  CryptoObject private_is_q = good;
  private_is_q.SetBytes(attr::kDsaPrivate, good.Bytes(attr::kDsaSubprime));
  EXPECT_NE(AsymmetricOperate(alg::kDsaSha1, opmode::kSign, private_is_q, {}, Bytes(20), out),
            code::kSuccess);
}

}  // namespace
}  // namespace vtee::ta
