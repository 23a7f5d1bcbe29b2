// SPDX-License-Identifier: BSD-3-Clause
#include "ta/container/subkey.h"

#include <gtest/gtest.h>

#include <cstring>

#include "ta/container/signed_ta.h"
#include "ta/container/test_signer.h"

namespace vtee::ta {
namespace {

class NoVersions : public VersionStore {
 public:
  std::optional<std::uint32_t> Raise(Kind kind, const tee::Uuid& uuid,
                                     std::uint32_t version) override {
    if (kind == Kind::kSubkey && uuid == old_key) return newest;
    return version;
  }
  tee::Uuid old_key;
  std::uint32_t newest = 0;
};

class Subkeys : public ::testing::Test {
 protected:
  Subkeys() { EXPECT_TRUE(roots.AddPem(root.PublicPem(), "root").ok()); }

  std::optional<Fault> Verify(const FileBytes& file, const tee::Uuid& wanted) {
    const auto verdict = VerifySignedTa(file, wanted, roots, {}, versions);
    if (verdict.ok()) return std::nullopt;
    return verdict.refusal().fault;
  }
  static FileBytes Join(FileBytes first, const FileBytes& second) {
    AppendBytes(first, second);
    return first;
  }

  TestSigner root{2048, 0};
  TestSigner middle{2048, 1};
  TestSigner last{2048, 2};
  TrustRoots roots;
  NoVersions versions;
  const FileBytes image = BytesOf("an ELF file");
  const tee::Uuid uuid = UuidOf("8aaaf200-2450-11e4-abe2-0002a5d5c51b");
};

// Worked out with Python's hashlib and uuid from the definition in RFC 4122, section 4.3.
TEST_F(Subkeys, NextUuidIsAVersion5UuidOfSha512) {
  EXPECT_EQ(tee::ToString(SubkeyNextUuid(uuid, BytesOf("subkey1_ta"))),
            "329a1e5d-7a4d-5a3a-b7ea-c9596c72186f");
  EXPECT_EQ(SubkeyNextUuid(uuid, BytesOf(std::string("subkey1_ta\0\0garbage", 19))),
            SubkeyNextUuid(uuid, BytesOf("subkey1_ta")));
  EXPECT_EQ(SubkeyNextUuid(uuid, {}), uuid);
}

TEST_F(Subkeys, ATaSignedWithOneIsAccepted) {
  const tee::Uuid ta = SubkeyNextUuid(uuid, BytesOf("name"));
  EXPECT_EQ(
      Verify(Join(root.Subkey(middle, uuid, 1, 0, "name"), middle.Bootstrap(ta, 1, image)), ta),
      std::nullopt);
}

TEST_F(Subkeys, AChainIsFollowed) {
  const tee::Uuid second = SubkeyNextUuid(uuid, BytesOf("name"));
  const tee::Uuid ta = SubkeyNextUuid(second, BytesOf("other"));
  const FileBytes file =
      Join(root.Subkey(middle, uuid, 1, 5, "name"),
           Join(middle.Subkey(last, second, 1, 0, "other"), last.Bootstrap(ta, 1, image)));
  EXPECT_EQ(Verify(file, ta), std::nullopt);
  for (std::size_t size = 0; size < file.size(); size += 7) {
    const FileBytes cut(file.begin(), file.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(Verify(cut, ta), Fault::kTruncated) << size;
  }
}

TEST_F(Subkeys, SignForTheirOwnNamespaceOnly) {
  EXPECT_EQ(
      Verify(Join(root.Subkey(middle, uuid, 1, 0, "name"), middle.Bootstrap(uuid, 1, image)), uuid),
      Fault::kSubkey);
  const tee::Uuid second = SubkeyNextUuid(uuid, BytesOf("name"));
  const tee::Uuid ta = SubkeyNextUuid(uuid, BytesOf("other"));
  EXPECT_EQ(
      Verify(Join(root.Subkey(middle, uuid, 1, 5, "name"),
                  Join(middle.Subkey(last, uuid, 1, 0, "other"), last.Bootstrap(ta, 1, image))),
             ta),
      Fault::kSubkey)
      << tee::ToString(second);
}

TEST_F(Subkeys, AreNotNestedDeeperThanAllowed) {
  const tee::Uuid second = SubkeyNextUuid(uuid, BytesOf("name"));
  for (const std::uint32_t depth : {5u, 6u}) {
    EXPECT_EQ(Verify(Join(root.Subkey(middle, uuid, 1, 5, "name"),
                          Join(middle.Subkey(last, second, 1, depth, ""),
                               last.Bootstrap(second, 1, image))),
                     second),
              Fault::kSubkey);
  }
}

TEST_F(Subkeys, AreNotReplacedByTheRootsOrAnothersSignature) {
  const tee::Uuid ta = SubkeyNextUuid(uuid, BytesOf("name"));
  EXPECT_EQ(Verify(Join(root.Subkey(middle, uuid, 1, 0, "name"), last.Bootstrap(ta, 1, image)), ta),
            Fault::kSubkey);
  EXPECT_EQ(
      Verify(Join(last.Subkey(middle, uuid, 1, 0, "name"), middle.Bootstrap(ta, 1, image)), ta),
      Fault::kKey);
}

TEST_F(Subkeys, ThatWereReplacedByNewerOnesAreRefused) {
  versions.old_key = uuid;
  versions.newest = 3;
  const tee::Uuid ta = SubkeyNextUuid(uuid, BytesOf("name"));
  EXPECT_EQ(
      Verify(Join(root.Subkey(middle, uuid, 2, 0, "name"), middle.Bootstrap(ta, 1, image)), ta),
      Fault::kDowngrade);
  EXPECT_EQ(
      Verify(Join(root.Subkey(middle, uuid, 3, 0, "name"), middle.Bootstrap(ta, 1, image)), ta),
      std::nullopt);
}

class SubkeyImage : public Subkeys {
 protected:
  SubkeyImage() {
    const FileBytes file = root.Subkey(middle, uuid, 1, 0, "");
    image = FileBytes(file.begin() + 20 + 32 + 256, file.end());
  }
  void Set(std::size_t offset, std::uint32_t value) {
    std::memcpy(image.data() + offset, &value, sizeof(value));
  }
  Fault FaultOfImage() {
    const auto verdict = ReadSubkey(image);
    EXPECT_FALSE(verdict.ok());
    return verdict.ok() ? Fault::kVersionStore : verdict.refusal().fault;
  }
  static constexpr std::size_t kFirstAttribute = sizeof(SubkeyHeader);
  FileBytes image;
};

TEST_F(SubkeyImage, IsReadWhole) {
  const auto verdict = ReadSubkey(image);
  ASSERT_TRUE(verdict.ok());
  EXPECT_EQ(verdict.value().uuid, uuid);
  EXPECT_EQ(verdict.value().key.signature_size(), 256u);
}

TEST_F(SubkeyImage, AttributesOutsideAreRefused) {
  Set(kFirstAttribute + offsetof(SubkeyAttribute, offset), 0xFFFFFFF0);
  EXPECT_EQ(FaultOfImage(), Fault::kSubkey);
  Set(kFirstAttribute + offsetof(SubkeyAttribute, offset), 60);
  Set(kFirstAttribute + offsetof(SubkeyAttribute, size), 0xFFFFFFFF);
  EXPECT_EQ(FaultOfImage(), Fault::kSubkey);
}

TEST_F(SubkeyImage, CountsThatLieAreRefused) {
  Set(offsetof(SubkeyHeader, attribute_count), 0xFFFFFFFF);
  EXPECT_EQ(FaultOfImage(), Fault::kSubkey);
  Set(offsetof(SubkeyHeader, attribute_count), 1);
  EXPECT_EQ(FaultOfImage(), Fault::kSubkey);
}

TEST_F(SubkeyImage, OfAWeakKeyIsRefused) {
  Set(kFirstAttribute + offsetof(SubkeyAttribute, size), 128);
  EXPECT_EQ(FaultOfImage(), Fault::kKey);
}

}  // namespace
}  // namespace vtee::ta
