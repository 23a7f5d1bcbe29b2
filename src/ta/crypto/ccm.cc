// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/ccm.h"

#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include "ta/crypto/block.h"
#include "ta/crypto/cbc_mac.h"
#include "ta/crypto/evp_cipher.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

// The last octets of `to` become `value`, the highest first.
void PutBigEndian(std::uint64_t value, std::span<std::byte> to) {
  for (std::size_t i = to.size(); i > 0; --i) {
    to[i - 1] = static_cast<std::byte>(value);
    value >>= 8;
  }
}

class Ccm final : public AeState {
 public:
  Ccm(bool encrypt, EvpCipher counter, CbcMac mac)
      : AeState(encrypt), counter_(std::move(counter)), mac_(std::move(mac)) {}
  Ccm(const Ccm&) = default;
  ~Ccm() override { OPENSSL_cleanse(tag_mask_.data(), tag_mask_.size()); }

  std::unique_ptr<AeState> Clone() const override { return std::make_unique<Ccm>(*this); }

 private:
  std::uint32_t Start(std::span<const std::byte> nonce, const Lengths& announced) override {
    if (nonce.size() < 7 || nonce.size() > 13) return code::kBadParameters;
    if (announced.tag < 4 || announced.tag > 16 || announced.tag % 2 != 0) {
      return code::kNotSupported;
    }
    // The field of the payload's length has what the nonce leaves. (OP-TEE cuts the nonce off
    // when the field is too small for the payload, and so may use a key stream twice.)
    const std::size_t field = kBlock - 1 - nonce.size();
    if (field < 8 && std::uint64_t{announced.payload} >> (8 * field) != 0) {
      return code::kNotSupported;
    }
    announced_ = announced;
    left_aad_ = announced.aad;
    return StartCounter(nonce, field) && StartMac(nonce, field) ? code::kSuccess : code::kGeneric;
  }

  // The key stream's first block masks the tag, the others are for the payload.
  bool StartCounter(std::span<const std::byte> nonce, std::size_t field) {
    Block first{};
    first[0] = static_cast<std::byte>(field - 1);
    std::copy(nonce.begin(), nonce.end(), first.begin() + 1);
    constexpr Block kZeros{};
    return counter_.Start(first) && counter_.Run(kZeros, tag_mask_.data());
  }

  // What is authenticated before all else: the lengths and the nonce.
  bool StartMac(std::span<const std::byte> nonce, std::size_t field) {
    Block first{};
    const std::size_t flags =
        (announced_.aad > 0 ? 0x40 : 0) | (announced_.tag - 2) / 2 << 3 | (field - 1);
    first[0] = static_cast<std::byte>(flags);
    std::copy(nonce.begin(), nonce.end(), first.begin() + 1);
    PutBigEndian(announced_.payload, std::span(first).last(field));
    if (!mac_.Start() || !mac_.Add(first)) return false;
    if (announced_.aad == 0) return true;
    std::array<std::byte, 10> length{};
    std::size_t size = 2;
    if (announced_.aad >= 0xFF00) {
      const bool huge = announced_.aad > 0xFFFFFFFF;
      length[0] = std::byte{0xFF};
      length[1] = huge ? std::byte{0xFF} : std::byte{0xFE};
      size = huge ? 10 : 6;
      PutBigEndian(announced_.aad, std::span(length).first(size).subspan(2));
    } else {
      PutBigEndian(announced_.aad, std::span(length).first(size));
    }
    return mac_.Add(std::span(length).first(size));
  }

  std::uint32_t CheckTotals(const Lengths& total, bool end) const override {
    const bool payload_begins = end || total.payload > 0;
    const bool fits = total.aad <= announced_.aad && total.payload <= announced_.payload &&
                      (!payload_begins || total.aad == announced_.aad) &&
                      (!end || total.payload == announced_.payload);
    return fits ? code::kSuccess : code::kBadState;
  }

  bool Authenticate(std::span<const std::byte> aad) override {
    if (!mac_.Add(aad)) return false;
    left_aad_ -= aad.size();
    return left_aad_ > 0 || mac_.FillUp();
  }

  bool Run(std::span<const std::byte> source, std::span<std::byte> destination) override {
    if (encrypt() && !mac_.Add(source)) return false;
    if (!counter_.Run(source, destination.data())) return false;
    return encrypt() || mac_.Add(destination);
  }

  bool MakeTag(std::span<std::byte> tag) override {
    if (!mac_.FillUp()) return false;
    for (std::size_t i = 0; i < tag.size(); ++i) tag[i] = mac_.last()[i] ^ tag_mask_[i];
    return true;
  }

  bool CheckTag(std::span<const std::byte> tag) override {
    Block right;
    const bool ok = MakeTag(std::span(right).first(tag.size())) &&
                    CRYPTO_memcmp(right.data(), tag.data(), tag.size()) == 0;
    OPENSSL_cleanse(right.data(), right.size());
    return ok;
  }

  EvpCipher counter_;
  CbcMac mac_;
  Lengths announced_;
  std::size_t left_aad_ = 0;
  Block tag_mask_{};
};

}  // namespace

std::unique_ptr<AeState> CreateCcm(bool encrypt, std::span<const std::byte> key) {
  auto counter = EvpCipher::Create(BlockAlgorithm::kAes, BlockMode::kCtr, true, key);
  auto mac = CbcMac::Create(BlockAlgorithm::kAes, key);
  if (!counter || !mac) return nullptr;
  return std::make_unique<Ccm>(encrypt, std::move(*counter), std::move(*mac));
}

}  // namespace vtee::ta
