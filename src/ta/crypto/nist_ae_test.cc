// SPDX-License-Identifier: BSD-3-Clause
// Authenticated encryption against NIST's CAVP vectors (test_vectors.h).
#include <gtest/gtest.h>

#include "ta/crypto/ae.h"
#include "ta/crypto/algorithms.h"
#include "ta/crypto/test_vectors.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

struct Sealed {
  Bytes key;
  Bytes nonce;
  Bytes aad;
  Bytes text;
  Bytes tag;
};

std::unique_ptr<AeState> Begin(std::uint32_t algorithm, bool encrypt, const Sealed& sealed) {
  auto state = AeState::Create(algorithm, encrypt, sealed.key);
  EXPECT_NE(state, nullptr);
  if (!state) return nullptr;
  EXPECT_EQ(state->Init(sealed.nonce, sealed.tag.size(), sealed.aad.size(), sealed.text.size()),
            code::kSuccess);
  EXPECT_EQ(state->UpdateAad(sealed.aad), code::kSuccess);
  return state;
}

void ExpectSeals(std::uint32_t algorithm, const Sealed& sealed, const Bytes& plain) {
  const auto state = Begin(algorithm, true, sealed);
  ASSERT_NE(state, nullptr);
  Bytes out(plain.size());
  Bytes tag(sealed.tag.size());
  std::size_t length = 0;
  std::size_t tag_length = 0;
  ASSERT_EQ(state->EncFinal(plain, out, length, tag, tag_length), code::kSuccess);
  EXPECT_EQ(ToHex(out), ToHex(sealed.text));
  EXPECT_EQ(ToHex(tag), ToHex(sealed.tag));
}

// Null `plain`: it must be refused, and give nothing away.
void ExpectOpens(std::uint32_t algorithm, const Sealed& sealed, const Bytes* plain) {
  const auto state = Begin(algorithm, false, sealed);
  ASSERT_NE(state, nullptr);
  Bytes out(sealed.text.size(), std::byte{0xEE});
  std::size_t length = 0;
  const std::uint32_t result = state->DecFinal(sealed.text, out, length, sealed.tag);
  ASSERT_EQ(result, plain != nullptr ? code::kSuccess : code::kMacInvalid);
  EXPECT_EQ(ToHex(out), ToHex(plain != nullptr ? *plain : Bytes(out.size())));
}

Sealed GcmOf(const Vector& vector) {
  return {vector.Octets("Key"), vector.Octets("IV"), vector.Octets("AAD"), vector.Octets("CT"),
          vector.Octets("Tag")};
}

TEST(NistAe, GcmSeals) {
  for (const char* bits : {"128", "192", "256"}) {
    const int count = ForEachVector(std::string("ciphers/AES/GCM/gcmEncryptExtIV") + bits + ".rsp",
                                    [](const Vector& vector) {
                                      if (!vector.Has("CT")) return false;
                                      const Bytes plain = vector.Octets("PT");
                                      ExpectSeals(alg::kAesGcm, GcmOf(vector), plain);
                                      ExpectOpens(alg::kAesGcm, GcmOf(vector), &plain);
                                      return true;
                                    });
    EXPECT_GE(count, 7875) << bits;
  }
}

TEST(NistAe, GcmOpensOrRefuses) {
  for (const char* bits : {"128", "192", "256"}) {
    int refused = 0;
    const int count = ForEachVector(std::string("ciphers/AES/GCM/gcmDecrypt") + bits + ".rsp",
                                    [&](const Vector& vector) {
                                      if (!vector.Has("CT")) return false;
                                      if (vector.Has("FAIL")) {
                                        ++refused;
                                        ExpectOpens(alg::kAesGcm, GcmOf(vector), nullptr);
                                      } else {
                                        const Bytes plain = vector.Octets("PT");
                                        ExpectOpens(alg::kAesGcm, GcmOf(vector), &plain);
                                      }
                                      return true;
                                    });
    EXPECT_GE(count, 7875) << bits;
    EXPECT_GE(refused, 3900) << bits;
  }
}

// The tag stands behind the ciphertext, and "00" for nothing.
Sealed CcmOf(const Vector& vector) {
  Sealed sealed{vector.Octets("Key"),
                vector.Octets("Nonce"),
                vector.Octets("Adata"),
                vector.Octets("CT"),
                {}};
  sealed.aad.resize(vector.Count("Alen"));
  const auto end = sealed.text.begin() + static_cast<std::ptrdiff_t>(vector.Count("Plen"));
  sealed.tag.assign(end, sealed.text.end());
  sealed.text.erase(end, sealed.text.end());
  EXPECT_EQ(sealed.tag.size(), vector.Count("Tlen"));
  EXPECT_EQ(sealed.nonce.size(), vector.Count("Nlen"));
  return sealed;
}

Bytes CcmPlain(const Vector& vector) {
  Bytes plain = vector.Octets("Payload");
  plain.resize(vector.Count("Plen"));
  return plain;
}

// Additional data, nonces, payloads and tags of all lengths.
TEST(NistAe, CcmSeals) {
  struct Case {
    const char* kind;
    int count;
  };
  for (const auto& [kind, expected] :
       {Case{"VADT", 330}, Case{"VNT", 70}, Case{"VPT", 250}, Case{"VTT", 70}}) {
    for (const char* bits : {"128", "192", "256"}) {
      const int count = ForEachVector(std::string("ciphers/AES/CCM/") + kind + bits + ".rsp",
                                      [](const Vector& vector) {
                                        if (!vector.Has("CT")) return false;
                                        const Bytes plain = CcmPlain(vector);
                                        ExpectSeals(alg::kAesCcm, CcmOf(vector), plain);
                                        ExpectOpens(alg::kAesCcm, CcmOf(vector), &plain);
                                        return true;
                                      });
      EXPECT_GE(count, expected) << kind << bits;
    }
  }
}

TEST(NistAe, CcmOpensOrRefuses) {
  for (const char* bits : {"128", "192", "256"}) {
    int refused = 0;
    const int count = ForEachVector(std::string("ciphers/AES/CCM/DVPT") + bits + ".rsp",
                                    [&](const Vector& vector) {
                                      if (!vector.Has("CT")) return false;
                                      if (vector.Is("Result", "Fail")) {
                                        ++refused;
                                        ExpectOpens(alg::kAesCcm, CcmOf(vector), nullptr);
                                      } else {
                                        const Bytes plain = CcmPlain(vector);
                                        ExpectOpens(alg::kAesCcm, CcmOf(vector), &plain);
                                      }
                                      return true;
                                    });
    EXPECT_GE(count, 240) << bits;
    EXPECT_GE(refused, 160) << bits;
  }
}

}  // namespace
}  // namespace vtee::ta
