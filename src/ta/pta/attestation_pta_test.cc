// SPDX-License-Identifier: BSD-3-Clause
#include "ta/pta/attestation_pta.h"

#include <openssl/evp.h>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/asymmetric.h"
#include "ta/loader/tee_uuid.h"
#include "ta/pta/pta_test.h"
#include "ta/pta/tee_measurement.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;
constexpr std::size_t kAnswer = 32 + 384;

std::vector<std::byte> Sha256(std::vector<std::byte> first, ConstBytes second) {
  first.insert(first.end(), second.begin(), second.end());
  std::vector<std::byte> digest(32);
  EXPECT_EQ(EVP_Digest(first.data(), first.size(), Out(digest), nullptr, EVP_sha256(), nullptr), 1);
  return digest;
}

std::vector<std::byte> UuidBytes(const tee::Uuid& uuid) {
  const TeeUuid raw = ToTeeUuid(uuid);
  const auto bytes = std::as_bytes(std::span(raw));
  return {bytes.begin(), bytes.end()};
}

class Attestation : public PtaTest {
 protected:
  void SetUp() override { Open(kAttestationPta); }

  CryptoObject PublicKey() {
    const TestMemory exponent(3);
    const TestMemory modulus(512);
    EntryParams params = Params(0x0266);
    Give(params[0], exponent);
    Give(params[1], modulus);
    EXPECT_EQ(Invoke(0, params), code::kSuccess);
    EXPECT_EQ(params[0].size, 3u);
    EXPECT_EQ(params[1].size, 384u);
    EXPECT_EQ(params[2].a, 0x70414930u);
    const Attribute parts[] = {
        {.id = attr::kRsaModulus, .bytes = std::span(modulus.bytes).first(384)},
        {.id = attr::kRsaPublicExponent, .bytes = exponent.bytes}};
    CryptoObject key(objtype::kRsaPublic, 3072);
    EXPECT_EQ(key.Populate(parts), code::kSuccess);
    return key;
  }
  // As a verifier does it: with a salt of 32 bytes and no other.
  static bool Verifies(const CryptoObject& key, const std::vector<std::byte>& nonce,
                       ConstBytes answer) {
    const Attribute salt{.id = attr::kRsaPssSaltLength, .bytes = {}, .a = 32};
    return AsymmetricVerify(alg::kRsassaPssSha256, key, std::span(&salt, 1),
                            Sha256(nonce, answer.first(32)), answer.subspan(32)) == code::kSuccess;
  }
  std::uint32_t HashOfTa(const std::vector<std::byte>& uuid, const TestMemory& out) {
    const TestMemory name(uuid);
    const TestMemory salt(nonce);
    EntryParams params = Params(0x0655);
    Give(params[0], name);
    Give(params[1], salt);
    Give(params[2], out);
    return Invoke(1, params);
  }

  const std::vector<std::byte> nonce{std::byte{1}, std::byte{2}, std::byte{3}};
};

TEST_F(Attestation, OfATaIsTheSignedHashOfItsHeader) {
  AddTa(1, 0);
  AddTa(2, 0);
  const CryptoObject key = PublicKey();
  const TestMemory one(kAnswer);
  const TestMemory two(kAnswer);
  ASSERT_EQ(HashOfTa(UuidBytes(Uuid(1)), one), code::kSuccess);
  ASSERT_EQ(HashOfTa(UuidBytes(Uuid(2)), two), code::kSuccess);
  EXPECT_TRUE(Verifies(key, nonce, one.bytes));
  EXPECT_TRUE(Verifies(key, nonce, two.bytes));
  EXPECT_FALSE(Verifies(key, {}, one.bytes));
  const auto found = core->files().FetchVerified(call, Uuid(1));
  ASSERT_TRUE(std::holds_alternative<VerifiedTa>(found));
  EXPECT_TRUE(
      std::ranges::equal(std::get<VerifiedTa>(found).digest, std::span(one.bytes).first(32)));
  EXPECT_NE(one.bytes, two.bytes);
  one.bytes[0] ^= std::byte{1};
  EXPECT_FALSE(Verifies(key, nonce, one.bytes));
  EXPECT_EQ(HashOfTa(UuidBytes(Uuid(3)), one), code::kItemNotFound);
  EXPECT_EQ(HashOfTa({std::byte{1}}, one), code::kBadParameters);
}

TEST_F(Attestation, OfTheTeeIsStableAndSigned) {
  const CryptoObject key = PublicKey();
  std::vector<std::byte> hash;
  for (int i = 0; i < 2; ++i) {
    const TestMemory salt(nonce);
    const TestMemory out(kAnswer + 10);
    EntryParams params = Params(0x0065);
    Give(params[0], salt);
    Give(params[1], out);
    ASSERT_EQ(Invoke(3, params), code::kSuccess);
    EXPECT_EQ(params[1].size, kAnswer);
    const auto answer = std::span(out.bytes).first(kAnswer);
    EXPECT_TRUE(Verifies(key, nonce, answer));
    const std::vector<std::byte> now(answer.begin(), answer.begin() + 32);
    EXPECT_TRUE(hash.empty() || hash == now);
    hash = now;
  }
  EXPECT_NE(hash, Sha256({}, {}));  // it is not of nothing
}

TEST_F(Attestation, TheKeyIsKeptAndNeverReplaced) {
  const auto modulus = [](AttestationKey& key) {
    SecretBytes e;
    SecretBytes n;
    EXPECT_EQ(key.Public(e, n), code::kSuccess);
    return n;
  };
  ObjectStore& store = core->storage().store();
  AttestationKey first(store, kAttestationPta);
  AttestationKey again(store, kAttestationPta);
  const SecretBytes n = modulus(first);
  EXPECT_EQ(n.size(), 384u);
  EXPECT_EQ(modulus(again), n);
  ObjectKey name{.ta = kAttestationPta, .id = {}};
  for (const char c : {'k', 'e', 'y'}) name.id.push_back(static_cast<std::byte>(c));
  ObjectRecord damaged;
  damaged.object = SecretBytes(20);
  ASSERT_EQ(store.Create(name, damaged, {}, true), code::kSuccess);
  AttestationKey later(store, kAttestationPta);
  SecretBytes signature;
  EXPECT_EQ(later.Sign(Digest{}, signature), code::kGeneric);
  ObjectRecord record;
  EXPECT_EQ(store.Load(name, record), code::kSuccess);
  EXPECT_EQ(record.object, damaged.object);
}

TEST_F(Attestation, BuffersThatAreTooSmallLearnTheSize) {
  const TestMemory small(2);
  EntryParams params = Params(0x0266);
  Give(params[0], small);
  Give(params[1], small);
  EXPECT_EQ(Invoke(0, params), code::kShortBuffer);
  EXPECT_EQ(params[0].size, 3u);
  EXPECT_EQ(params[1].size, 384u);
  const TestMemory salt(nonce);
  params = Params(0x0065);
  Give(params[0], salt);
  EXPECT_EQ(Invoke(3, params), code::kShortBuffer);
  EXPECT_EQ(params[1].size, kAnswer);
  params[1].size = kAnswer;  // at NULL
  EXPECT_EQ(Invoke(3, params), code::kBadParameters);
  params[0].size = 0;
  EXPECT_EQ(Invoke(3, params), code::kBadParameters);
}

TEST_F(Attestation, OfACallerIsForTasOnly) {
  EntryParams params = Params(0x0065);
  EXPECT_EQ(Invoke(2, params), code::kAccessDenied);
  for (std::uint32_t command = 0; command < 5; ++command) {
    EXPECT_EQ(Invoke(command), code::kBadParameters) << command;
  }
}

TEST(Measurement, DoesNotDependOnWhereRegionsAre) {
  const std::vector<std::byte> a(10, std::byte{1});
  const std::vector<std::byte> b(10, std::byte{2});
  const std::vector<std::byte> c(5, std::byte{3});
  const auto hash = MeasureRegions({a, b, c});
  ASSERT_TRUE(hash);
  EXPECT_EQ(MeasureRegions({c, b, a}), hash);
  EXPECT_NE(MeasureRegions({a, b}), hash);
  std::vector<std::byte> in_order = c;
  in_order.insert(in_order.end(), a.begin(), a.end());
  EXPECT_TRUE(std::ranges::equal(*hash, Sha256(in_order, b)));
}

}  // namespace
}  // namespace vtee::ta
