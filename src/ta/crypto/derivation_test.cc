// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/derivation.h"

#include <gtest/gtest.h>
#include <openssl/hmac.h>
#include <openssl/kdf.h>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/big_number.h"
#include "ta/crypto/evp_digest.h"
#include "ta/crypto/key_generation.h"
#include "ta/crypto/test_bytes.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

constexpr std::uint32_t kHkdfSalt = 0xD00002C0;
constexpr std::uint32_t kHkdfInfo = 0xD00003C0;
constexpr std::uint32_t kHkdfLength = 0xF00004C0;
constexpr std::uint32_t kConcatInfo = 0xD00002C1;
constexpr std::uint32_t kConcatLength = 0xF00003C1;
constexpr std::uint32_t kPbkdf2Salt = 0xD00002C2;
constexpr std::uint32_t kPbkdf2Iterations = 0xF00003C2;
constexpr std::uint32_t kPbkdf2Length = 0xF00004C2;
constexpr std::uint32_t kDigests[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 0xA, 0xB};

// What is derived; the result in `result`.
SecretBytes Derive(std::uint32_t algorithm, const CryptoObject& key, Attributes params,
                   std::uint32_t& result) {
  CryptoObject into(objtype::kGenericSecret, 4096);
  SecretBytes confirmation;
  result = DeriveKey(algorithm, {key, nullptr}, params, into, confirmation);
  return Secret(into.secret());
}

SecretBytes Stretched(std::uint32_t algorithm, std::uint32_t type, ConstBytes input,
                      Attributes params) {
  CryptoObject key(type, 4096);
  key.SetSecret(input);
  key.Fill(static_cast<std::uint32_t>(input.size() * 8));
  std::uint32_t result = code::kGeneric;
  SecretBytes out = Derive(algorithm, key, params, result);
  EXPECT_EQ(result, code::kSuccess) << std::hex << algorithm;
  return out;
}

// OpenSSL's own derivation.
Bytes Reference(const char* name, std::uint32_t digest, Bytes secret, Bytes salt, Bytes info,
                std::size_t size) {
  const std::unique_ptr<EVP_KDF, Deleter<EVP_KDF_free>> kdf(EVP_KDF_fetch(nullptr, name, nullptr));
  const std::unique_ptr<EVP_KDF_CTX, Deleter<EVP_KDF_CTX_free>> context(EVP_KDF_CTX_new(kdf.get()));
  std::string md = EVP_MD_get0_name(EvpDigestByNumber(digest));
  std::vector<OSSL_PARAM> params = {
      OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, md.data(), 0),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, secret.data(), secret.size()),
      OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, info.data(), info.size())};
  if (!salt.empty()) {
    params.push_back(
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, salt.data(), salt.size()));
  }
  params.push_back(OSSL_PARAM_construct_end());
  Bytes out(size);
  EXPECT_EQ(EVP_KDF_derive(context.get(), Out(out), out.size(), params.data()), 1);
  return out;
}

// RFC 5869, A.2, A.4 and A.7
TEST(Hkdf, MoreOfWhatIsPublished) {
  const Bytes salt = Counting(80, 0x60);
  const Bytes info = Counting(80, 0xB0);
  const Attribute longer[] = {
      {kHkdfSalt, salt, 0, 0}, {kHkdfInfo, info, 0, 0}, {kHkdfLength, {}, 82, 0}};
  EXPECT_EQ(ToHex(Stretched(alg::kHkdfSha256, objtype::kHkdfIkm, Counting(80), longer)),
            "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb"
            "41c65e590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87");
  const Bytes short_salt = Counting(13);
  const Bytes short_info = Counting(10, 0xF0);
  const Attribute sha1[] = {
      {kHkdfSalt, short_salt, 0, 0}, {kHkdfInfo, short_info, 0, 0}, {kHkdfLength, {}, 42, 0}};
  EXPECT_EQ(ToHex(Stretched(alg::kHkdfSha1, objtype::kHkdfIkm, Bytes(11, std::byte{0x0B}), sha1)),
            "085a01ea1b10f36933068b56efa5ad81a4f14b822f5b091568a9cdd4f155fda2c22e422478d305f3f896");
  const Attribute bare[] = {{kHkdfLength, {}, 42, 0}};
  EXPECT_EQ(ToHex(Stretched(alg::kHkdfSha1, objtype::kHkdfIkm, Bytes(22, std::byte{0x0C}), bare)),
            "2c91117204d745f3500d636a62f64f0ab3bae548aa53d423b0d1f27ebba6f5e5673a081d70cce7acfc48");
}

TEST(Hkdf, DoesAsOpenSslWithEveryDigest) {
  const Bytes secret = Noise(50);
  const Bytes salt = Counting(20);
  const Bytes info = Counting(30);
  for (const std::uint32_t digest : kDigests) {
    const Attribute params[] = {
        {kHkdfSalt, salt, 0, 0}, {kHkdfInfo, info, 0, 0}, {kHkdfLength, {}, 100, 0}};
    const SecretBytes derived =
        Stretched(0x800000C0 | digest << 12, objtype::kHkdfIkm, secret, params);
    EXPECT_EQ(ToHex(derived), ToHex(Reference("HKDF", digest, secret, salt, info, 100)));
    // GlobalPlatform's, with the digest as an attribute.
    const Attribute modern[] = {{0xD0000946, salt, 0, 0},
                                {0xD0000A46, info, 0, 0},
                                {0xF0000B46, {}, 0x50000000 | digest, 0},
                                {0xF0000C46, {}, 100, 0}};
    EXPECT_EQ(ToHex(Stretched(alg::kHkdf, objtype::kHkdfIkm, secret, modern)), ToHex(derived));
  }
}

TEST(Hkdf, LengthsEndAt255Blocks) {
  CryptoObject key(objtype::kHkdfIkm, 4096);
  key.SetSecret(Counting(16));
  key.Fill(128);
  std::uint32_t result = 0;
  const Attribute more_than_fits[] = {{kHkdfLength, {}, 513, 0}};
  Derive(alg::kHkdfSha256, key, more_than_fits, result);
  EXPECT_EQ(result, code::kBadParameters);
  const Attribute huge[] = {{kHkdfLength, {}, 0xFFFFFFFF, 0}};
  Derive(alg::kHkdfSha256, key, huge, result);
  EXPECT_EQ(result, code::kBadParameters);
}

// NIST SP 800-56A, 5.8.1
TEST(ConcatKdf, DoesAsOpenSslWithEveryDigest) {
  const Bytes secret = Noise(50);
  const Bytes info = Counting(30);
  for (const std::uint32_t digest : kDigests) {
    for (const std::uint32_t size : {1u, 16u, 64u, 65u, 200u}) {
      const Attribute params[] = {{kConcatInfo, info, 0, 0}, {kConcatLength, {}, size, 0}};
      EXPECT_EQ(ToHex(Stretched(0x800000C1 | digest << 12, objtype::kConcatKdfZ, secret, params)),
                ToHex(Reference("SSKDF", digest, secret, {}, info, size)));
    }
  }
}

// RFC 6070, 5 and 6
TEST(Pbkdf2, LongPasswordsAndThoseWithZeros) {
  const Bytes salt = Text("saltSALTsaltSALTsaltSALTsaltSALTsalt");
  const Attribute longer[] = {
      {kPbkdf2Salt, salt, 0, 0}, {kPbkdf2Iterations, {}, 4096, 0}, {kPbkdf2Length, {}, 25, 0}};
  EXPECT_EQ(ToHex(Stretched(alg::kPbkdf2Sha1, objtype::kPbkdf2Password,
                            Text("passwordPASSWORDpassword"), longer)),
            "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038");
  const Bytes zero_salt = Hex("7361006c74");
  const Attribute zeros[] = {
      {kPbkdf2Salt, zero_salt, 0, 0}, {kPbkdf2Iterations, {}, 4096, 0}, {kPbkdf2Length, {}, 16, 0}};
  EXPECT_EQ(ToHex(Stretched(alg::kPbkdf2Sha1, objtype::kPbkdf2Password, Hex("7061737300776f7264"),
                            zeros)),
            "56fa6aa75548099dcc37d7f03425e0c3");
}

// RFC 7914, 11
TEST(Pbkdf2, Sha256AsPublished) {
  const Bytes salt = Text("salt");
  const Attribute params[] = {
      {kPbkdf2Salt, salt, 0, 0}, {kPbkdf2Iterations, {}, 1, 0}, {kPbkdf2Length, {}, 64, 0}};
  EXPECT_EQ(ToHex(Stretched(alg::kPbkdf2Sha256, objtype::kPbkdf2Password, Text("passwd"), params)),
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc"
            "49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783");
}

// The definition in RFC 8018, 5.2, with two iterations and one block.
TEST(Pbkdf2, DoesAsDefinedWithEveryDigest) {
  const Bytes password = Text("a password");
  const Bytes salt = Counting(9);
  for (const std::uint32_t digest : kDigests) {
    const EVP_MD* md = EvpDigestByNumber(digest);
    const auto size = static_cast<std::size_t>(EVP_MD_get_size(md));
    const auto hmac = [&](const Bytes& text) {
      Bytes out(size);
      unsigned written = 0;
      EXPECT_NE(HMAC(md, password.data(), static_cast<int>(password.size()), In(text), text.size(),
                     Out(out), &written),
                nullptr);
      return out;
    };
    Bytes expected = hmac(Joined(salt, Hex("00000001")));
    const Bytes second = hmac(expected);
    for (std::size_t i = 0; i < size; ++i) expected[i] ^= second[i];
    const Attribute params[] = {{kPbkdf2Salt, salt, 0, 0},
                                {kPbkdf2Iterations, {}, 2, 0},
                                {kPbkdf2Length, {}, static_cast<std::uint32_t>(size), 0}};
    EXPECT_EQ(
        ToHex(Stretched(0x800000C2 | digest << 12, objtype::kPbkdf2Password, password, params)),
        ToHex(expected));
  }
}

// 2^25 rounds: iterations for each block of the output.
TEST(Pbkdf2, MoreThanSomeSecondsIsRefused) {
  CryptoObject key(objtype::kPbkdf2Password, 4096);
  key.SetSecret(Text("password"));
  key.Fill(64);
  const Bytes salt = Text("salt");
  for (const auto& [iterations, length] : std::vector<std::pair<std::uint32_t, std::uint32_t>>{
           {(1u << 25) + 1, 20}, {(1u << 24) + 1, 21}, {1u << 24, 41}, {~0u, 1}, {~0u, 0}}) {
    const Attribute params[] = {{kPbkdf2Salt, salt, 0, 0},
                                {kPbkdf2Iterations, {}, iterations, 0},
                                {kPbkdf2Length, {}, length, 0}};
    std::uint32_t result = code::kSuccess;
    Derive(alg::kPbkdf2Sha1, key, params, result);
    EXPECT_EQ(result, code::kBadParameters) << iterations << " " << length;
  }
}

TEST(Pbkdf2, WithoutIterationsIsRefused) {
  CryptoObject key(objtype::kPbkdf2Password, 4096);
  key.SetSecret(Text("password"));
  key.Fill(64);
  std::uint32_t result = 0;
  const Attribute none[] = {{kPbkdf2Iterations, {}, 0, 0}, {kPbkdf2Length, {}, 20, 0}};
  Derive(alg::kPbkdf2Sha1, key, none, result);
  EXPECT_EQ(result, code::kBadParameters);
  const Attribute no_length[] = {{kPbkdf2Iterations, {}, 1, 0}};
  Derive(alg::kPbkdf2Sha1, key, no_length, result);
  EXPECT_EQ(result, code::kBadParameters);
}

// A prime of 256 bits and a base, from which `count` pairs are made.
struct DhGroup {
  BnPtr p = NewNumber();
  SecretBytes prime;
  Bytes base = Hex("05");

  DhGroup() {
    EXPECT_EQ(BN_generate_prime_ex(p.get(), 256, 0, nullptr, nullptr, nullptr), 1);
    prime = FromNumber(p.get());
  }
  CryptoObject Pair(std::uint32_t x_bits = 0, ConstBytes q = {}) const {
    std::vector<Attribute> params = {{attr::kDhPrime, prime, 0, 0}, {attr::kDhBase, base, 0, 0}};
    if (!q.empty()) params.push_back({attr::kDhSubprime, q, 0, 0});
    if (x_bits != 0) params.push_back({attr::kDhXBits, {}, x_bits, 0});
    CryptoObject key(objtype::kDhKeypair, 256);
    EXPECT_EQ(key.CheckGenerate(params), code::kSuccess);
    EXPECT_EQ(GenerateKey(key, 256, params), code::kSuccess);
    return key;
  }
};

SecretBytes DhSecret(const CryptoObject& key, ConstBytes peer, std::uint32_t& result) {
  const Attribute param{attr::kDhPublic, peer, 0, 0};
  return Derive(alg::kDh, key, {&param, 1}, result);
}

TEST(Dh, SecretsHaveNoZerosInFront) {
  const DhGroup group;
  const CryptoObject own = group.Pair();
  const BnContextPtr context = NewNumberContext();
  const BnPtr expected = NewNumber();
  bool shorter = false;
  for (int i = 0; i < 10000 && !shorter; ++i) {
    const CryptoObject peer = group.Pair();
    std::uint32_t one_result = 0;
    std::uint32_t other_result = 0;
    const SecretBytes one = DhSecret(own, peer.Bytes(attr::kDhPublic), one_result);
    const SecretBytes other = DhSecret(peer, own.Bytes(attr::kDhPublic), other_result);
    ASSERT_EQ(one_result, code::kSuccess);
    ASSERT_EQ(other_result, code::kSuccess);
    ASSERT_EQ(one, other);
    ASSERT_EQ(BN_mod_exp(expected.get(), ToNumber(peer.Bytes(attr::kDhPublic)).get(),
                         ToNumber(own.Bytes(attr::kDhPrivate)).get(), group.p.get(), context.get()),
              1);
    ASSERT_EQ(one, FromNumber(expected.get()));
    shorter = one.size() < 32;
  }
  EXPECT_TRUE(shorter);
}

TEST(Dh, PrivateValuesKeepTheirBounds) {
  const DhGroup group;
  const Bytes q = Hex("fffb");
  for (int i = 0; i < 50; ++i) {
    const CryptoObject short_one = group.Pair(16);
    EXPECT_LE(BN_num_bits(ToNumber(short_one.Bytes(attr::kDhPrivate)).get()), 16);
    EXPECT_EQ(short_one.Value(attr::kDhXBits), 16u);
    const CryptoObject below_q = group.Pair(0, q);
    EXPECT_LT(BN_cmp(ToNumber(below_q.Bytes(attr::kDhPrivate)).get(), ToNumber(q).get()), 0);
    EXPECT_FALSE(below_q.Bytes(attr::kDhPrivate).empty());
  }
}

TEST(Dh, GroupsWithoutPrivateValuesAreRefused) {
  const DhGroup group;
  const Bytes one = Hex("01");
  const Bytes two = Hex("02");
  const Bytes q = Hex("01");
  const auto generate = [](std::vector<Attribute> params) {
    CryptoObject key(objtype::kDhKeypair, 256);
    return GenerateKey(key, 256, params);
  };
  // No number is above zero and below this q.
  EXPECT_EQ(generate({{attr::kDhPrime, group.prime, 0, 0},
                      {attr::kDhBase, group.base, 0, 0},
                      {attr::kDhSubprime, q, 0, 0}}),
            code::kBadParameters);
  EXPECT_EQ(generate({{attr::kDhPrime, one, 0, 0}, {attr::kDhBase, one, 0, 0}}),
            code::kBadParameters);
  EXPECT_EQ(generate({{attr::kDhPrime, two, 0, 0}, {attr::kDhBase, one, 0, 0}}),
            code::kBadParameters);
  EXPECT_EQ(generate({{attr::kDhPrime, group.prime, 0, 0},
                      {attr::kDhBase, group.base, 0, 0},
                      {attr::kDhXBits, {}, 257, 0}}),
            code::kBadParameters);
}

TEST(Dh, PeersThatGiveTheSecretAwayAreRefused) {
  const DhGroup group;
  const CryptoObject own = group.Pair();
  const BnPtr less = NewNumber();
  ASSERT_EQ(BN_sub(less.get(), group.p.get(), BN_value_one()), 1);
  const SecretBytes one_less = FromNumber(less.get());
  const Bytes zero = Hex("00");
  const Bytes one = Hex("01");
  for (const ConstBytes peer : {ConstBytes(), ConstBytes(zero), ConstBytes(one),
                                ConstBytes(one_less), ConstBytes(group.prime)}) {
    std::uint32_t result = 0;
    DhSecret(own, peer, result);
    EXPECT_EQ(result, code::kBadParameters);
  }
}

}  // namespace
}  // namespace vtee::ta
