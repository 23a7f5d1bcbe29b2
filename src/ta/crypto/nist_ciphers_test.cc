// SPDX-License-Identifier: BSD-3-Clause
// Ciphers against NIST's CAVP vectors, RFC 3686 and draft-ribose-cfrg-sm4 (test_vectors.h).
#include <gtest/gtest.h>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/cipher.h"
#include "ta/crypto/test_vectors.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

struct Keys {
  Bytes first;
  Bytes second = {};
};

// In one piece, and with the first `split` octets ahead of the rest.
void ExpectOneWay(std::uint32_t algorithm, bool encrypt, const Keys& keys, const Bytes& iv,
                  const Bytes& in, const Bytes& expected, std::size_t split) {
  for (const std::size_t ahead : {std::size_t{0}, split}) {
    const auto state = CipherState::Create(algorithm, encrypt, keys.first, keys.second);
    ASSERT_NE(state, nullptr);
    ASSERT_EQ(state->Init(iv), code::kSuccess);
    Bytes out(in.size());
    ASSERT_EQ(state->Update(std::span(in).first(ahead), std::span(out).first(ahead)),
              code::kSuccess);
    ASSERT_EQ(state->Final(std::span(in).subspan(ahead), std::span(out).subspan(ahead)),
              code::kSuccess);
    ASSERT_EQ(ToHex(out), ToHex(expected)) << std::hex << algorithm << (encrypt ? " en" : " de");
  }
}

void ExpectBothWays(std::uint32_t algorithm, const Keys& keys, const Bytes& iv, const Bytes& plain,
                    const Bytes& secret) {
  const std::size_t block = iv.empty() ? 16 : iv.size();
  const std::size_t split = plain.size() >= 2 * block ? block : 0;
  ExpectOneWay(algorithm, true, keys, iv, plain, secret, split);
  ExpectOneWay(algorithm, false, keys, iv, secret, plain, split);
}

CheckVector With(std::uint32_t algorithm) {
  return [algorithm](const Vector& vector) {
    if (!vector.Has("CIPHERTEXT")) return false;
    ExpectBothWays(algorithm, {vector.Octets("KEY")},
                   vector.Has("IV") ? vector.Octets("IV") : Bytes(), vector.Octets("PLAINTEXT"),
                   vector.Octets("CIPHERTEXT"));
    return true;
  };
}

TEST(NistCiphers, Aes) {
  EXPECT_GE(ForEachVectorIn("ciphers/AES/ECB", ".rsp", With(alg::kAesEcb)), 2138);
  EXPECT_GE(ForEachVectorIn("ciphers/AES/CBC", ".rsp", With(alg::kAesCbc)), 2138);
  EXPECT_GE(ForEachVectorIn("ciphers/AES/CTR", ".txt", With(alg::kAesCtr)), 9);
}

TEST(NistCiphers, Sm4) {
  const std::string folder = "ciphers/SM4/draft-ribose-cfrg-sm4-10-";
  EXPECT_GE(ForEachVector(folder + "ecb.txt", With(alg::kSm4Ecb)), 4);
  EXPECT_GE(ForEachVector(folder + "cbc.txt", With(alg::kSm4Cbc)), 2);
  EXPECT_GE(ForEachVector(folder + "ctr.txt", With(alg::kSm4Ctr)), 2);
}

// A key of three times the same is one for single DES, one of two halves for two-key triple DES.
CheckVector WithDes(std::uint32_t single, std::uint32_t triple) {
  return [single, triple](const Vector& vector) {
    if (!vector.Has("CIPHERTEXT")) return false;
    const Bytes iv = vector.Has("IV") ? vector.Octets("IV") : Bytes();
    const Bytes plain = vector.Octets("PLAINTEXT");
    const Bytes secret = vector.Octets("CIPHERTEXT");
    const bool same = vector.Has("KEYs");
    const Bytes first = vector.Octets(same ? "KEYs" : "KEY1");
    const Bytes second = same ? first : vector.Octets("KEY2");
    const Bytes third = same ? first : vector.Octets("KEY3");
    const Bytes two = Joined(first, second);
    ExpectBothWays(triple, {Joined(two, third)}, iv, plain, secret);
    if (first == third) ExpectBothWays(triple, {two}, iv, plain, secret);
    if (first == third && first == second) ExpectBothWays(single, {first}, iv, plain, secret);
    return true;
  };
}

TEST(NistCiphers, Des) {
  EXPECT_GE(ForEachVectorIn("ciphers/3DES/ECB", ".rsp", WithDes(alg::kDesEcb, alg::kDes3Ecb)), 530);
  // Not the interleaved ones (TCBCI...).
  int count = 0;
  for (const char* name :
       {"MMT1", "MMT2", "MMT3", "invperm", "permop", "subtab", "varkey", "vartext"}) {
    const std::string file = std::string("ciphers/3DES/CBC/TCBC") + name + ".rsp";
    const int here = ForEachVector(file, WithDes(alg::kDesCbc, alg::kDes3Cbc));
    EXPECT_GT(here, 0) << file;
    count += here;
  }
  EXPECT_GE(count, 530);
}

// A sector's number is a tweak, the lowest octet first.
Bytes TweakOf(const Vector& vector) {
  if (vector.Has("i")) return vector.Octets("i");
  Bytes tweak(16);
  std::size_t number = vector.Count("DataUnitSeqNumber");
  for (std::byte& octet : tweak) {
    octet = static_cast<std::byte>(number);
    number >>= 8;
  }
  return tweak;
}

TEST(NistCiphers, Xts) {
  const CheckVector check = [](const Vector& vector) {
    // Whole octets only.
    if (!vector.Has("CT") || vector.Count("DataUnitLen") % 8 != 0) return false;
    const Bytes key = vector.Octets("Key");
    const std::size_t half = key.size() / 2;
    ExpectBothWays(alg::kAesXts,
                   {Bytes(key.begin(), key.begin() + static_cast<std::ptrdiff_t>(half)),
                    Bytes(key.begin() + static_cast<std::ptrdiff_t>(half), key.end())},
                   TweakOf(vector), vector.Octets("PT"), vector.Octets("CT"));
    return true;
  };
  EXPECT_GE(ForEachVectorIn("ciphers/AES/XTS/tweak-128hexstr", ".rsp", check), 1400);
  EXPECT_GE(ForEachVectorIn("ciphers/AES/XTS/tweak-dataunitseqno", ".rsp", check), 1400);
}

}  // namespace
}  // namespace vtee::ta
