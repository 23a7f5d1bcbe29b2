// SPDX-License-Identifier: BSD-3-Clause
#include "ta/container/trust_roots.h"

#include <gtest/gtest.h>

#include "ta/container/development_keys.h"
#include "ta/container/test_signer.h"

namespace vtee::ta {
namespace {

TEST(TrustRoots, TakeAKeyFromPem) {
  TrustRoots roots;
  ASSERT_TRUE(roots.AddPem(TestSigner().PublicPem(), "k.pem").ok());
  ASSERT_EQ(roots.keys().size(), 1u);
  EXPECT_FALSE(roots.development());
}

TEST(TrustRoots, RefuseWhatIsNoKey) {
  TrustRoots roots;
  for (const std::string_view text : {"", "hello", "-----BEGIN PUBLIC KEY-----\nAAAA\n"}) {
    const Status status = roots.AddPem(text, "k.pem");
    ASSERT_FALSE(status.ok());
    EXPECT_NE(status.error().message.find("k.pem: "), std::string::npos);
  }
  EXPECT_TRUE(roots.keys().empty());
}

TEST(TrustRoots, RefuseWeakKeys) {
  TrustRoots roots;
  EXPECT_FALSE(roots.AddPem(TestSigner(1024).PublicPem(), "weak.pem").ok());
}

TEST(TrustRoots, TakeDevelopmentKeysOnlyByName) {
  TrustRoots roots;
  for (const std::string_view pem : DevelopmentKeys()) {
    const Status status = roots.AddPem(pem, "default_ta.pem");
    ASSERT_FALSE(status.ok());
    EXPECT_NE(status.error().message.find("development"), std::string::npos);
  }
  EXPECT_FALSE(roots.development());
  ASSERT_TRUE(roots.AddDevelopmentKeys().ok());
  EXPECT_TRUE(roots.development());
  ASSERT_EQ(roots.keys().size(), 2u);
  EXPECT_EQ(roots.keys()[0].signature_size(), 256u);
  EXPECT_EQ(roots.keys()[1].signature_size(), 512u);
}

}  // namespace
}  // namespace vtee::ta
