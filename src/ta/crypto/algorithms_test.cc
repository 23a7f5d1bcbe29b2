// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/algorithms.h"

#include <gtest/gtest.h>

#include "ta/crypto/random.h"
#include "ta/crypto/test_bytes.h"

namespace vtee::ta {
namespace {

TEST(Algorithms, Classes) {
  EXPECT_EQ(ClassOf(alg::kAesXts), AlgorithmClass::kCipher);
  EXPECT_EQ(ClassOf(alg::kSm4Xts), AlgorithmClass::kCipher);
  EXPECT_EQ(ClassOf(alg::kDes3Cmac), AlgorithmClass::kMac);
  EXPECT_EQ(ClassOf(alg::kAesGcm), AlgorithmClass::kAe);
  EXPECT_EQ(ClassOf(alg::kShake256), AlgorithmClass::kDigest);
  EXPECT_EQ(ClassOf(alg::kSm2Pke), AlgorithmClass::kAsymmetricCipher);
  EXPECT_EQ(ClassOf(alg::kRsaesOaepMd5), AlgorithmClass::kAsymmetricCipher);
  EXPECT_EQ(ClassOf(alg::kRsassaPkcs1), AlgorithmClass::kSignature);
  EXPECT_EQ(ClassOf(alg::kSm2Kep), AlgorithmClass::kKeyDerivation);
  EXPECT_EQ(ClassOf(0xEFFFFFFF), AlgorithmClass::kNone);
  EXPECT_FALSE(IsSupported(0x5000000F));  // MD5-SHA1
  EXPECT_TRUE(IsSupported(alg::kPbkdf2Sha1));
}

TEST(Algorithms, Digests) {
  EXPECT_EQ(DigestOf(alg::kSha384), alg::kSha384);
  EXPECT_EQ(DigestOf(alg::kHmacSm3), alg::kSm3);
  EXPECT_EQ(DigestOf(alg::kRsaesOaepSha3_512), alg::kSha3_512);
  EXPECT_EQ(DigestOf(alg::kRsassaPssSha1), alg::kSha1);
  EXPECT_EQ(DigestOf(alg::kEcdsaSha256), alg::kSha256);
  EXPECT_EQ(DigestOf(alg::kEcdsaSha3_224), alg::kSha3_224);
  EXPECT_EQ(DigestOf(alg::kSm2DsaSm3), alg::kSm3);
  EXPECT_EQ(DigestOf(alg::kHkdfSha512), alg::kSha512);
  EXPECT_EQ(DigestOf(alg::kHkdf), 0u);
  EXPECT_EQ(DigestOf(alg::kAesGcm), 0u);
  EXPECT_EQ(DigestSize(alg::kSha3_384), 48u);
  EXPECT_EQ(DigestSize(alg::kHmacSha512), 64u);
  EXPECT_EQ(DigestSize(alg::kShake128), 0u);
  EXPECT_EQ(DigestSize(alg::kAesCmac), 16u);
  EXPECT_EQ(DigestSize(alg::kDes3Cmac), 8u);
  EXPECT_EQ(DigestSize(alg::kRsassaPssSha1), 0u);
}

TEST(Algorithms, OldIdentifiers) {
  EXPECT_EQ(CurrentAlgorithm(0x70001041), alg::kEcdsaSha1);
  EXPECT_EQ(CurrentAlgorithm(0x70005041), alg::kEcdsaSha512);
  EXPECT_EQ(CurrentAlgorithm(0x80003042), alg::kEcdh);
  EXPECT_EQ(CurrentAlgorithm(0x70006041), 0x70006041u);
  EXPECT_EQ(CurrentAlgorithm(alg::kEcdsaSha1), alg::kEcdsaSha1);
  EXPECT_EQ(CurrentAlgorithm(alg::kEcdh), alg::kEcdh);
  EXPECT_EQ(CurrentAlgorithm(alg::kHkdfSha1), alg::kHkdfSha1);
}

TEST(Algorithms, TwoKeys) {
  EXPECT_TRUE(NeedsTwoKeys(alg::kAesXts));
  EXPECT_TRUE(NeedsTwoKeys(alg::kSm2Kep));
  EXPECT_FALSE(NeedsTwoKeys(alg::kAesCts));
}

TEST(Random, FillsAll) {
  Bytes first(3 << 20);
  Bytes second(first.size());
  ASSERT_EQ(RandomBytes(first), 0u);
  ASSERT_EQ(RandomBytes(second), 0u);
  EXPECT_NE(first, second);
  EXPECT_NE(Bytes(first.end() - 32, first.end()), Bytes(32));
  EXPECT_EQ(RandomBytes({}), 0u);
}

}  // namespace
}  // namespace vtee::ta
