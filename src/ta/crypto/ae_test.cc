// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/ae.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/test_bytes.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

struct Message {
  Bytes key;
  Bytes nonce;
  Bytes aad;
  Bytes payload;
  std::size_t tag = 16;
};

// The ciphertext and the tag behind it, in one piece.
Bytes Seal(std::uint32_t algorithm, const Message& message) {
  auto state = AeState::Create(algorithm, true, message.key);
  EXPECT_EQ(state->Init(message.nonce, message.tag, message.aad.size(), message.payload.size()),
            code::kSuccess);
  EXPECT_EQ(state->UpdateAad(message.aad), code::kSuccess);
  Bytes out(message.payload.size());
  Bytes tag(16);
  std::size_t length = 0;
  std::size_t tag_length = 0;
  EXPECT_EQ(state->EncFinal(message.payload, out, length, tag, tag_length), code::kSuccess);
  EXPECT_EQ(length, out.size());
  EXPECT_EQ(tag_length, message.tag);
  return Joined(out, std::span(tag).first(tag_length));
}

// `sealed`: as Seal gives it; `message.payload` has only the right size.
std::uint32_t Open(std::uint32_t algorithm, const Message& message, Bytes sealed, Bytes& opened) {
  auto state = AeState::Create(algorithm, false, message.key);
  EXPECT_EQ(state->Init(message.nonce, message.tag, message.aad.size(), message.payload.size()),
            code::kSuccess);
  EXPECT_EQ(state->UpdateAad(message.aad), code::kSuccess);
  opened.assign(message.payload.size(), std::byte{0xEE});
  std::size_t length = 0;
  const std::span<const std::byte> all(sealed);
  return state->DecFinal(all.first(opened.size()), opened, length, all.subspan(opened.size()));
}

// One-shot, by OpenSSL.
Bytes OpensslSeal(std::uint32_t algorithm, const Message& message) {
  const std::string name = "AES-" + std::to_string(message.key.size() * 8) +
                           (algorithm == alg::kAesGcm ? "-GCM" : "-CCM");
  EVP_CIPHER* cipher = EVP_CIPHER_fetch(nullptr, name.c_str(), nullptr);
  EVP_CIPHER_CTX* context = EVP_CIPHER_CTX_new();
  const auto octets = [](const Bytes& bytes) {
    return reinterpret_cast<const unsigned char*>(bytes.data());
  };
  const auto size = [](const Bytes& bytes) { return static_cast<int>(bytes.size()); };
  Bytes out(message.payload.size() + message.tag);
  auto* to = reinterpret_cast<unsigned char*>(out.data());
  const int tag = static_cast<int>(message.tag);
  int length = 0;
  EXPECT_EQ(EVP_EncryptInit_ex2(context, cipher, nullptr, nullptr, nullptr), 1);
  EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_IVLEN, size(message.nonce), nullptr);
  if (algorithm == alg::kAesCcm) {
    EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, tag, nullptr);
  }
  EXPECT_EQ(
      EVP_EncryptInit_ex2(context, nullptr, octets(message.key), octets(message.nonce), nullptr),
      1);
  if (algorithm == alg::kAesCcm) {
    EVP_EncryptUpdate(context, nullptr, &length, nullptr, size(message.payload));
  }
  if (!message.aad.empty()) {
    EVP_EncryptUpdate(context, nullptr, &length, octets(message.aad), size(message.aad));
  }
  EVP_EncryptUpdate(context, to, &length, octets(message.payload), size(message.payload));
  EVP_EncryptFinal_ex(context, to + message.payload.size(), &length);
  EXPECT_EQ(
      EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, tag, out.data() + message.payload.size()),
      1);
  EVP_CIPHER_CTX_free(context);
  EVP_CIPHER_free(cipher);
  return out;
}

class Ae : public testing::TestWithParam<std::uint32_t> {
 protected:
  bool ccm() const { return GetParam() == alg::kAesCcm; }
  Message Example(std::size_t payload, std::size_t aad, std::size_t key = 16) const {
    return {Counting(key, 3), Counting(12, 0x50), Noise(aad), Noise(payload)};
  }
};
INSTANTIATE_TEST_SUITE_P(All, Ae, testing::Values(alg::kAesGcm, alg::kAesCcm));

TEST_P(Ae, AsOpenssl) {
  for (const std::size_t key : {16u, 24u, 32u}) {
    for (const std::size_t payload : {1u, 15u, 16u, 17u, 100u, 4095u, 4096u, 4097u, 10000u}) {
      for (const std::size_t aad : {0u, 1u, 14u, 16u, 40u, 5000u, 65279u, 65280u, 70000u}) {
        const Message message = Example(payload, aad, key);
        const Bytes sealed = Seal(GetParam(), message);
        ASSERT_EQ(sealed, OpensslSeal(GetParam(), message)) << payload << " " << aad;
        Bytes opened;
        ASSERT_EQ(Open(GetParam(), message, sealed, opened), code::kSuccess);
        ASSERT_EQ(opened, message.payload);
      }
    }
  }
}

TEST_P(Ae, NonceLengths) {
  for (std::size_t size = ccm() ? 7 : 1; size <= (ccm() ? 13 : 128); ++size) {
    Message message = Example(50, 20);
    message.nonce = Counting(size, 9);
    ASSERT_EQ(Seal(GetParam(), message), OpensslSeal(GetParam(), message)) << size;
  }
  auto state = AeState::Create(GetParam(), true, Counting(16));
  EXPECT_EQ(state->Init({}, 16, 0, 0), ccm() ? code::kBadParameters : code::kNotSupported);
  if (ccm()) {
    EXPECT_EQ(state->Init(Counting(6), 16, 0, 0), code::kBadParameters);
    EXPECT_EQ(state->Init(Counting(14), 16, 0, 0), code::kBadParameters);
    EXPECT_EQ(state->Init(Counting(13), 16, 0, 0xFFFF), code::kSuccess);
    EXPECT_EQ(state->Init(Counting(13), 16, 0, 0x10000), code::kNotSupported);
    EXPECT_EQ(state->Init(Counting(7), 16, 0, ~std::size_t{0}), code::kSuccess);
  } else {
    EXPECT_EQ(state->Init(Counting(129), 16, 0, 0), code::kNotSupported);
  }
}

TEST_P(Ae, TagLengths) {
  for (std::size_t size = 0; size <= 20; ++size) {
    Message message = Example(33, 21);
    message.tag = size;
    const bool known = ccm() ? size >= 4 && size <= 16 && size % 2 == 0
                             : size == 4 || size == 8 || (size >= 12 && size <= 16);
    auto state = AeState::Create(GetParam(), true, message.key);
    ASSERT_EQ(state->Init(message.nonce, size, 0, 0), known ? code::kSuccess : code::kNotSupported)
        << size;
    if (!known) continue;
    const Bytes sealed = Seal(GetParam(), message);
    ASSERT_EQ(sealed, OpensslSeal(GetParam(), message)) << size;
    Bytes opened;
    ASSERT_EQ(Open(GetParam(), message, sealed, opened), code::kSuccess);
  }
}

// Additional data in two pieces, payload in an update and a final; in place.
TEST_P(Ae, InTwoPieces) {
  const Message message = Example(75, 43);
  const Bytes sealed = Seal(GetParam(), message);
  const Bytes ciphertext(sealed.begin(), sealed.end() - 16);
  const std::span aad(message.aad);
  for (const bool encrypt : {true, false}) {
    auto state = AeState::Create(GetParam(), encrypt, message.key);
    for (std::size_t split = 0; split <= 75; ++split) {
      ASSERT_EQ(state->Init(message.nonce, 16, 43, 75), code::kSuccess);
      ASSERT_EQ(state->UpdateAad(aad.first(split % 44)), code::kSuccess);
      ASSERT_EQ(state->UpdateAad(aad.subspan(split % 44)), code::kSuccess);
      Bytes out = encrypt ? message.payload : ciphertext;
      const auto first = std::span(out).first(split);
      const auto second = std::span(out).subspan(split);
      std::size_t length = 999;
      ASSERT_EQ(state->Update(first, first, length), code::kSuccess);
      ASSERT_EQ(length, split);
      if (encrypt) {
        Bytes tag(16);
        std::size_t tag_length = 0;
        ASSERT_EQ(state->EncFinal(second, second, length, tag, tag_length), code::kSuccess);
        ASSERT_EQ(Joined(out, tag), sealed) << split;
      } else {
        ASSERT_EQ(state->DecFinal(second, second, length, std::span(sealed).last(16)),
                  code::kSuccess);
        ASSERT_EQ(out, message.payload) << split;
      }
      ASSERT_EQ(length, 75 - split);
    }
  }
}

TEST_P(Ae, CloneGoesOnAlone) {
  const Message message = Example(75, 43);
  const Bytes sealed = Seal(GetParam(), message);
  auto state = AeState::Create(GetParam(), true, message.key);
  std::size_t length = 0;
  Bytes out(75);
  EXPECT_EQ(state->Clone()->Update(message.payload, out, length), code::kBadState);
  ASSERT_EQ(state->Init(message.nonce, 16, 43, 75), code::kSuccess);
  ASSERT_EQ(state->UpdateAad(std::span(message.aad).first(10)), code::kSuccess);
  auto in_aad = state->Clone();
  ASSERT_EQ(state->UpdateAad(std::span(message.aad).subspan(10)), code::kSuccess);
  ASSERT_EQ(state->Update(std::span(message.payload).first(21), out, length), code::kSuccess);
  auto in_payload = state->Clone();
  Bytes other(30);
  ASSERT_EQ(state->Update(other, other, length), code::kSuccess);
  state.reset();
  Bytes tag(16);
  std::size_t tag_length = 0;
  ASSERT_EQ(in_payload->EncFinal(std::span(message.payload).subspan(21), std::span(out).subspan(21),
                                 length, tag, tag_length),
            code::kSuccess);
  EXPECT_EQ(Joined(out, tag), sealed);
  ASSERT_EQ(in_aad->UpdateAad(std::span(message.aad).subspan(10)), code::kSuccess);
  ASSERT_EQ(in_aad->EncFinal(message.payload, out, length, tag, tag_length), code::kSuccess);
  EXPECT_EQ(Joined(out, tag), sealed);
}

TEST_P(Ae, AnyChangeIsNoticed) {
  const Message message = Example(20, 10);
  const Bytes sealed = Seal(GetParam(), message);
  Bytes opened;
  for (std::size_t i = 0; i < sealed.size(); ++i) {
    Bytes changed = sealed;
    changed[i] ^= std::byte{0x10};
    ASSERT_EQ(Open(GetParam(), message, changed, opened), code::kMacInvalid) << i;
    ASSERT_EQ(opened, Bytes(20));
  }
  Bytes shorter(sealed.begin(), sealed.end() - 1);
  EXPECT_EQ(Open(GetParam(), message, shorter, opened), code::kMacInvalid);
  EXPECT_EQ(Open(GetParam(), message, Joined(sealed, Bytes(1)), opened), code::kMacInvalid);
  Message other = message;
  other.aad[3] ^= std::byte{1};
  EXPECT_EQ(Open(GetParam(), other, sealed, opened), code::kMacInvalid);
  other = message;
  other.nonce[3] ^= std::byte{1};
  EXPECT_EQ(Open(GetParam(), other, sealed, opened), code::kMacInvalid);
  EXPECT_EQ(Open(GetParam(), message, sealed, opened), code::kSuccess);
}

TEST_P(Ae, LengthsAndOrder) {
  const Message message = Example(40, 0);
  const Bytes sealed = Seal(GetParam(), message);
  auto state = AeState::Create(GetParam(), true, message.key);
  Bytes out(40);
  Bytes tag(20);
  std::size_t length = 0;
  std::size_t tag_length = 0;
  EXPECT_EQ(state->UpdateAad(tag), code::kBadState);
  EXPECT_EQ(state->EncFinal({}, {}, length, tag, tag_length), code::kBadState);
  ASSERT_EQ(state->Init(message.nonce, 16, 0, 40), code::kSuccess);
  EXPECT_EQ(state->DecFinal(message.payload, out, length, tag), code::kBadParameters);
  EXPECT_EQ(state->Update(message.payload, std::span(out).first(39), length), code::kShortBuffer);
  EXPECT_EQ(length, 40u);
  length = 0;
  EXPECT_EQ(state->EncFinal(message.payload, std::span(out).first(39), length, tag, tag_length),
            code::kShortBuffer);
  EXPECT_EQ(length, 40u);
  EXPECT_EQ(state->EncFinal(message.payload, out, length, std::span(tag).first(15), tag_length),
            code::kShortBuffer);
  EXPECT_EQ(tag_length, 16u);
  EXPECT_EQ(state->Update(std::span(message.payload).first(30), out, length), code::kSuccess);
  EXPECT_EQ(state->UpdateAad(tag), code::kBadParameters);
  ASSERT_EQ(state->EncFinal(std::span(message.payload).subspan(30), std::span(out).subspan(30),
                            length, tag, tag_length),
            code::kSuccess);
  EXPECT_EQ(Joined(out, std::span(tag).first(16)), sealed);
  EXPECT_EQ(state->Update(message.payload, out, length), code::kBadState);
  EXPECT_EQ(state->EncFinal({}, {}, length, tag, tag_length), code::kBadState);

  auto opening = AeState::Create(GetParam(), false, message.key);
  ASSERT_EQ(opening->Init(message.nonce, 16, 0, 40), code::kSuccess);
  EXPECT_EQ(opening->EncFinal(out, out, length, tag, tag_length), code::kBadParameters);
  EXPECT_EQ(opening->DecFinal(out, std::span(tag).first(9), length, {}), code::kShortBuffer);
  EXPECT_EQ(length, 40u);
  EXPECT_EQ(opening->DecFinal(out, out, length, std::span(sealed).last(16)), code::kSuccess);
  EXPECT_EQ(out, message.payload);
}

TEST_P(Ae, NothingButATag) {
  const Message message = Example(0, 0);
  const Bytes tag = Seal(GetParam(), message);
  EXPECT_EQ(tag.size(), 16u);
  Bytes opened;
  EXPECT_EQ(Open(GetParam(), message, tag, opened), code::kSuccess);
  const Message with_aad = Example(0, 50);
  EXPECT_EQ(Open(GetParam(), with_aad, Seal(GetParam(), with_aad), opened), code::kSuccess);
}

TEST(Aes, Unknown) {
  EXPECT_EQ(AeState::Create(alg::kAesCbc, true, Counting(16)), nullptr);
  EXPECT_EQ(AeState::Create(alg::kAesGcm, true, Counting(17)), nullptr);
  EXPECT_EQ(AeState::Create(alg::kAesCcm, true, {}), nullptr);
}

TEST(Aes, CcmWantsWhatItWasTold) {
  auto state = AeState::Create(alg::kAesCcm, true, Counting(16));
  Bytes data(20);
  Bytes tag(16);
  std::size_t length = 0;
  std::size_t tag_length = 0;
  ASSERT_EQ(state->Init(Counting(12), 16, 10, 20), code::kSuccess);
  EXPECT_EQ(state->Update(data, data, length), code::kBadState);
  EXPECT_EQ(state->UpdateAad(data), code::kBadState);
  EXPECT_EQ(state->UpdateAad(std::span(data).first(9)), code::kSuccess);
  EXPECT_EQ(state->Update(data, data, length), code::kBadState);
  EXPECT_EQ(state->EncFinal(data, data, length, tag, tag_length), code::kBadState);
  EXPECT_EQ(state->UpdateAad(std::span(data).first(1)), code::kSuccess);
  EXPECT_EQ(state->Update(std::span(data).first(7), data, length), code::kSuccess);
  EXPECT_EQ(state->Update(std::span(data).first(14), data, length), code::kBadState);
  EXPECT_EQ(state->EncFinal(std::span(data).first(12), data, length, tag, tag_length),
            code::kBadState);
  EXPECT_EQ(state->EncFinal(std::span(data).first(13), data, length, tag, tag_length),
            code::kSuccess);
}

// McGrew and Viega, "The Galois/Counter Mode of Operation", cases 1 to 6 and 16
TEST(Aes, Gcm) {
  EXPECT_EQ(ToHex(Seal(alg::kAesGcm, {Bytes(16), Bytes(12), {}, {}})),
            "58e2fccefa7e3061367f1d57a4e7455a");
  EXPECT_EQ(ToHex(Seal(alg::kAesGcm, {Bytes(16), Bytes(12), {}, Bytes(16)})),
            "0388dace60b6a392f328c2b971b2fe78ab6e47d42cec13bdf53a67b21257bddf");
  Message message{Hex("feffe9928665731c6d6a8f9467308308"),
                  Hex("cafebabefacedbaddecaf888"),
                  {},
                  Hex("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                      "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255")};
  EXPECT_EQ(ToHex(Seal(alg::kAesGcm, message)),
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
            "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091473f5985"
            "4d5c2af327cd64a62cf35abd2ba6fab4");
  message.payload.resize(60);
  message.aad = Hex("feedfacedeadbeeffeedfacedeadbeefabaddad2");
  EXPECT_EQ(ToHex(Seal(alg::kAesGcm, message)),
            "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e"
            "21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091"
            "5bc94fbc3221a5db94fae95ae7121a47");
  message.nonce = Hex("cafebabefacedbad");
  EXPECT_EQ(ToHex(Seal(alg::kAesGcm, message)),
            "61353b4c2806934a777ff51fa22a4755699b2a714fcdc6f83766e5f97b6c7423"
            "73806900e49f24b22b097544d4896b424989b5e1ebac0f07c23f4598"
            "3612d2e79e3b0785561be14aaca2fccb");
  message.nonce =
      Hex("9313225df88406e555909c5aff5269aa6a7a9538534f7da1e4c303d2a318a728"
          "c3c0c95156809539fcf0e2429a6b525416aedbf5a0de6a57a637b39b");
  EXPECT_EQ(ToHex(Seal(alg::kAesGcm, message)),
            "8ce24998625615b603a033aca13fb894be9112a5c3a211a8ba262a3cca7e2ca7"
            "01e4a9a4fba43c90ccdcb281d48c7c6fd62875d2aca417034c34aee5"
            "619cc5aefffe0bfa462af43c1699d050");
  message.key = Joined(message.key, message.key);
  message.nonce = Hex("cafebabefacedbaddecaf888");
  EXPECT_EQ(ToHex(Seal(alg::kAesGcm, message)),
            "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
            "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
            "76fc6ece0f4e1768cddf8853bb2d551b");
}

// RFC 3610, packet vector 1
TEST(Aes, CcmOfRfc3610) {
  const Bytes packet = Counting(31);
  const Message message{Counting(16, 0xC0), Hex("00000003020100a0a1a2a3a4a5"),
                        Bytes(packet.begin(), packet.begin() + 8),
                        Bytes(packet.begin() + 8, packet.end()), 8};
  EXPECT_EQ(ToHex(Seal(alg::kAesCcm, message)),
            "588c979a61c663d2f066d0c2c0f989806d5f6b61dac38417e8d12cfdf926e0");
}

// SP 800-38C, examples 1 to 4
TEST(Aes, CcmOfNist) {
  const Bytes key = Counting(16, 0x40);
  EXPECT_EQ(ToHex(Seal(alg::kAesCcm, {key, Counting(7, 0x10), Counting(8), Counting(4, 0x20), 4})),
            "7162015b4dac255d");
  EXPECT_EQ(
      ToHex(Seal(alg::kAesCcm, {key, Counting(8, 0x10), Counting(16), Counting(16, 0x20), 6})),
      "d2a1f0e051ea5f62081a7792073d593d1fc64fbfaccd");
  EXPECT_EQ(
      ToHex(Seal(alg::kAesCcm, {key, Counting(12, 0x10), Counting(20), Counting(24, 0x20), 8})),
      "e3b201a9f5b71a7a9b1ceaeccd97e70b6176aad9a4428aa5484392fbc1b09951");
  EXPECT_EQ(
      ToHex(Seal(alg::kAesCcm, {key, Counting(13, 0x10), Counting(65536), Counting(32, 0x20), 14})),
      "69915dad1e84c6376a68c2967e4dab615ae0fd1faec44cc484828529463ccf72"
      "b4ac6bec93e8598e7f0dadbcea5b");
}

}  // namespace
}  // namespace vtee::ta
