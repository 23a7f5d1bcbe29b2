// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/digest.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/test_bytes.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

Bytes FinalOf(DigestState& state, std::size_t room = 64) {
  Bytes out(room);
  EXPECT_EQ(state.Final(out, room), code::kSuccess);
  out.resize(room);
  return out;
}

Bytes DigestOfData(std::uint32_t algorithm, std::span<const std::byte> data,
                   std::size_t room = 64) {
  auto state = DigestState::Create(algorithm);
  EXPECT_EQ(state->Init(), code::kSuccess);
  EXPECT_EQ(state->Update(data), code::kSuccess);
  return FinalOf(*state, room);
}

struct Vector {
  std::uint32_t algorithm;
  const char* abc;  // the digest of "abc"
};

const Vector kVectors[] = {
    {alg::kMd5, "900150983cd24fb0d6963f7d28e17f72"},
    {alg::kSha1, "a9993e364706816aba3e25717850c26c9cd0d89d"},
    {alg::kSha224, "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"},
    {alg::kSha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"},
    {alg::kSha384,
     "cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed"
     "8086072ba1e7cc2358baeca134c825a7"},
    {alg::kSha512,
     "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
     "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"},
    {alg::kSm3, "66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0"},
    {alg::kSha3_224, "e642824c3f8cf24ad09234ee7d3c766fc9a3a5168d0c94ad73b46fdf"},
    {alg::kSha3_256, "3a985da74fe225b2045c172d6bd390bd855f086e3e9d525b46bfe24511431532"},
    {alg::kSha3_384,
     "ec01498288516fc926459f58e2c6ad8df9b473cb0fc08c2596da7cf0e49be4b2"
     "98d88cea927ac7f539f1edf228376d25"},
    {alg::kSha3_512,
     "b751850b1a57168a5693cd924b6b096e08f621827444f70d884f5d0240d2712e"
     "10e116e9192af3c91a7ec57647e3934057340b4cf408d5a56592f8274eec53f0"},
};

class Digest : public testing::TestWithParam<Vector> {};
INSTANTIATE_TEST_SUITE_P(All, Digest, testing::ValuesIn(kVectors));

TEST_P(Digest, OfAbc) {
  EXPECT_EQ(ToHex(DigestOfData(GetParam().algorithm, Text("abc"))), GetParam().abc);
  EXPECT_EQ(DigestState::Create(GetParam().algorithm)->size(), DigestSize(GetParam().algorithm));
}

TEST_P(Digest, InTwoUpdates) {
  const Bytes data = Noise(300);
  const Bytes whole = DigestOfData(GetParam().algorithm, data);
  auto state = DigestState::Create(GetParam().algorithm);
  for (std::size_t split = 0; split <= data.size(); ++split) {
    ASSERT_EQ(state->Init(), code::kSuccess);
    ASSERT_EQ(state->Update(std::span(data).first(split)), code::kSuccess);
    ASSERT_EQ(state->Update(std::span(data).subspan(split)), code::kSuccess);
    ASSERT_EQ(FinalOf(*state), whole) << split;
  }
}

TEST_P(Digest, CloneGoesOnAlone) {
  auto state = DigestState::Create(GetParam().algorithm);
  auto unused = state->Clone();
  std::size_t length = 64;
  Bytes out(length);
  EXPECT_EQ(unused->Final(out, length), code::kBadState);
  ASSERT_EQ(state->Init(), code::kSuccess);
  ASSERT_EQ(state->Update(Text("a")), code::kSuccess);
  auto copy = state->Clone();
  ASSERT_EQ(state->Update(Text("nother")), code::kSuccess);
  FinalOf(*state);
  state.reset();
  ASSERT_EQ(copy->Update(Text("bc")), code::kSuccess);
  EXPECT_EQ(ToHex(FinalOf(*copy)), GetParam().abc);
}

TEST_P(Digest, ShortBufferAndOrder) {
  auto state = DigestState::Create(GetParam().algorithm);
  const std::size_t size = state->size();
  Bytes out(64);
  std::size_t length = out.size();
  EXPECT_EQ(state->Update(Text("abc")), code::kBadState);
  EXPECT_EQ(state->Final(out, length), code::kBadState);
  ASSERT_EQ(state->Init(), code::kSuccess);
  ASSERT_EQ(state->Update(Text("abc")), code::kSuccess);
  length = size - 1;
  EXPECT_EQ(state->Final(out, length), code::kShortBuffer);
  EXPECT_EQ(length, size);
  length = 1000;
  EXPECT_EQ(state->Final(std::span(out).first(size - 1), length), code::kShortBuffer);
  EXPECT_EQ(length, size);
  EXPECT_EQ(ToHex(FinalOf(*state, size)), GetParam().abc);
  EXPECT_EQ(state->Update(Text("abc")), code::kBadState);
}

TEST(Digests, Unknown) {
  EXPECT_EQ(DigestState::Create(alg::kHmacSha1), nullptr);
  EXPECT_EQ(DigestState::Create(0x5000000F), nullptr);
  EXPECT_EQ(DigestState::Create(0), nullptr);
}

TEST(Shakes, KnownAnswers) {
  EXPECT_EQ(ToHex(DigestOfData(alg::kShake128, {}, 32)),
            "7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26");
  EXPECT_EQ(ToHex(DigestOfData(alg::kShake256, {}, 64)),
            "46b9dd2b0ba88d13233b3feb743eeb243fcd52ea62b81b82b50c27646ed5762f"
            "d75dc4ddd8c0f200cb05019d67b592f6fc821c49479ab48640292eacb3b7c4be");
}

Bytes OpensslShake(const EVP_MD* digest, std::span<const std::byte> data, std::size_t size) {
  Bytes out(size);
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  EXPECT_EQ(EVP_DigestInit_ex(context, digest, nullptr), 1);
  EXPECT_EQ(EVP_DigestUpdate(context, data.data(), data.size()), 1);
  EXPECT_EQ(EVP_DigestFinalXOF(context, reinterpret_cast<unsigned char*>(out.data()), size), 1);
  EVP_MD_CTX_free(context);
  return out;
}

TEST(Shakes, AsOpenssl) {
  const Bytes data = Noise(500);
  for (std::size_t size = 0; size < data.size(); ++size) {
    const auto input = std::span(data).first(size);
    ASSERT_EQ(DigestOfData(alg::kShake128, input, size + 1),
              OpensslShake(EVP_shake128(), input, size + 1));
    ASSERT_EQ(DigestOfData(alg::kShake256, input, size + 1),
              OpensslShake(EVP_shake256(), input, size + 1));
  }
}

TEST(Shakes, InputInPieces) {
  const Bytes data = Noise(400);
  for (const auto algorithm : {alg::kShake128, alg::kShake256}) {
    const Bytes whole = DigestOfData(algorithm, data, 50);
    auto state = DigestState::Create(algorithm);
    for (std::size_t split = 0; split <= data.size(); ++split) {
      ASSERT_EQ(state->Init(), code::kSuccess);
      ASSERT_EQ(state->Update(std::span(data).first(split)), code::kSuccess);
      auto copy = state->Clone();
      ASSERT_EQ(copy->Update(std::span(data).subspan(split)), code::kSuccess);
      ASSERT_EQ(FinalOf(*copy, 50), whole) << split;
    }
  }
}

TEST(Shakes, OutputInPieces) {
  const Bytes data = Noise(77);
  for (const auto algorithm : {alg::kShake128, alg::kShake256}) {
    const Bytes whole = DigestOfData(algorithm, data, 700);
    auto state = DigestState::Create(algorithm);
    for (std::size_t split = 0; split <= whole.size(); split += 7) {
      ASSERT_EQ(state->Init(), code::kSuccess);
      ASSERT_EQ(state->Update(std::span(data).first(40)), code::kSuccess);
      ASSERT_EQ(state->Update(std::span(data).subspan(40)), code::kSuccess);
      const Bytes first = FinalOf(*state, split);
      auto copy = state->Clone();
      const Bytes second = FinalOf(*state, whole.size() - split);
      ASSERT_EQ(Joined(first, second), whole) << split;
      ASSERT_EQ(FinalOf(*copy, whole.size() - split), second) << split;
    }
    EXPECT_EQ(state->Update(data), code::kBadState);
  }
}

}  // namespace
}  // namespace vtee::ta
