// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/mac.h"

#include <openssl/core_names.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include <algorithm>
#include <array>
#include <new>
#include <optional>
#include <utility>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/cbc_mac.h"
#include "ta/crypto/digest.h"
#include "ta/crypto/openssl_failed.h"
#include "ta/crypto/secret.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

struct FreeMac {
  void operator()(EVP_MAC* mac) const { EVP_MAC_free(mac); }
};
struct FreeMacContext {
  void operator()(EVP_MAC_CTX* context) const { EVP_MAC_CTX_free(context); }
};
using MacContext = std::unique_ptr<EVP_MAC_CTX, FreeMacContext>;

// HMAC and CMAC. The context always has its key, because OpenSSL does not copy a CMAC without.
class EvpMac final : public MacState {
 public:
  static std::unique_ptr<MacState> Create(MacContext context, SecretBytes key, std::size_t size) {
    auto state = std::make_unique<EvpMac>(std::move(context), std::move(key), size);
    if (!state->SetKey()) return nullptr;
    return state;
  }

  EvpMac(MacContext context, SecretBytes key, std::size_t size)
      : context_(std::move(context)), key_(std::move(key)), size_(size) {}
  EvpMac(const EvpMac& other)
      : MacState(other),
        context_(EVP_MAC_CTX_dup(other.context_.get())),
        key_(other.key_),
        size_(other.size_),
        active_(other.active_) {
    if (!context_) throw std::bad_alloc();
  }

  std::size_t size() const override { return size_; }

  std::uint32_t Init() override {
    active_ = SetKey();
    return active_ ? code::kSuccess : OpensslFailed();
  }

  std::uint32_t Update(std::span<const std::byte> data) override {
    if (!active_) return code::kBadState;
    if (data.empty()) return code::kSuccess;
    const auto* octets = reinterpret_cast<const unsigned char*>(data.data());
    const bool ok = EVP_MAC_update(context_.get(), octets, data.size()) == 1;
    return ok ? code::kSuccess : OpensslFailed();
  }

  std::uint32_t Final(std::span<std::byte> out, std::size_t& out_length) override {
    if (!active_) return code::kBadState;
    const std::size_t room = std::min(out.size(), out_length);
    out_length = size_;
    if (room < size_) return code::kShortBuffer;
    active_ = false;
    std::size_t length = 0;
    auto* octets = reinterpret_cast<unsigned char*>(out.data());
    const bool ok = EVP_MAC_final(context_.get(), octets, &length, room) == 1 && length == size_;
    return ok ? code::kSuccess : OpensslFailed();
  }

  std::unique_ptr<MacState> Clone() const override { return std::make_unique<EvpMac>(*this); }

 private:
  bool SetKey() {
    // A null key would mean that the one of before stays; an empty HMAC key is a key too.
    static constexpr unsigned char kEmpty = 0;
    const ConstBytes bytes = key_;
    const auto* key = bytes.empty() ? &kEmpty : reinterpret_cast<const unsigned char*>(&bytes[0]);
    return EVP_MAC_init(context_.get(), key, bytes.size(), nullptr) == 1;
  }

  MacContext context_;
  SecretBytes key_;
  std::size_t size_;
  bool active_ = false;  // between Init and Final
};

class CbcMacState final : public MacState {
 public:
  CbcMacState(CbcMac mac, bool pad) : mac_(std::move(mac)), pad_(pad) {}

  std::size_t size() const override { return mac_.block_size(); }

  std::uint32_t Init() override {
    active_ = mac_.Start();
    any_ = false;
    return active_ ? code::kSuccess : OpensslFailed();
  }

  std::uint32_t Update(std::span<const std::byte> data) override {
    if (!active_) return code::kBadState;
    if (!mac_.Add(data)) return OpensslFailed();
    any_ = any_ || !data.empty();
    return code::kSuccess;
  }

  std::uint32_t Final(std::span<std::byte> out, std::size_t& out_length) override {
    if (!active_) return code::kBadState;
    const std::size_t room = std::min(out.size(), out_length);
    out_length = size();
    if (room < size()) return code::kShortBuffer;
    if (pad_) {
      std::array<std::byte, 16> padding;
      const std::size_t length = size() - mac_.waiting();
      padding.fill(static_cast<std::byte>(length));
      if (!mac_.Add(std::span(padding).first(length))) return OpensslFailed();
    } else if (!any_ || mac_.waiting() > 0) {
      return code::kBadState;
    }
    active_ = false;
    std::copy(mac_.last().begin(), mac_.last().end(), out.begin());
    return code::kSuccess;
  }

  std::unique_ptr<MacState> Clone() const override { return std::make_unique<CbcMacState>(*this); }

 private:
  CbcMac mac_;
  bool pad_;
  bool active_ = false;  // between Init and Final
  bool any_ = false;     // there has been data
};

MacContext NewMacContext(const char* mac_name, const char* parameter, const char* value) {
  const std::unique_ptr<EVP_MAC, FreeMac> mac(EVP_MAC_fetch(nullptr, mac_name, nullptr));
  if (!mac) return nullptr;
  MacContext context(EVP_MAC_CTX_new(mac.get()));
  if (!context) throw std::bad_alloc();
  const OSSL_PARAM parameters[] = {
      OSSL_PARAM_construct_utf8_string(parameter, const_cast<char*>(value), 0),
      OSSL_PARAM_construct_end()};
  if (EVP_MAC_CTX_set_params(context.get(), parameters) != 1) return nullptr;
  return context;
}

std::unique_ptr<MacState> CreateHmac(std::uint32_t digest, std::span<const std::byte> key) {
  auto context = NewMacContext("HMAC", OSSL_MAC_PARAM_DIGEST, DigestName(digest));
  if (!context) return nullptr;
  return EvpMac::Create(std::move(context), Secret(key), DigestSize(digest));
}

std::unique_ptr<MacState> CreateCmac(std::uint32_t algorithm, std::span<const std::byte> key) {
  const char* cipher = nullptr;
  if (algorithm == alg::kDes3Cmac) {
    if (key.size() == 16 || key.size() == 24) cipher = "DES-EDE3-CBC";
  } else {
    if (key.size() == 16) cipher = "AES-128-CBC";
    if (key.size() == 24) cipher = "AES-192-CBC";
    if (key.size() == 32) cipher = "AES-256-CBC";
  }
  if (!cipher) return nullptr;
  auto context = NewMacContext("CMAC", OSSL_MAC_PARAM_CIPHER, cipher);
  if (!context) return nullptr;
  SecretBytes whole_key = Secret(key);
  if (algorithm == alg::kDes3Cmac && key.size() == 16) {
    whole_key.insert(whole_key.end(), key.begin(),
                     key.begin() + 8);  // two-key triple DES: the first key again
  }
  return EvpMac::Create(std::move(context), std::move(whole_key), DigestSize(algorithm));
}

}  // namespace

std::unique_ptr<MacState> MacState::Create(std::uint32_t algorithm,
                                           std::span<const std::byte> key) {
  if (ClassOf(algorithm) != AlgorithmClass::kMac) return nullptr;
  std::unique_ptr<MacState> state;
  if (const std::uint32_t digest = DigestOf(algorithm)) {
    state = CreateHmac(digest, key);
  } else if (algorithm == alg::kAesCmac || algorithm == alg::kDes3Cmac) {
    state = CreateCmac(algorithm, key);
  } else if (auto mac = CbcMac::Create(BlockAlgorithmOf(algorithm), key)) {
    const bool pad = (algorithm >> 8 & 0xF) == 5;
    state = std::make_unique<CbcMacState>(std::move(*mac), pad);
  }
  if (!state) ERR_clear_error();
  return state;
}

}  // namespace vtee::ta
