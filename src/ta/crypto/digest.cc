// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/digest.h"

#include <openssl/err.h>
#include <openssl/evp.h>

#include <algorithm>
#include <new>
#include <utility>

#include "ta/crypto/algorithms.h"
#include "ta/crypto/keccak.h"
#include "ta/crypto/openssl_failed.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

struct FreeDigest {
  void operator()(EVP_MD* digest) const { EVP_MD_free(digest); }
};
struct FreeDigestContext {
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
};
using DigestPtr = std::unique_ptr<EVP_MD, FreeDigest>;
using DigestContext = std::unique_ptr<EVP_MD_CTX, FreeDigestContext>;

class EvpDigest final : public DigestState {
 public:
  explicit EvpDigest(DigestPtr digest) : digest_(std::move(digest)), context_(EVP_MD_CTX_new()) {
    if (!context_) throw std::bad_alloc();
  }
  EvpDigest(const EvpDigest& other)
      : DigestState(other), context_(EVP_MD_CTX_new()), active_(other.active_) {
    if (!context_ || EVP_MD_up_ref(other.digest_.get()) != 1) throw std::bad_alloc();
    digest_.reset(other.digest_.get());
    if (active_ && EVP_MD_CTX_copy_ex(context_.get(), other.context_.get()) != 1) {
      ERR_clear_error();
      throw std::bad_alloc();
    }
  }

  std::size_t size() const override {
    return static_cast<std::size_t>(EVP_MD_get_size(digest_.get()));
  }

  std::uint32_t Init() override {
    active_ = EVP_DigestInit_ex2(context_.get(), digest_.get(), nullptr) == 1;
    return active_ ? code::kSuccess : OpensslFailed();
  }

  std::uint32_t Update(std::span<const std::byte> data) override {
    if (!active_) return code::kBadState;
    const bool ok = EVP_DigestUpdate(context_.get(), data.data(), data.size()) == 1;
    return ok ? code::kSuccess : OpensslFailed();
  }

  std::uint32_t Final(std::span<std::byte> out, std::size_t& out_length) override {
    if (!active_) return code::kBadState;
    const std::size_t room = std::min(out.size(), out_length);
    out_length = size();
    if (room < size()) return code::kShortBuffer;
    active_ = false;
    auto* octets = reinterpret_cast<unsigned char*>(out.data());
    return EVP_DigestFinal_ex(context_.get(), octets, nullptr) == 1 ? code::kSuccess
                                                                    : OpensslFailed();
  }

  std::unique_ptr<DigestState> Clone() const override { return std::make_unique<EvpDigest>(*this); }

 private:
  DigestPtr digest_;
  DigestContext context_;
  bool active_ = false;  // between Init and Final
};

class ShakeDigest final : public DigestState {
 public:
  explicit ShakeDigest(std::size_t strength) : strength_(strength), shake_(strength) {}

  std::size_t size() const override { return 0; }

  std::uint32_t Init() override {
    shake_ = Shake(strength_);
    active_ = true;
    return code::kSuccess;
  }

  std::uint32_t Update(std::span<const std::byte> data) override {
    if (!active_ || (shake_.squeezing() && !data.empty())) return code::kBadState;
    shake_.Absorb(data);
    return code::kSuccess;
  }

  std::uint32_t Final(std::span<std::byte> out, std::size_t& out_length) override {
    if (!active_) return code::kBadState;
    out_length = std::min(out.size(), out_length);
    shake_.Squeeze(out.first(out_length));
    return code::kSuccess;
  }

  std::unique_ptr<DigestState> Clone() const override {
    return std::make_unique<ShakeDigest>(*this);
  }

 private:
  std::size_t strength_;
  Shake shake_;
  bool active_ = false;
};

}  // namespace

const char* DigestName(std::uint32_t digest) {
  switch (digest) {
    case alg::kMd5:
      return "MD5";
    case alg::kSha1:
      return "SHA1";
    case alg::kSha224:
      return "SHA2-224";
    case alg::kSha256:
      return "SHA2-256";
    case alg::kSha384:
      return "SHA2-384";
    case alg::kSha512:
      return "SHA2-512";
    case alg::kSm3:
      return "SM3";
    case alg::kSha3_224:
      return "SHA3-224";
    case alg::kSha3_256:
      return "SHA3-256";
    case alg::kSha3_384:
      return "SHA3-384";
    case alg::kSha3_512:
      return "SHA3-512";
    default:
      return nullptr;
  }
}

std::unique_ptr<DigestState> DigestState::Create(std::uint32_t algorithm) {
  if (algorithm == alg::kShake128) return std::make_unique<ShakeDigest>(128);
  if (algorithm == alg::kShake256) return std::make_unique<ShakeDigest>(256);
  const char* name = DigestName(algorithm);
  if (!name) return nullptr;
  DigestPtr digest(EVP_MD_fetch(nullptr, name, nullptr));
  if (!digest) {
    ERR_clear_error();
    return nullptr;
  }
  return std::make_unique<EvpDigest>(std::move(digest));
}

}  // namespace vtee::ta
