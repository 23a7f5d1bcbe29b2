// SPDX-License-Identifier: BSD-3-Clause
// Digests and MACs against NIST's CAVP vectors, RFC 1321, 2202 and 4231, GB/T 32905 and
// SP 800-38B (test_vectors.h).
#include <gtest/gtest.h>

#include <array>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/digest.h"
#include "ta/crypto/mac.h"
#include "ta/crypto/test_vectors.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

Bytes Digest(std::uint32_t algorithm, const Bytes& message, std::size_t size) {
  const auto state = DigestState::Create(algorithm);
  Bytes out(size);
  std::size_t length = size;
  EXPECT_EQ(state->Init(), code::kSuccess);
  EXPECT_EQ(state->Update(std::span(message).first(message.size() / 3)), code::kSuccess);
  EXPECT_EQ(state->Update(std::span(message).subspan(message.size() / 3)), code::kSuccess);
  EXPECT_EQ(state->Final(out, length), code::kSuccess);
  EXPECT_EQ(length, size);
  return out;
}

// "00" stands for nothing.
Bytes MessageOf(const Vector& vector) {
  Bytes message = vector.Octets("Msg");
  message.resize(vector.Count("Len") / 8);
  return message;
}

CheckVector With(std::uint32_t algorithm, const char* field) {
  return [algorithm, field](const Vector& vector) {
    if (!vector.Has("Msg") || !vector.Has(field)) return false;
    const Bytes expected = vector.Octets(field);
    EXPECT_EQ(ToHex(Digest(algorithm, MessageOf(vector), expected.size())), ToHex(expected));
    return true;
  };
}

TEST(NistDigests, Sha1AndSha2) {
  struct Case {
    const char* file;
    std::uint32_t algorithm;
    int count;
  };
  for (const auto& [file, algorithm, count] :
       {Case{"SHA1/SHA1", alg::kSha1, 65}, Case{"SHA2/SHA224", alg::kSha224, 65},
        Case{"SHA2/SHA256", alg::kSha256, 65}, Case{"SHA2/SHA384", alg::kSha384, 129},
        Case{"SHA2/SHA512", alg::kSha512, 129}}) {
    const std::string path = std::string("hashes/") + file;
    EXPECT_GE(ForEachVector(path + "ShortMsg.rsp", With(algorithm, "MD")), count) << file;
    EXPECT_GE(ForEachVector(path + "LongMsg.rsp", With(algorithm, "MD")), count - 1) << file;
  }
}

TEST(NistDigests, Sha3) {
  for (const auto& [bits, algorithm] :
       {std::pair{"224", alg::kSha3_224}, std::pair{"256", alg::kSha3_256},
        std::pair{"384", alg::kSha3_384}, std::pair{"512", alg::kSha3_512}}) {
    const std::string path = std::string("hashes/SHA3/SHA3_") + bits;
    EXPECT_GE(ForEachVector(path + "ShortMsg.rsp", With(algorithm, "MD")), 70) << bits;
    EXPECT_GE(ForEachVector(path + "LongMsg.rsp", With(algorithm, "MD")), 100) << bits;
  }
}

TEST(NistDigests, Shake) {
  for (const auto& [bits, algorithm] :
       {std::pair{"128", alg::kShake128}, std::pair{"256", alg::kShake256}}) {
    const std::string path = std::string("hashes/SHAKE/SHAKE") + bits;
    EXPECT_GE(ForEachVector(path + "ShortMsg.rsp", With(algorithm, "Output")), 250) << bits;
    EXPECT_GE(ForEachVector(path + "LongMsg.rsp", With(algorithm, "Output")), 100) << bits;
    const int count =
        ForEachVector(path + "VariableOut.rsp", [number = algorithm](const Vector& vector) {
          if (!vector.Has("Output")) return false;
          const Bytes expected = vector.Octets("Output");
          EXPECT_EQ(ToHex(Digest(number, vector.Octets("Msg"), expected.size())), ToHex(expected));
          return true;
        });
    EXPECT_GE(count, 1100) << bits;
  }
}

TEST(NistDigests, Sm3AndMd5) {
  EXPECT_GE(ForEachVector("hashes/SM3/oscca.txt", With(alg::kSm3, "MD")), 6);
  EXPECT_GE(ForEachVector("hashes/MD5/rfc-1321.txt", With(alg::kMd5, "MD")), 7);
}

// A thousand digests of digests: SHA-1 and SHA-2 of the last three, SHA-3 of the last.
CheckVector Chain(std::uint32_t algorithm, bool of_three, Bytes& seed) {
  return [algorithm, of_three, &seed](const Vector& vector) {
    if (vector.Has("Seed")) seed = vector.Octets("Seed");
    if (!vector.Has("MD")) return false;
    const auto state = DigestState::Create(algorithm);
    std::array<Bytes, 3> last{seed, seed, seed};
    for (std::size_t i = 0; i < 1000; ++i) {
      Bytes& out = last[i % 3];
      std::size_t length = out.size();
      EXPECT_EQ(state->Init(), code::kSuccess);
      if (of_three) {
        EXPECT_EQ(state->Update(out), code::kSuccess);
        EXPECT_EQ(state->Update(last[(i + 1) % 3]), code::kSuccess);
      }
      EXPECT_EQ(state->Update(last[(i + 2) % 3]), code::kSuccess);
      EXPECT_EQ(state->Final(out, length), code::kSuccess);
    }
    seed = last[999 % 3];
    EXPECT_EQ(ToHex(seed), vector.Text("MD"));
    return true;
  };
}

TEST(NistDigests, ChainsOfDigests) {
  struct Case {
    const char* file;
    std::uint32_t algorithm;
  };
  for (const auto& [file, algorithm] :
       {Case{"SHA1/SHA1", alg::kSha1}, Case{"SHA2/SHA224", alg::kSha224},
        Case{"SHA2/SHA256", alg::kSha256}, Case{"SHA2/SHA384", alg::kSha384},
        Case{"SHA2/SHA512", alg::kSha512}, Case{"SHA3/SHA3_224", alg::kSha3_224},
        Case{"SHA3/SHA3_256", alg::kSha3_256}, Case{"SHA3/SHA3_384", alg::kSha3_384},
        Case{"SHA3/SHA3_512", alg::kSha3_512}}) {
    Bytes seed;
    const std::string path = std::string("hashes/") + file + "Monte.rsp";
    const bool of_three = path.find("SHA3_") == std::string::npos;
    EXPECT_GE(ForEachVector(path, Chain(algorithm, of_three, seed)), 100) << file;
  }
}

Bytes Mac(std::uint32_t algorithm, const Bytes& key, const Bytes& message) {
  const auto state = MacState::Create(algorithm, key);
  EXPECT_NE(state, nullptr);
  if (!state) return {};
  Bytes out(state->size());
  std::size_t length = out.size();
  EXPECT_EQ(state->Init(), code::kSuccess);
  EXPECT_EQ(state->Update(std::span(message).first(message.size() / 3)), code::kSuccess);
  EXPECT_EQ(state->Update(std::span(message).subspan(message.size() / 3)), code::kSuccess);
  EXPECT_EQ(state->Final(out, length), code::kSuccess);
  return out;
}

// Keys longer than a block are among them.
TEST(NistDigests, Hmac) {
  struct Case {
    const char* file;
    std::uint32_t algorithm;
    int count;
  };
  for (const auto& [file, algorithm, count] :
       {Case{"rfc-2202-md5", alg::kHmacMd5, 7}, Case{"rfc-2202-sha1", alg::kHmacSha1, 7},
        Case{"rfc-4231-sha224", alg::kHmacSha224, 6}, Case{"rfc-4231-sha256", alg::kHmacSha256, 6},
        Case{"rfc-4231-sha384", alg::kHmacSha384, 6},
        Case{"rfc-4231-sha512", alg::kHmacSha512, 6}}) {
    const auto check = [number = algorithm](const Vector& vector) {
      if (!vector.Has("MD")) return false;
      EXPECT_EQ(ToHex(Mac(number, vector.Octets("Key"), vector.Octets("Msg"))), vector.Text("MD"));
      return true;
    };
    EXPECT_GE(ForEachVector(std::string("HMAC/") + file + ".txt", check), count) << file;
  }
}

TEST(NistDigests, Cmac) {
  for (const char* bits : {"128", "192", "256"}) {
    const int count = ForEachVector(
        std::string("CMAC/nist-800-38b-aes") + bits + ".txt", [](const Vector& vector) {
          if (!vector.Has("OUTPUT")) return false;
          EXPECT_EQ(ToHex(Mac(alg::kAesCmac, vector.Octets("KEY"), vector.Octets("MESSAGE"))),
                    vector.Text("OUTPUT"));
          return true;
        });
    EXPECT_GE(count, 4) << bits;
  }
  const int count = ForEachVector("CMAC/nist-800-38b-3des.txt", [](const Vector& vector) {
    if (!vector.Has("OUTPUT")) return false;
    const Bytes two = Joined(vector.Octets("KEY1"), vector.Octets("KEY2"));
    const Bytes message = vector.Octets("MESSAGE");
    EXPECT_EQ(ToHex(Mac(alg::kDes3Cmac, Joined(two, vector.Octets("KEY3")), message)),
              vector.Text("OUTPUT"));
    if (vector.Is("KEY3", vector.Text("KEY1"))) {
      EXPECT_EQ(ToHex(Mac(alg::kDes3Cmac, two, message)), vector.Text("OUTPUT"));
    }
    return true;
  });
  EXPECT_GE(count, 8);
}

}  // namespace
}  // namespace vtee::ta
