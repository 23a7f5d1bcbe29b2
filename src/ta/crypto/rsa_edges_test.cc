// SPDX-License-Identifier: BSD-3-Clause
// RSA: padding that is almost right, numbers at and beyond the modulus, lengths at their bounds.
#include <gtest/gtest.h>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/asymmetric.h"
#include "ta/crypto/big_number.h"
#include "ta/crypto/evp_digest.h"
#include "ta/crypto/key_generation.h"
#include "ta/crypto/operation_modes.h"
#include "ta/crypto/test_bytes.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

constexpr std::size_t kSize = 128;

// Of 1024 bits, made once.
const CryptoObject& Key() {
  static const CryptoObject key = [] {
    CryptoObject made(objtype::kRsaKeypair, 8 * kSize);
    EXPECT_EQ(GenerateKey(made, 8 * kSize, {}), code::kSuccess);
    return made;
  }();
  return key;
}

// `encoded` to the private exponent: what a signature of it would be, or back.
Bytes Raise(std::uint32_t mode, const Bytes& encoded) {
  SecretBytes out;
  EXPECT_EQ(AsymmetricOperate(alg::kRsaNopad, mode, Key(), {}, encoded, out), code::kSuccess);
  return Joined(Bytes(kSize - out.size()), out);
}
Bytes SignatureOf(const Bytes& encoded) { return Raise(opmode::kDecrypt, encoded); }

std::uint32_t Verify(std::uint32_t algorithm, const Bytes& digest, const Bytes& signature) {
  return AsymmetricVerify(algorithm, Key(), {}, digest, signature);
}

// 00 `type` FF... 00 `info` `rest`, with as much padding as the rest leaves.
Bytes Encoded(unsigned type, const Bytes& info, const Bytes& rest = {}, unsigned filler = 0xFF) {
  Bytes all{std::byte{0}, static_cast<std::byte>(type)};
  all.resize(kSize - 1 - info.size() - rest.size(), static_cast<std::byte>(filler));
  all.push_back(std::byte{0});
  return Joined(Joined(all, info), rest);
}

constexpr std::string_view kSha256Info = "3031300d060960864801650304020105000420";

TEST(RsaEdges, Pkcs1SignaturesHaveOneForm) {
  const Bytes digest = Counting(32, 1);
  const Bytes info = Joined(Hex(kSha256Info), digest);
  const auto verify = [&](const Bytes& encoded) {
    return Verify(alg::kRsassaPkcs1Sha256, digest, SignatureOf(encoded));
  };
  ASSERT_EQ(verify(Encoded(1, info)), code::kSuccess);
  const auto with = [&](std::string_view header) { return Joined(Hex(header), digest); };
  Bytes unseparated = Encoded(1, info);
  unseparated[kSize - info.size() - 1] = std::byte{0xFF};
  Bytes spoilt = Encoded(1, info);
  spoilt[20] = std::byte{0xFE};
  Bytes holed = Encoded(1, info);
  holed[10] = std::byte{0};
  Bytes ones = Encoded(1, info);
  ones[0] = std::byte{1};
  const std::pair<const char*, Bytes> forgeries[] = {
      {"octets behind", Encoded(1, info, Bytes(1))},
      {"eight octets of padding, then garbage", Encoded(1, info, Noise(kSize - 11 - info.size()))},
      {"no padding, then garbage", Encoded(1, info, Noise(kSize - 3 - info.size()))},
      {"type 0", Encoded(0, info, {}, 0)},
      {"type 2", Encoded(2, info)},
      {"no zero between", unseparated},
      {"padding that is not FF", spoilt},
      {"a zero in the padding", holed},
      {"a first octet of 1", ones},
      {"no NULL", Encoded(1, with("302f300b0609608648016503040201"
                                  "0420"))},
      {"NULL with contents", Encoded(1, with("3033300f06096086480165030402010502ffff0420"))},
      {"long lengths", Encoded(1, with("308131300d060960864801650304020105000420"))},
      {"longer lengths", Encoded(1, with("30820031300d060960864801650304020105000420"))},
      {"a long length inside", Encoded(1, with("303230810d060960864801650304020105000420"))},
      {"a long length of NULL", Encoded(1, with("3032300e06096086480165030402010581000420"))},
      {"indefinite lengths",
       Encoded(1, Joined(with("3080300d060960864801650304020105000420"), Hex("0000")))},
      {"SHA-512's name", Encoded(1, with("3031300d060960864801650304020305000420"))},
      {"SHA-1's name", Encoded(1, with("3029300906052b0e03021a05000420"))},
      {"a digest too long",
       Encoded(1, Joined(Joined(Hex("3032300d060960864801650304020105000421"), digest), Bytes(1)))},
      {"a digest too short", Encoded(1, Joined(Hex("3030300d06096086480165030402010500041f"),
                                               Bytes(digest.begin(), digest.end() - 1)))},
      {"octets behind the digest",
       Encoded(1, Joined(with("3033300d060960864801650304020105000420"), Hex("0500")))},
      {"a bit string", Encoded(1, with("3031300d060960864801650304020105000320"))},
      {"nothing but the digest", Encoded(1, digest)},
      {"nothing", Encoded(1, {})},
      {"no padding at all", Joined(Bytes(kSize - info.size()), info)},
  };
  for (const auto& [what, encoded] : forgeries) {
    ASSERT_EQ(encoded.size(), kSize) << what;
    if (std::string_view(what) == "a first octet of 1" &&
        BN_cmp(ToNumber(encoded).get(), ToNumber(Key().Bytes(attr::kRsaModulus)).get()) >= 0) {
      continue;
    }
    EXPECT_EQ(verify(encoded), kSignatureInvalid) << what;
  }
}

// Without a digest's name, all that is padded is what is signed.
TEST(RsaEdges, RawSignaturesAreCompared) {
  const Bytes text = Text("what is signed");
  const auto verify = [&](const Bytes& encoded) {
    return Verify(alg::kRsassaPkcs1, text, SignatureOf(encoded));
  };
  ASSERT_EQ(verify(Encoded(1, text)), code::kSuccess);
  EXPECT_EQ(verify(Encoded(2, text)), kSignatureInvalid);
  EXPECT_EQ(verify(Encoded(1, text, Bytes(1))), kSignatureInvalid);
  EXPECT_EQ(verify(Encoded(1, Bytes(text.begin(), text.end() - 1))), kSignatureInvalid);
  EXPECT_EQ(verify(Encoded(1, text, Noise(kSize - 3 - text.size()))), kSignatureInvalid);
  EXPECT_EQ(verify(Encoded(1, {})), kSignatureInvalid);
  SecretBytes out;
  const auto sign = [&](std::size_t size) {
    return AsymmetricOperate(alg::kRsassaPkcs1, opmode::kSign, Key(), {}, Bytes(size), out);
  };
  EXPECT_EQ(sign(kSize - 11), code::kSuccess);
  EXPECT_EQ(sign(kSize - 10), code::kBadParameters);
}

Bytes Plain(const SecretBytes& bytes) { return {bytes.begin(), bytes.end()}; }

// Signatures are numbers below the modulus, as long as the modulus: zeros in front belong to them.
TEST(RsaEdges, SignaturesAreNumbersBelowTheModulus) {
  const BnPtr modulus = ToNumber(Key().Bytes(attr::kRsaModulus));
  for (const std::uint32_t algorithm : {alg::kRsassaPkcs1Sha256, alg::kRsassaPssSha256}) {
    bool begins_with_zero = false;
    bool fits_twice = false;
    for (unsigned i = 0; i < 20000 && (!begins_with_zero || !fits_twice); ++i) {
      Bytes digest = Counting(32, i);
      digest[0] = static_cast<std::byte>(i >> 8);
      SecretBytes made;
      ASSERT_EQ(AsymmetricOperate(algorithm, opmode::kSign, Key(), {}, digest, made),
                code::kSuccess);
      ASSERT_EQ(made.size(), kSize);
      const Bytes signature = Plain(made);
      if (signature[0] == std::byte{0}) {
        begins_with_zero = true;
        EXPECT_EQ(Verify(algorithm, digest, signature), code::kSuccess);
        EXPECT_EQ(Verify(algorithm, digest, Bytes(signature.begin() + 1, signature.end())),
                  kSignatureInvalid);
      }
      const BnPtr more = NewNumber();
      ASSERT_EQ(BN_add(more.get(), ToNumber(signature).get(), modulus.get()), 1);
      const Bytes above = Plain(FromNumberPadded(more.get(), kSize));
      if (!above.empty()) {
        fits_twice = true;
        EXPECT_EQ(Verify(algorithm, digest, above), kSignatureInvalid);
      }
    }
    EXPECT_TRUE(begins_with_zero);
    EXPECT_TRUE(fits_twice);
    const Bytes digest = Counting(32);
    const Bytes n = Plain(FromNumberPadded(modulus.get(), kSize));
    Bytes one(kSize);
    one.back() = std::byte{1};
    for (const Bytes& signature : {Bytes(kSize), one, n, Bytes(kSize, std::byte{0xFF})}) {
      EXPECT_EQ(Verify(algorithm, digest, signature), kSignatureInvalid);
    }
  }
}

TEST(RsaEdges, SaltsAreAsLongAsTheModulusLeaves) {
  const Bytes digest = Counting(32);
  const auto sign = [&](std::uint32_t salt, SecretBytes& out) {
    const Attribute length{attr::kRsaPssSaltLength, {}, salt, 0};
    return AsymmetricOperate(alg::kRsassaPssSha256, opmode::kSign, Key(), {&length, 1}, digest,
                             out);
  };
  constexpr std::uint32_t kMost = kSize - 32 - 2;
  SecretBytes made;
  ASSERT_EQ(sign(kMost, made), code::kSuccess);
  SecretBytes none;
  EXPECT_EQ(sign(kMost + 1, none), code::kBadParameters);
  for (const std::uint32_t salt : {0u, 1u, 31u, 32u, kMost - 1, kMost, kMost + 1, 0x7FFFFFFEu}) {
    const Attribute length{attr::kRsaPssSaltLength, {}, salt, 0};
    EXPECT_EQ(AsymmetricVerify(alg::kRsassaPssSha256, Key(), {&length, 1}, digest, made),
              salt == kMost ? code::kSuccess : kSignatureInvalid)
        << salt;
  }
}

// Of the encoded message: the last octet, the mask, the zeros before the salt, the top bit.
TEST(RsaEdges, PssHasOneForm) {
  const Bytes digest = Counting(32);
  SecretBytes made;
  ASSERT_EQ(AsymmetricOperate(alg::kRsassaPssSha256, opmode::kSign, Key(), {}, digest, made),
            code::kSuccess);
  const Bytes encoded = Raise(opmode::kEncrypt, Plain(made));
  ASSERT_EQ(encoded.back(), std::byte{0xBC});
  ASSERT_EQ(Verify(alg::kRsassaPssSha256, digest, SignatureOf(encoded)), code::kSuccess);
  for (std::size_t i = 0; i < kSize; ++i) {
    Bytes changed = encoded;
    changed[i] ^= std::byte{1};
    EXPECT_EQ(Verify(alg::kRsassaPssSha256, digest, SignatureOf(changed)), kSignatureInvalid) << i;
  }
  Bytes high = encoded;
  high[0] |= std::byte{0x80};
  if (BN_cmp(ToNumber(high).get(), ToNumber(Key().Bytes(attr::kRsaModulus)).get()) < 0) {
    EXPECT_EQ(Verify(alg::kRsassaPssSha256, digest, SignatureOf(high)), kSignatureInvalid);
  }
  // One scheme's signature under another's name.
  EXPECT_EQ(Verify(alg::kRsassaPkcs1Sha256, digest, Plain(made)), kSignatureInvalid);
  EXPECT_EQ(Verify(alg::kRsassaPssSha3_256, digest, Plain(made)), kSignatureInvalid);
}

std::uint32_t Encrypt(std::uint32_t algorithm, const Bytes& text, Bytes& out) {
  SecretBytes made;
  const std::uint32_t result =
      AsymmetricOperate(algorithm, opmode::kEncrypt, Key(), {}, text, made);
  out = Plain(made);
  return result;
}
std::uint32_t Decrypt(std::uint32_t algorithm, const Bytes& secret, Bytes& out) {
  SecretBytes made;
  const std::uint32_t result =
      AsymmetricOperate(algorithm, opmode::kDecrypt, Key(), {}, secret, made);
  out = result == code::kSuccess ? Plain(made) : Bytes();
  return result;
}

TEST(RsaEdges, MessagesAreAsLongAsTheModulusLeaves) {
  struct Case {
    std::uint32_t algorithm;
    std::size_t most;
  };
  for (const auto& [algorithm, most] :
       {Case{alg::kRsaesPkcs1, kSize - 11}, Case{alg::kRsaesOaepSha1, kSize - 42},
        Case{alg::kRsaesOaepSha256, kSize - 66}, Case{alg::kRsaesOaepSha384, kSize - 98}}) {
    Bytes secret;
    Bytes back;
    for (const std::size_t size : {std::size_t{0}, std::size_t{1}, most}) {
      ASSERT_EQ(Encrypt(algorithm, Noise(size), secret), code::kSuccess) << size;
      ASSERT_EQ(secret.size(), kSize);
      ASSERT_EQ(Decrypt(algorithm, secret, back), code::kSuccess);
      EXPECT_EQ(back, Noise(size));
    }
    EXPECT_EQ(Encrypt(algorithm, Noise(most + 1), secret), code::kBadParameters);
    EXPECT_EQ(Encrypt(algorithm, Noise(kSize), secret), code::kBadParameters);
    EXPECT_EQ(Encrypt(algorithm, Noise(kSize + 1), secret), code::kBadParameters);
  }
}

TEST(RsaEdges, OaepThatIsChangedIsRefused) {
  Bytes secret;
  Bytes out;
  ASSERT_EQ(Encrypt(alg::kRsaesOaepSha256, Text("message"), secret), code::kSuccess);
  for (std::size_t i = 0; i < kSize; ++i) {
    Bytes changed = secret;
    changed[i] ^= std::byte{1};
    EXPECT_EQ(Decrypt(alg::kRsaesOaepSha256, changed, out), code::kBadParameters) << i;
  }
  const Bytes encoded = Raise(opmode::kDecrypt, secret);
  for (std::size_t i = 1; i < kSize; ++i) {
    Bytes changed = encoded;
    changed[i] ^= std::byte{1};
    EXPECT_EQ(Decrypt(alg::kRsaesOaepSha256, Raise(opmode::kEncrypt, changed), out),
              code::kBadParameters)
        << i;
  }
  const SecretBytes n = Secret(Key().Bytes(attr::kRsaModulus));
  for (const Bytes& wrong : {Bytes(), Bytes(1), Bytes(kSize), Plain(n),
                             Bytes(kSize, std::byte{0xFF}), Joined(secret, Bytes(1)),
                             Joined(Bytes(1), secret), Bytes(secret.begin(), secret.end() - 1)}) {
    EXPECT_EQ(Decrypt(alg::kRsaesOaepSha256, wrong, out), code::kBadParameters);
  }
  EXPECT_EQ(Decrypt(alg::kRsaesOaepSha1, secret, out), code::kBadParameters);
  EXPECT_EQ(Decrypt(alg::kRsaesOaepSha384, secret, out), code::kBadParameters);
}

// OpenSSL from 3.2 on makes something up rather than tell that the padding is wrong.
TEST(RsaEdges, Pkcs1EncryptionThatIsChangedIsNotTaken) {
  const Bytes text = Text("message");
  Bytes out;
  const auto taken = [&](const Bytes& encoded) {
    const Bytes secret = Raise(opmode::kEncrypt, encoded);
    return Decrypt(alg::kRsaesPkcs1, secret, out) == code::kSuccess && out == text;
  };
  ASSERT_TRUE(taken(Encoded(2, text)));
  EXPECT_FALSE(taken(Encoded(1, text)));
  EXPECT_FALSE(taken(Encoded(0, text)));
  // Seven octets of padding; a zero among the first eight; no zero between.
  Bytes padded(kSize - 10 - text.size(), std::byte{0});
  EXPECT_FALSE(taken(Joined(Joined(Hex("0002ffffffffffffff00"), padded), text)));
  Bytes holed = Encoded(2, text);
  holed[5] = std::byte{0};
  EXPECT_FALSE(taken(holed));
  Bytes unseparated = Encoded(2, text);
  unseparated[kSize - text.size() - 1] = std::byte{0xFF};
  EXPECT_FALSE(taken(unseparated));
  for (const Bytes& wrong : {Bytes(kSize, std::byte{0xFF}), Bytes(kSize + 1, std::byte{1})}) {
    EXPECT_EQ(Decrypt(alg::kRsaesPkcs1, wrong, out), code::kBadParameters);
  }
}

// A ciphertext is a number, and TAs may hold it without the zeros in front.
TEST(RsaEdges, CiphertextsMayLackTheirZeros) {
  bool found = false;
  for (int i = 0; i < 20000 && !found; ++i) {
    Bytes secret;
    ASSERT_EQ(Encrypt(alg::kRsaesOaepSha1, Text("message"), secret), code::kSuccess);
    if (secret[0] != std::byte{0}) continue;
    found = true;
    Bytes out;
    EXPECT_EQ(Decrypt(alg::kRsaesOaepSha1, secret, out), code::kSuccess);
    EXPECT_EQ(Decrypt(alg::kRsaesOaepSha1, Bytes(secret.begin() + 1, secret.end()), out),
              code::kSuccess);
    EXPECT_EQ(out, Text("message"));
  }
  EXPECT_TRUE(found);
}

// OpenSSL has no public operation for an exponent above 64 bits and a modulus above 3072.
TEST(RsaEdges, LongExponentsOfLargeModuli) {
  const Bytes exponent = Hex("010000000000000001");
  const Attribute e{attr::kRsaPublicExponent, exponent, 0, 0};
  CryptoObject key(objtype::kRsaKeypair, 3080);
  ASSERT_EQ(GenerateKey(key, 3080, {&e, 1}), code::kSuccess);
  CryptoObject half(objtype::kRsaPublic, 3080);
  ASSERT_EQ(half.CopyFrom(key), code::kSuccess);
  const Bytes digest = Counting(32);
  for (const std::uint32_t algorithm : {alg::kRsassaPkcs1Sha256, alg::kRsassaPssSha256}) {
    SecretBytes signature;
    ASSERT_EQ(AsymmetricOperate(algorithm, opmode::kSign, key, {}, digest, signature),
              code::kSuccess);
    EXPECT_EQ(AsymmetricVerify(algorithm, half, {}, digest, signature), code::kSuccess);
    EXPECT_EQ(AsymmetricVerify(algorithm, half, {}, Counting(32, 1), signature), kSignatureInvalid);
    signature[100] ^= std::byte{1};
    EXPECT_EQ(AsymmetricVerify(algorithm, half, {}, digest, signature), kSignatureInvalid);
    for (const ConstBytes wrong : {half.Bytes(attr::kRsaModulus), ConstBytes(digest)}) {
      EXPECT_EQ(AsymmetricVerify(algorithm, half, {}, digest, wrong), kSignatureInvalid);
    }
    // What is padded, unsigned: an exponent of 1 would take it.
    SecretBytes encoded;
    SecretBytes again;
    ASSERT_EQ(AsymmetricOperate(algorithm, opmode::kSign, key, {}, digest, again), code::kSuccess);
    ASSERT_EQ(AsymmetricOperate(alg::kRsaNopad, opmode::kEncrypt, half, {}, again, encoded),
              code::kSuccess);
    EXPECT_EQ(
        AsymmetricVerify(algorithm, half, {}, digest, Joined(Bytes(385 - encoded.size()), encoded)),
        kSignatureInvalid);
  }
  for (const std::uint32_t algorithm : {alg::kRsaesOaepSha256, alg::kRsaesPkcs1, alg::kRsaNopad}) {
    const Bytes text = Text("message");
    SecretBytes secret;
    SecretBytes back;
    ASSERT_EQ(AsymmetricOperate(algorithm, opmode::kEncrypt, half, {}, text, secret),
              code::kSuccess);
    EXPECT_NE(Bytes(secret.begin(), secret.end()), text);
    ASSERT_EQ(AsymmetricOperate(algorithm, opmode::kDecrypt, key, {}, secret, back),
              code::kSuccess);
    EXPECT_EQ(Bytes(back.begin(), back.end()), text);
  }
  SecretBytes out;
  EXPECT_EQ(AsymmetricOperate(alg::kRsaNopad, opmode::kEncrypt, half, {},
                              half.Bytes(attr::kRsaModulus), out),
            code::kBadParameters);
}

// An answer, and never that a signature is right.
TEST(RsaEdges, StrangePublicKeys) {
  const Bytes digest = Counting(32);
  SecretBytes made;
  ASSERT_EQ(AsymmetricOperate(alg::kRsassaPkcs1Sha256, opmode::kSign, Key(), {}, digest, made),
            code::kSuccess);
  const Bytes n = Plain(Secret(Key().Bytes(attr::kRsaModulus)));
  Bytes even = n;
  even.back() &= std::byte{0xFE};
  const Bytes e = Plain(Secret(Key().Bytes(attr::kRsaPublicExponent)));
  const std::pair<Bytes, Bytes> keys[] = {
      {even, e}, {n, Bytes(1)},      {n, Hex("01")},    {n, Hex("02")},
      {n, n},    {n, Hex("010000")}, {Bytes(kSize), e}, {Joined(n, Bytes(1)), e}};
  for (const auto& [modulus, exponent] : keys) {
    const Attribute parts[] = {{attr::kRsaModulus, modulus, 0, 0},
                               {attr::kRsaPublicExponent, exponent, 0, 0}};
    CryptoObject key(objtype::kRsaPublic, 4096);
    ASSERT_EQ(key.Populate(parts), code::kSuccess);
    for (const std::uint32_t algorithm : {alg::kRsassaPkcs1Sha256, alg::kRsassaPssSha256}) {
      EXPECT_NE(AsymmetricVerify(algorithm, key, {}, digest, made), code::kSuccess);
    }
  }
}

}  // namespace
}  // namespace vtee::ta
