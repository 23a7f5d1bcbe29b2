// SPDX-License-Identifier: BSD-3-Clause
#include "ta/container/signed_ta.h"

#include <gtest/gtest.h>

#include <map>

#include "ta/container/test_signer.h"

namespace vtee::ta {
namespace {

class Versions : public VersionStore {
 public:
  std::optional<std::uint32_t> Raise(Kind kind, const tee::Uuid& uuid,
                                     std::uint32_t version) override {
    if (broken) return std::nullopt;
    std::uint32_t& newest = seen[{kind, uuid}];
    newest = std::max(newest, version);
    return newest;
  }
  std::map<std::pair<Kind, tee::Uuid>, std::uint32_t> seen;
  bool broken = false;
};

class SignedTa : public ::testing::Test {
 protected:
  SignedTa() { EXPECT_TRUE(roots.AddPem(signer.PublicPem(), "test").ok()); }

  Verdict<VerifiedTa> Verify(const FileBytes& file) {
    return VerifySignedTa(file, uuid, roots, keys, versions);
  }
  Fault FaultOf(const FileBytes& file) {
    const auto verdict = Verify(file);
    if (verdict.ok()) {
      ADD_FAILURE() << "accepted";
      return Fault::kVersionStore;
    }
    EXPECT_FALSE(verdict.refusal().message.empty());
    return verdict.refusal().fault;
  }

  const tee::Uuid uuid = UuidOf("8aaaf200-2450-11e4-abe2-0002a5d5c51b");
  const tee::Uuid other = UuidOf("11111111-2450-11e4-abe2-0002a5d5c51b");
  const FileBytes image = BytesOf("this would be an ELF file");
  TestSigner signer;
  TrustRoots roots;
  TaDecryptionKeys keys;
  Versions versions;
};

TEST_F(SignedTa, BootstrapIsAccepted) {
  for (const std::uint32_t algorithm :
       {0x70004830u, 0x70005830u, 0x70006830u, 0x70414930u, 0x70515930u, 0x70616930u}) {
    const auto verdict = Verify(signer.Bootstrap(uuid, 3, image, algorithm));
    ASSERT_TRUE(verdict.ok()) << std::hex << algorithm << verdict.refusal().message;
    EXPECT_EQ(verdict.value().image, image);
    EXPECT_EQ(verdict.value().version, 3u);
    EXPECT_EQ(verdict.value().uuid, uuid);
    EXPECT_EQ(verdict.value().signer.size(), 64u);
    EXPECT_GE(verdict.value().digest.size(), 32u);
  }
}

TEST_F(SignedTa, LegacyIsAccepted) {
  const auto verdict = Verify(signer.Legacy(image));
  ASSERT_TRUE(verdict.ok()) << verdict.refusal().message;
  EXPECT_EQ(verdict.value().image, image);
}

TEST_F(SignedTa, EachLengthThatIsCutOffIsTruncated) {
  const FileBytes file = signer.Bootstrap(uuid, 1, image);
  for (std::size_t size = 0; size < file.size(); ++size) {
    const FileBytes cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(FaultOf(cut), Fault::kTruncated) << size;
  }
}

TEST_F(SignedTa, MoreThanTheImageIsOversized) {
  FileBytes file = signer.Bootstrap(uuid, 1, image);
  file.push_back(std::byte{0});
  EXPECT_EQ(FaultOf(file), Fault::kOversized);
}

TEST_F(SignedTa, AnyFlippedBitIsNoticed) {
  const FileBytes file = signer.Bootstrap(uuid, 1, image);
  for (std::size_t i = 0; i < file.size(); ++i) {
    FileBytes changed = file;
    changed[i] ^= std::byte{0x10};
    const auto verdict = Verify(changed);
    ASSERT_FALSE(verdict.ok()) << i;
  }
}

TEST_F(SignedTa, ChangedContentsAreTheHashsFault) {
  FileBytes file = signer.Bootstrap(uuid, 1, image);
  file.back() ^= std::byte{1};
  EXPECT_EQ(FaultOf(file), Fault::kHash);
}

TEST_F(SignedTa, AnotherKeyIsNotTrusted) {
  const auto verdict = Verify(TestSigner(2048, 1).Bootstrap(uuid, 1, image));
  ASSERT_FALSE(verdict.ok());
  EXPECT_EQ(verdict.refusal().fault, Fault::kKey);
  EXPECT_EQ(verdict.refusal().code(), tee::code::kSecurity);
}

TEST_F(SignedTa, NobodyIsTrustedWithoutKeys) {
  const auto verdict =
      VerifySignedTa(signer.Bootstrap(uuid, 1, image), uuid, TrustRoots(), keys, versions);
  ASSERT_FALSE(verdict.ok());
  EXPECT_EQ(verdict.refusal().fault, Fault::kKey);
}

TEST_F(SignedTa, OneOfSeveralKeysSuffices) {
  const TestSigner second(3072);
  ASSERT_TRUE(roots.AddPem(second.PublicPem(), "second").ok());
  EXPECT_TRUE(Verify(second.Bootstrap(uuid, 1, image)).ok());
  EXPECT_TRUE(Verify(signer.Bootstrap(uuid, 1, image)).ok());
}

TEST_F(SignedTa, AnotherTaIsTheUuidsFault) {
  EXPECT_EQ(FaultOf(signer.Bootstrap(other, 1, image)), Fault::kUuid);
}

TEST_F(SignedTa, NoMagicIsNotSigned) {
  EXPECT_EQ(FaultOf(BytesOf("\x7f"
                            "ELF, just as the linker left it behind, unsigned")),
            Fault::kNotSigned);
}

TEST_F(SignedTa, WeakOrUnknownAlgorithmsAreRefused) {
  for (const std::uint32_t algorithm : {0x70001830u, 0x70002830u, 0x70212930u, 0x70313930u, 0u}) {
    FileBytes file = signer.Bootstrap(uuid, 1, image);
    std::memcpy(file.data() + offsetof(SignedHeader, algorithm), &algorithm, sizeof(algorithm));
    EXPECT_EQ(FaultOf(file), Fault::kAlgorithm) << std::hex << algorithm;
  }
}

TEST_F(SignedTa, TypesOfTheFutureAreUnknown) {
  FileBytes file = signer.Header(static_cast<ImageType>(9), image.size(), image);
  AppendBytes(file, image);
  EXPECT_EQ(FaultOf(file), Fault::kUnknownType);
}

TEST_F(SignedTa, OlderThanOneThatRanIsADowngrade) {
  ASSERT_TRUE(Verify(signer.Bootstrap(uuid, 5, image)).ok());
  ASSERT_TRUE(Verify(signer.Bootstrap(uuid, 5, image)).ok());
  const auto verdict = Verify(signer.Bootstrap(uuid, 4, image));
  ASSERT_FALSE(verdict.ok());
  EXPECT_EQ(verdict.refusal().fault, Fault::kDowngrade);
  EXPECT_EQ(verdict.refusal().code(), tee::code::kAccessConflict);
  EXPECT_TRUE(Verify(signer.Bootstrap(uuid, 6, image)).ok());
}

TEST_F(SignedTa, ATaThatIsRefusedDoesNotCountAsSeen) {
  FileBytes file = signer.Bootstrap(uuid, 9, image);
  file.back() ^= std::byte{1};
  EXPECT_EQ(FaultOf(file), Fault::kHash);
  EXPECT_EQ(FaultOf(signer.Bootstrap(other, 9, image)), Fault::kUuid);
  EXPECT_TRUE(versions.seen.empty());
  EXPECT_TRUE(Verify(signer.Bootstrap(uuid, 1, image)).ok());
}

TEST_F(SignedTa, WithoutAVersionStoreNothingRuns) {
  versions.broken = true;
  EXPECT_EQ(FaultOf(signer.Bootstrap(uuid, 1, image)), Fault::kVersionStore);
}

class EncryptedTa : public SignedTa {
 protected:
  TaDecryptionKeys::Key key{1, 2, 3, 4};
};

TEST_F(EncryptedTa, IsDecryptedWithTheKeyItNames) {
  keys.device = key;
  const auto verdict = Verify(signer.Encrypted(uuid, 2, image, key, false));
  ASSERT_TRUE(verdict.ok()) << verdict.refusal().message;
  EXPECT_EQ(verdict.value().image, image);

  keys.class_wide = key;
  keys.device.reset();
  EXPECT_TRUE(Verify(signer.Encrypted(uuid, 2, image, key, true)).ok());
}

TEST_F(EncryptedTa, WithoutItsKeyIsNotRun) {
  EXPECT_EQ(FaultOf(signer.Encrypted(uuid, 2, image, key, false)), Fault::kNoKey);
  keys.device = key;
  EXPECT_EQ(FaultOf(signer.Encrypted(uuid, 2, image, key, true)), Fault::kNoKey);
}

TEST_F(EncryptedTa, WithAnotherKeyIsNotRun) {
  keys.device = TaDecryptionKeys::Key{9};
  EXPECT_EQ(FaultOf(signer.Encrypted(uuid, 2, image, key, false)), Fault::kDecryption);
}

TEST_F(EncryptedTa, EachLengthThatIsCutOffIsTruncated) {
  keys.device = key;
  const FileBytes file = signer.Encrypted(uuid, 2, image, key, false);
  for (std::size_t size = 0; size < file.size(); ++size) {
    const FileBytes cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(FaultOf(cut), Fault::kTruncated) << size;
  }
}

TEST_F(EncryptedTa, AnyFlippedBitIsNoticed) {
  keys.device = key;
  const FileBytes file = signer.Encrypted(uuid, 2, image, key, false);
  for (std::size_t i = 0; i < file.size(); ++i) {
    FileBytes changed = file;
    changed[i] ^= std::byte{0x04};
    ASSERT_FALSE(Verify(changed).ok()) << i;
  }
}

}  // namespace
}  // namespace vtee::ta
