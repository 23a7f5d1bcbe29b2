// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/cipher.h"

#include <gtest/gtest.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/test_bytes.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

// In one piece.
Bytes Crypt(std::uint32_t algorithm, bool encrypt, std::span<const std::byte> key1,
            std::span<const std::byte> key2, std::span<const std::byte> iv,
            std::span<const std::byte> data) {
  auto state = CipherState::Create(algorithm, encrypt, key1, key2);
  Bytes out(data.size());
  EXPECT_EQ(state->Init(iv), code::kSuccess);
  EXPECT_EQ(state->Final(data, out), code::kSuccess);
  return out;
}

Bytes OpensslCrypt(const char* name, bool encrypt, std::span<const std::byte> key,
                   std::span<const std::byte> iv, std::span<const std::byte> data) {
  Bytes out(data.size());
  EVP_CIPHER* cipher = EVP_CIPHER_fetch(nullptr, name, nullptr);
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  char variant[] = "CS3";
  OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(OSSL_CIPHER_PARAM_CTS_MODE, variant, 0),
      OSSL_PARAM_construct_end()};
  int length = 0;
  const auto octets = [](auto bytes) {
    return reinterpret_cast<const unsigned char*>(bytes.data());
  };
  EXPECT_EQ(EVP_CipherInit_ex2(context, cipher, octets(key), octets(iv), encrypt, parameters), 1);
  EVP_CIPHER_CTX_set_padding(context, 0);
  EXPECT_EQ(EVP_CipherUpdate(context, reinterpret_cast<unsigned char*>(out.data()), &length,
                             octets(data), static_cast<int>(data.size())),
            1)
      << name << " " << data.size();
  EVP_CIPHER_CTX_free(context);
  EVP_CIPHER_free(cipher);
  return out;
}

struct Algorithm {
  std::uint32_t algorithm;
  std::size_t key;
  std::size_t block;
  std::size_t step;      // Update takes multiples of it
  std::size_t shortest;  // of what is not nothing
  std::size_t end;       // Final takes multiples of it
  const char* openssl;

  bool xts() const { return (algorithm >> 8 & 0xF) == 4; }
};

const Algorithm kAlgorithms[] = {
    {alg::kAesEcb, 16, 16, 16, 1, 16, "AES-128-ECB"},
    {alg::kAesEcb, 24, 16, 16, 1, 16, "AES-192-ECB"},
    {alg::kAesEcb, 32, 16, 16, 1, 16, "AES-256-ECB"},
    {alg::kAesCbc, 16, 16, 16, 1, 16, "AES-128-CBC"},
    {alg::kAesCbc, 24, 16, 16, 1, 16, "AES-192-CBC"},
    {alg::kAesCbc, 32, 16, 16, 1, 16, "AES-256-CBC"},
    {alg::kAesCtr, 16, 16, 1, 1, 1, "AES-128-CTR"},
    {alg::kAesCtr, 32, 16, 1, 1, 1, "AES-256-CTR"},
    {alg::kAesCts, 16, 16, 16, 17, 1, "AES-128-CBC-CTS"},
    {alg::kAesCts, 32, 16, 16, 17, 1, "AES-256-CBC-CTS"},
    {alg::kAesXts, 16, 16, 16, 16, 1, "AES-128-XTS"},
    {alg::kAesXts, 32, 16, 16, 16, 1, "AES-256-XTS"},
    {alg::kDes3Ecb, 24, 8, 8, 1, 8, "DES-EDE3-ECB"},
    {alg::kDes3Ecb, 16, 8, 8, 1, 8, "DES-EDE-ECB"},
    {alg::kDes3Cbc, 24, 8, 8, 1, 8, "DES-EDE3-CBC"},
    {alg::kDes3Cbc, 16, 8, 8, 1, 8, "DES-EDE-CBC"},
    {alg::kDesEcb, 8, 8, 8, 1, 8, nullptr},
    {alg::kDesCbc, 8, 8, 8, 1, 8, nullptr},
    {alg::kSm4Ecb, 16, 16, 16, 1, 16, "SM4-ECB"},
    {alg::kSm4Cbc, 16, 16, 16, 1, 16, "SM4-CBC"},
    {alg::kSm4Ctr, 16, 16, 1, 1, 1, "SM4-CTR"},
    {alg::kSm4Xts, 16, 16, 16, 16, 1, nullptr},
};

class Cipher : public testing::TestWithParam<Algorithm> {
 protected:
  std::unique_ptr<CipherState> Create(bool encrypt) const {
    return CipherState::Create(GetParam().algorithm, encrypt, key1_, key2_);
  }
  Bytes Whole(bool encrypt, std::span<const std::byte> data) const {
    return Crypt(GetParam().algorithm, encrypt, key1_, key2_, iv_, data);
  }
  bool FinalTakes(std::size_t size) const {
    return size == 0 || (size >= GetParam().shortest && size % GetParam().end == 0);
  }

  const Bytes key1_ = Counting(GetParam().key, 0x21);
  const Bytes key2_ = GetParam().xts() ? Counting(GetParam().key, 0x87) : Bytes();
  const Bytes iv_ = Counting(GetParam().block, 0xF0);
};
INSTANTIATE_TEST_SUITE_P(All, Cipher, testing::ValuesIn(kAlgorithms));

TEST_P(Cipher, AsOpenssl) {
  if (!GetParam().openssl) return;
  const Bytes key = Joined(key1_, key2_);
  for (std::size_t size = 1; size <= 5000; size += size < 200 ? 1 : 799) {
    if (!FinalTakes(size)) continue;
    const Bytes data = Noise(size);
    for (const bool encrypt : {true, false}) {
      ASSERT_EQ(ToHex(Whole(encrypt, data)),
                ToHex(OpensslCrypt(GetParam().openssl, encrypt, key, iv_, data)))
          << size;
    }
  }
}

TEST_P(Cipher, BackAndForth) {
  for (std::size_t size = 0; size < 200; ++size) {
    if (!FinalTakes(size)) continue;
    const Bytes data = Noise(size);
    ASSERT_EQ(Whole(false, Whole(true, data)), data) << size;
  }
}

// An update and a final, of every length that they take; in place, too.
TEST_P(Cipher, InTwoPieces) {
  for (const std::size_t size : {48u, 80u, 83u, 95u, 97u, 4144u}) {
    if (!FinalTakes(size)) continue;
    const Bytes data = Noise(size);
    for (const bool encrypt : {true, false}) {
      const Bytes whole = Whole(encrypt, data);
      auto state = Create(encrypt);
      for (std::size_t split = 0; split <= size; split += GetParam().step) {
        if (!FinalTakes(size - split)) continue;
        // The end of CTS must come in the final, and begin with a whole block.
        if (GetParam().shortest > 16 && split == size) continue;
        Bytes out = data;
        const auto first = std::span(out).first(split);
        const auto second = std::span(out).subspan(split);
        ASSERT_EQ(state->Init(iv_), code::kSuccess);
        ASSERT_EQ(state->Update(first, first), code::kSuccess);
        ASSERT_EQ(state->Final(second, second), code::kSuccess);
        ASSERT_EQ(out, whole) << size << " at " << split;
      }
    }
  }
}

TEST_P(Cipher, CloneGoesOnAlone) {
  const Bytes data = Noise(96);
  for (const bool encrypt : {true, false}) {
    const Bytes whole = Whole(encrypt, data);
    auto state = Create(encrypt);
    Bytes out(data.size());
    ASSERT_EQ(state->Clone()->Final(data, out), code::kBadState);
    ASSERT_EQ(state->Init(iv_), code::kSuccess);
    const std::size_t split = 32 + (GetParam().step == 1 ? 5 : 0);
    ASSERT_EQ(state->Update(std::span(data).first(split), out), code::kSuccess);
    auto copy = state->Clone();
    Bytes other(64);
    ASSERT_EQ(state->Update(std::span(data).first(64), other), code::kSuccess);
    state.reset();
    ASSERT_EQ(copy->Final(std::span(data).subspan(split), std::span(out).subspan(split)),
              code::kSuccess);
    EXPECT_EQ(out, whole);
  }
}

TEST_P(Cipher, LengthsAndOrder) {
  const Algorithm& algorithm = GetParam();
  auto state = Create(true);
  const Bytes data = Noise(64);
  Bytes out(64);
  EXPECT_EQ(state->Update(data, out), code::kBadState);
  EXPECT_EQ(state->Final(data, out), code::kBadState);
  const bool ecb = (algorithm.algorithm >> 8 & 0xF) == 0;
  EXPECT_EQ(state->Init({}), ecb ? code::kSuccess : code::kBadParameters);
  EXPECT_EQ(state->Init(Bytes(15)), ecb ? code::kSuccess : code::kBadParameters);
  ASSERT_EQ(state->Init(iv_), code::kSuccess);
  EXPECT_EQ(state->Update(data, std::span(out).first(63)), code::kShortBuffer);
  EXPECT_EQ(state->Update({}, {}), code::kSuccess);
  if (algorithm.step > 1) {
    EXPECT_EQ(state->Update(std::span(data).first(63), out), code::kBadParameters);
  }
  EXPECT_EQ(state->Final(data, std::span(out).first(63)), code::kShortBuffer);
  if (algorithm.end > 1) {
    EXPECT_EQ(state->Final(std::span(data).first(63), out), code::kBadParameters);
  }
  EXPECT_EQ(state->Final(data, out), code::kSuccess);
  EXPECT_EQ(out, Whole(true, data));
  EXPECT_EQ(state->Update(data, out), code::kBadState);
  EXPECT_EQ(state->Final({}, {}), code::kBadState);
  ASSERT_EQ(state->Init(iv_), code::kSuccess);
  EXPECT_EQ(state->Final({}, {}), code::kSuccess);
  if (algorithm.shortest > 1) {
    ASSERT_EQ(state->Init(iv_), code::kSuccess);
    EXPECT_EQ(state->Final(std::span(data).first(algorithm.shortest - 1), out), code::kBadState);
  }
}

TEST(Ciphers, Unknown) {
  const Bytes key = Counting(16);
  EXPECT_EQ(CipherState::Create(alg::kAesGcm, true, key, {}), nullptr);
  EXPECT_EQ(CipherState::Create(alg::kAesCbcMac, true, key, {}), nullptr);
  EXPECT_EQ(CipherState::Create(0x10000015, true, key, {}), nullptr);
  EXPECT_EQ(CipherState::Create(alg::kAesCbc, true, key, key), nullptr);
  EXPECT_EQ(CipherState::Create(alg::kAesCbc, true, Counting(20), {}), nullptr);
  EXPECT_EQ(CipherState::Create(alg::kAesCbc, true, {}, {}), nullptr);
  EXPECT_EQ(CipherState::Create(alg::kAesXts, true, key, {}), nullptr);
  EXPECT_EQ(CipherState::Create(alg::kAesXts, true, key, Counting(32)), nullptr);
  EXPECT_EQ(CipherState::Create(alg::kDesEcb, true, key, {}), nullptr);
  EXPECT_EQ(CipherState::Create(alg::kDes3Ecb, true, Counting(8), {}), nullptr);
  EXPECT_EQ(CipherState::Create(alg::kSm4Xts, true, Counting(32), Counting(32)), nullptr);
}

// SP 800-38A, appendix F
TEST(Ciphers, Aes) {
  const Bytes key = Hex("2b7e151628aed2a6abf7158809cf4f3c");
  const Bytes key256 = Hex("603deb1015ca71be2b73aef0857d77811f352c073b6108d72d9810a30914dff4");
  const Bytes data =
      Hex("6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
          "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710");
  EXPECT_EQ(ToHex(Crypt(alg::kAesEcb, true, key, {}, {}, data)),
            "3ad77bb40d7a3660a89ecaf32466ef97f5d3d58503b9699de785895a96fdbaaf"
            "43b1cd7f598ece23881b00e3ed0306887b0c785e27e8ad3f8223207104725dd4");
  EXPECT_EQ(ToHex(Crypt(alg::kAesCbc, true, key, {}, Counting(16), data)),
            "7649abac8119b246cee98e9b12e9197d5086cb9b507219ee95db113a917678b2"
            "73bed6b8e3c1743b7116e69e222295163ff1caa1681fac09120eca307586e1a7");
  EXPECT_EQ(ToHex(Crypt(alg::kAesCbc, true, key256, {}, Counting(16), data)),
            "f58c4c04d6e5f1ba779eabfb5f7bfbd69cfc4e967edb808d679f777bc6702c7d"
            "39f23369a9d9bacfa530e26304231461b2eb05e2c39be9fcda6c19078c6a9d1b");
  EXPECT_EQ(ToHex(Crypt(alg::kAesCtr, true, key, {}, Counting(16, 0xF0), data)),
            "874d6191b620e3261bef6864990db6ce9806f66b7970fdff8617187bb9fffdff"
            "5ae4df3edbd5d35e5b4f09020db03eab1e031dda2fbe03d1792170a0f3009cee");
}

// After the counter that is all ones comes zero: 128 bits are counted.
TEST(Ciphers, CountersGoRound) {
  for (const auto& [counter, single] :
       {std::pair{alg::kAesCtr, alg::kAesEcb}, std::pair{alg::kSm4Ctr, alg::kSm4Ecb}}) {
    const Bytes key = Counting(16, 1);
    const Bytes last(16, std::byte{0xFF});
    const Bytes stream = Crypt(counter, true, key, {}, last, Bytes(32));
    EXPECT_EQ(stream, Crypt(single, true, key, {}, {}, Joined(last, Bytes(16))));
  }
}

// FIPS 81
TEST(Ciphers, Des) {
  const Bytes key = Hex("0123456789abcdef");
  const Bytes data = Text("Now is the time for all ");
  EXPECT_EQ(ToHex(Crypt(alg::kDesEcb, true, key, {}, {}, data)),
            "3fa40e8a984d48156a271787ab8883f9893d51ec4b563b53");
  EXPECT_EQ(ToHex(Crypt(alg::kDesCbc, true, key, {}, Hex("1234567890abcdef"), data)),
            "e5c7cdde872bf27c43e934008c389c0f683788499a7c05f6");
}

// GB/T 32907
TEST(Ciphers, Sm4) {
  const Bytes key = Hex("0123456789abcdeffedcba9876543210");
  EXPECT_EQ(ToHex(Crypt(alg::kSm4Ecb, true, key, {}, {}, key)), "681edf34d206965e86b3e94f536e4246");
}

// RFC 3962, appendix B
TEST(Ciphers, AesCts) {
  const Bytes key = Text("chicken teriyaki");
  const Bytes data = Text("I would like the General Gau's Chicken, please, and wonton soup.");
  const auto cts = [&](std::size_t size) {
    return ToHex(Crypt(alg::kAesCts, true, key, {}, Bytes(16), std::span(data).first(size)));
  };
  EXPECT_EQ(cts(17), "c6353568f2bf8cb4d8a580362da7ff7f97");
  EXPECT_EQ(cts(31), "fc00783e0efdb2c1d445d4c8eff7ed2297687268d6ecccc0c07b25e25ecfe5");
  EXPECT_EQ(cts(32), "39312523a78662d5be7fcbcc98ebf5a897687268d6ecccc0c07b25e25ecfe584");
  EXPECT_EQ(cts(47),
            "97687268d6ecccc0c07b25e25ecfe584b3fffd940c16a18c1b5549d2f838029e"
            "39312523a78662d5be7fcbcc98ebf5");
  EXPECT_EQ(cts(64),
            "97687268d6ecccc0c07b25e25ecfe58439312523a78662d5be7fcbcc98ebf5a8"
            "4807efe836ee89a526730dbc2f7bc8409dad8bbb96c4cdc03bc103e1a194bbd8");
}

// IEEE 1619, appendix B, vectors 1, 2, 15, 16
TEST(Ciphers, AesXts) {
  EXPECT_EQ(ToHex(Crypt(alg::kAesXts, true, Bytes(16), Bytes(16), Bytes(16), Bytes(32))),
            "917cf69ebd68b2ec9b9fe9a3eadda692cd43d2f59598ed858c02c2652fbf922e");
  EXPECT_EQ(ToHex(Crypt(alg::kAesXts, true, Bytes(16, std::byte{0x11}), Bytes(16, std::byte{0x22}),
                        Hex("33333333330000000000000000000000"), Bytes(32, std::byte{0x44}))),
            "c454185e6a16936e39334038acef838bfb186fff7480adc4289382ecd6d394f0");
  const Bytes key1 = Hex("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0");
  const Bytes key2 = Hex("bfbebdbcbbbab9b8b7b6b5b4b3b2b1b0");
  const Bytes sector = Hex("9a785634120000000000000000000000");
  EXPECT_EQ(ToHex(Crypt(alg::kAesXts, true, key1, key2, sector, Counting(17))),
            "6c1625db4671522d3d7599601de7ca09ed");
  EXPECT_EQ(ToHex(Crypt(alg::kAesXts, true, key1, key2, sector, Counting(18))),
            "d069444b7a7e0cab09e24447d24deb1fedbf");
}

// OP-TEE does not mind, though the standard does.
TEST(Ciphers, XtsWithTheSameKeyTwice) {
  const Bytes key = Counting(16, 1);
  const Bytes data = Noise(97);
  const Bytes crypt = Crypt(alg::kAesXts, true, key, key, key, data);
  EXPECT_EQ(Crypt(alg::kAesXts, false, key, key, key, crypt), data);
}

// XTS of SM4 by the book, a block at a time with tweaks doubled octet by octet.
TEST(Ciphers, Sm4XtsByTheBook) {
  const Bytes key = Counting(16, 1);
  const Bytes tweak_key = Counting(16, 77);
  const Bytes data = Noise(5000);
  Bytes tweak = Crypt(alg::kSm4Ecb, true, tweak_key, {}, {}, Counting(16, 0xA0));
  Bytes expected;
  for (std::size_t at = 0; at + 16 <= data.size(); at += 16) {
    Bytes block(data.begin() + static_cast<long>(at), data.begin() + static_cast<long>(at) + 16);
    for (std::size_t i = 0; i < 16; ++i) block[i] ^= tweak[i];
    block = Crypt(alg::kSm4Ecb, true, key, {}, {}, block);
    for (std::size_t i = 0; i < 16; ++i) block[i] ^= tweak[i];
    expected = Joined(expected, block);
    std::byte carry{0};
    for (std::byte& octet : tweak) {
      const std::byte next = octet >> 7;
      octet = octet << 1 | carry;
      carry = next;
    }
    if (carry != std::byte{0}) tweak[0] ^= std::byte{0x87};
  }
  const Bytes actual = Crypt(alg::kSm4Xts, true, key, tweak_key, Counting(16, 0xA0),
                             std::span(data).first(expected.size()));
  EXPECT_EQ(actual, expected);
}

}  // namespace
}  // namespace vtee::ta
