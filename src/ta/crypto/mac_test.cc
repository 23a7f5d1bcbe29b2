// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/mac.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/cipher.h"
#include "ta/crypto/test_bytes.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

Bytes FinalOf(MacState& state) {
  Bytes out(64);
  std::size_t length = out.size();
  EXPECT_EQ(state.Final(out, length), code::kSuccess);
  out.resize(length);
  return out;
}

Bytes MacOf(std::uint32_t algorithm, std::span<const std::byte> key,
            std::span<const std::byte> data) {
  auto state = MacState::Create(algorithm, key);
  EXPECT_EQ(state->Init(), code::kSuccess);
  EXPECT_EQ(state->Update(data), code::kSuccess);
  return FinalOf(*state);
}

struct Algorithm {
  std::uint32_t algorithm;
  std::size_t key;
  const char* digest;  // OpenSSL's name, of HMAC
  std::size_t step = 1;
};

const Algorithm kAlgorithms[] = {
    {alg::kHmacMd5, 16, "MD5"},
    {alg::kHmacSha1, 20, "SHA1"},
    {alg::kHmacSha224, 28, "SHA224"},
    {alg::kHmacSha256, 32, "SHA256"},
    {alg::kHmacSha384, 48, "SHA384"},
    {alg::kHmacSha512, 128, "SHA512"},
    {alg::kHmacSm3, 32, "SM3"},
    {alg::kHmacSha3_224, 28, "SHA3-224"},
    {alg::kHmacSha3_256, 150, "SHA3-256"},
    {alg::kHmacSha3_384, 48, "SHA3-384"},
    {alg::kHmacSha3_512, 1, "SHA3-512"},
    {alg::kAesCmac, 16, nullptr},
    {alg::kAesCmac, 24, nullptr},
    {alg::kAesCmac, 32, nullptr},
    {alg::kDes3Cmac, 16, nullptr},
    {alg::kDes3Cmac, 24, nullptr},
    {alg::kAesCbcMac, 16, nullptr, 16},
    {alg::kAesCbcMac, 32, nullptr, 16},
    {alg::kAesCbcMacPkcs5, 16, nullptr},
    {alg::kDesCbcMac, 8, nullptr, 8},
    {alg::kDesCbcMacPkcs5, 8, nullptr},
    {alg::kDes3CbcMac, 16, nullptr, 8},
    {alg::kDes3CbcMac, 24, nullptr, 8},
    {alg::kDes3CbcMacPkcs5, 24, nullptr},
};

class Mac : public testing::TestWithParam<Algorithm> {
 protected:
  std::uint32_t algorithm() const { return GetParam().algorithm; }
  const Bytes key_ = Counting(GetParam().key, 0x31);
};
INSTANTIATE_TEST_SUITE_P(All, Mac, testing::ValuesIn(kAlgorithms));

TEST_P(Mac, InTwoUpdates) {
  const Bytes data = Noise(304);
  const Bytes whole = MacOf(algorithm(), key_, data);
  EXPECT_EQ(whole.size(), DigestSize(algorithm()));
  auto state = MacState::Create(algorithm(), key_);
  EXPECT_EQ(state->size(), whole.size());
  for (std::size_t split = 0; split <= data.size(); ++split) {
    ASSERT_EQ(state->Init(), code::kSuccess);
    ASSERT_EQ(state->Update(std::span(data).first(split)), code::kSuccess);
    ASSERT_EQ(state->Update(std::span(data).subspan(split)), code::kSuccess);
    ASSERT_EQ(FinalOf(*state), whole) << split;
  }
}

TEST_P(Mac, CloneGoesOnAlone) {
  const Bytes data = Noise(64);
  auto state = MacState::Create(algorithm(), key_);
  ASSERT_EQ(state->Clone()->Update(data), code::kBadState);
  ASSERT_EQ(state->Init(), code::kSuccess);
  ASSERT_EQ(state->Update(std::span(data).first(21)), code::kSuccess);
  auto copy = state->Clone();
  ASSERT_EQ(state->Update(std::span(data).first(43)), code::kSuccess);
  FinalOf(*state);
  state.reset();
  ASSERT_EQ(copy->Update(std::span(data).subspan(21)), code::kSuccess);
  EXPECT_EQ(FinalOf(*copy), MacOf(algorithm(), key_, data));
  ASSERT_EQ(copy->Init(), code::kSuccess);
  ASSERT_EQ(copy->Update(data), code::kSuccess);
  EXPECT_EQ(FinalOf(*copy), MacOf(algorithm(), key_, data));
}

TEST_P(Mac, ShortBufferAndOrder) {
  const Bytes data = Noise(32);
  auto state = MacState::Create(algorithm(), key_);
  Bytes out(64);
  std::size_t length = out.size();
  EXPECT_EQ(state->Update(data), code::kBadState);
  EXPECT_EQ(state->Final(out, length), code::kBadState);
  ASSERT_EQ(state->Init(), code::kSuccess);
  ASSERT_EQ(state->Update(data), code::kSuccess);
  length = state->size() - 1;
  EXPECT_EQ(state->Final(out, length), code::kShortBuffer);
  EXPECT_EQ(length, state->size());
  EXPECT_EQ(FinalOf(*state), MacOf(algorithm(), key_, data));
  EXPECT_EQ(state->Update(data), code::kBadState);
}

TEST(Macs, HmacAsOpenssl) {
  for (const Algorithm& hmac : kAlgorithms) {
    if (!hmac.digest) continue;
    const Bytes key = Counting(hmac.key, 0x31);
    for (std::size_t size = 0; size < 300; size += 13) {
      const Bytes data = Noise(size);
      Bytes expected(64);
      unsigned length = 0;
      ASSERT_NE(HMAC(EVP_get_digestbyname(hmac.digest), key.data(), static_cast<int>(key.size()),
                     reinterpret_cast<const unsigned char*>(data.data()), data.size(),
                     reinterpret_cast<unsigned char*>(expected.data()), &length),
                nullptr);
      expected.resize(length);
      EXPECT_EQ(MacOf(hmac.algorithm, key, data), expected) << hmac.digest;
    }
  }
}

// CBC-MAC is the last block of CBC from a zero block.
TEST(Macs, CbcMacAsCbc) {
  for (const Algorithm& mac : kAlgorithms) {
    const unsigned mode = mac.algorithm >> 8 & 0xF;
    if (mode != 1 && mode != 5) continue;
    const Bytes key = Counting(mac.key, 0x31);
    const std::uint32_t cbc = 0x10000100 | (mac.algorithm & 0xFF);
    const std::size_t block = DigestSize(mac.algorithm);
    for (std::size_t size = mode == 1 ? block : 0; size < 100; size += mac.step) {
      Bytes data = Noise(size);
      const Bytes actual = MacOf(mac.algorithm, key, data);
      if (mode == 5) {
        const std::size_t padding = block - size % block;
        data.insert(data.end(), padding, static_cast<std::byte>(padding));
      }
      auto cipher = CipherState::Create(cbc, true, key, {});
      ASSERT_EQ(cipher->Init(Bytes(block)), code::kSuccess);
      ASSERT_EQ(cipher->Final(data, data), code::kSuccess);
      EXPECT_EQ(ToHex(actual), ToHex(std::span(data).last(block))) << size;
    }
  }
}

// More than is chained at a time.
TEST(Macs, LongCbcMac) {
  const Bytes key = Counting(16);
  Bytes data = Noise(10000);
  const Bytes mac = MacOf(alg::kAesCbcMac, key, data);
  auto cipher = CipherState::Create(alg::kAesCbc, true, key, {});
  ASSERT_EQ(cipher->Init(Bytes(16)), code::kSuccess);
  ASSERT_EQ(cipher->Final(data, data), code::kSuccess);
  EXPECT_EQ(ToHex(mac), ToHex(std::span(data).last(16)));
}

TEST(Macs, PartialBlocksWithoutPadding) {
  auto state = MacState::Create(alg::kAesCbcMac, Counting(16));
  Bytes out(16);
  std::size_t length = 16;
  ASSERT_EQ(state->Init(), code::kSuccess);
  EXPECT_EQ(state->Final(out, length), code::kBadState);
  ASSERT_EQ(state->Init(), code::kSuccess);
  ASSERT_EQ(state->Update(Counting(17)), code::kSuccess);
  EXPECT_EQ(state->Final(out, length), code::kBadState);
}

TEST(Macs, Unknown) {
  EXPECT_EQ(MacState::Create(alg::kSha1, Counting(16)), nullptr);
  EXPECT_EQ(MacState::Create(alg::kAesGcm, Counting(16)), nullptr);
  EXPECT_EQ(MacState::Create(alg::kAesCmac, Counting(17)), nullptr);
  EXPECT_EQ(MacState::Create(alg::kDes3Cmac, Counting(8)), nullptr);
  EXPECT_EQ(MacState::Create(alg::kDesCbcMac, Counting(16)), nullptr);
  EXPECT_EQ(MacState::Create(alg::kDes3CbcMac, Counting(8)), nullptr);
}

TEST(Macs, EmptyHmacKey) {
  EXPECT_EQ(ToHex(MacOf(alg::kHmacSha256, {}, {})),
            "b613679a0814d9ec772f95d778c35fc5ff1697c493715653c6c712144292c5ad");
}

// RFC 2202
TEST(Macs, HmacMd5AndSha1) {
  EXPECT_EQ(ToHex(MacOf(alg::kHmacMd5, Bytes(16, std::byte{0x0B}), Text("Hi There"))),
            "9294727a3638bb1c13f48ef8158bfc9d");
  EXPECT_EQ(ToHex(MacOf(alg::kHmacMd5, Text("Jefe"), Text("what do ya want for nothing?"))),
            "750c783e6ab0b503eaa86e310a5db738");
  EXPECT_EQ(ToHex(MacOf(alg::kHmacSha1, Bytes(20, std::byte{0x0B}), Text("Hi There"))),
            "b617318655057264e28bc0b6fb378c8ef146be00");
  EXPECT_EQ(ToHex(MacOf(alg::kHmacSha1, Text("Jefe"), Text("what do ya want for nothing?"))),
            "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
}

// RFC 4231, cases 1, 2 and 6
TEST(Macs, HmacSha2) {
  const Bytes key(20, std::byte{0x0B});
  EXPECT_EQ(ToHex(MacOf(alg::kHmacSha224, key, Text("Hi There"))),
            "896fb1128abbdf196832107cd49df33f47b4b1169912ba4f53684b22");
  EXPECT_EQ(ToHex(MacOf(alg::kHmacSha256, key, Text("Hi There"))),
            "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
  EXPECT_EQ(ToHex(MacOf(alg::kHmacSha384, key, Text("Hi There"))),
            "afd03944d84895626b0825f4ab46907f15f9dadbe4101ec682aa034c7cebc59c"
            "faea9ea9076ede7f4af152e8b2fa9cb6");
  EXPECT_EQ(ToHex(MacOf(alg::kHmacSha512, key, Text("Hi There"))),
            "87aa7cdea5ef619d4ff0b4241a1d6cb02379f4e2ce4ec2787ad0b30545e17cde"
            "daa833b7d6b8a702038b274eaea3f4e4be9d914eeb61f1702e696c203a126854");
  EXPECT_EQ(ToHex(MacOf(alg::kHmacSha256, Text("Jefe"), Text("what do ya want for nothing?"))),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(ToHex(MacOf(alg::kHmacSha256, Bytes(131, std::byte{0xAA}),
                        Text("Test Using Larger Than Block-Size Key - Hash Key First"))),
            "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

const char kMessage[] =
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710";

// RFC 4493
TEST(Macs, AesCmac) {
  const Bytes key = Hex("2b7e151628aed2a6abf7158809cf4f3c");
  const Bytes data = Hex(kMessage);
  const auto mac = [&](std::size_t size) {
    return ToHex(MacOf(alg::kAesCmac, key, std::span(data).first(size)));
  };
  EXPECT_EQ(mac(0), "bb1d6929e95937287fa37d129b756746");
  EXPECT_EQ(mac(16), "070a16b46b4d4144f79bdd9dd04a287c");
  EXPECT_EQ(mac(40), "dfa66747de9ae63030ca32611497c827");
  EXPECT_EQ(mac(64), "51f0bebf7e3b9d92fc49741779363cfe");
}

// SP 800-38B, three-key triple DES
TEST(Macs, Des3Cmac) {
  const Bytes key = Hex("8aa83bf8cbda10620bc1bf19fbb6cd58bc313d4a371ca8b5");
  const Bytes data = Hex(kMessage);
  const auto mac = [&](std::size_t size) {
    return ToHex(MacOf(alg::kDes3Cmac, key, std::span(data).first(size)));
  };
  EXPECT_EQ(mac(0), "b7a688e122ffaf95");
  EXPECT_EQ(mac(8), "8e8f293136283797");
  EXPECT_EQ(mac(20), "743ddbe0ce2dc2ed");
  EXPECT_EQ(mac(32), "33e6b1092400eae5");
  const Bytes two = Hex("4cf15134a2850dd58a3d10ba80570d38");
  EXPECT_EQ(MacOf(alg::kDes3Cmac, two, data),
            MacOf(alg::kDes3Cmac, Joined(two, std::span(two).first(8)), data));
}

// FIPS 113: the text is filled up with zeros.
TEST(Macs, DesCbcMac) {
  Bytes data = Text("7654321 Now is the time for ");
  data.resize(32);
  EXPECT_EQ(ToHex(MacOf(alg::kDesCbcMac, Hex("0123456789abcdef"), data)), "f1d30f6849312ca4");
}

}  // namespace
}  // namespace vtee::ta
