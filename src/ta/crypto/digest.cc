// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/digest.h"

#include <openssl/evp.h>

#include <cstring>

#include "ta/crypto/algorithms.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;
using MdContext = std::unique_ptr<EVP_MD_CTX, decltype(&EVP_MD_CTX_free)>;

MdContext NewContext() {
  MdContext context(EVP_MD_CTX_new(), EVP_MD_CTX_free);
  if (!context) throw std::bad_alloc();
  return context;
}

class Digest : public HashState {
 public:
  explicit Digest(const EVP_MD* digest) : digest_(digest), context_(NewContext()) {}
  Digest(const Digest& other) : digest_(other.digest_), context_(NewContext()) {
    // One that was never begun has nothing to copy.
    if (EVP_MD_CTX_get0_md(other.context_.get()) != nullptr &&
        EVP_MD_CTX_copy_ex(context_.get(), other.context_.get()) != 1) {
      throw std::bad_alloc();
    }
  }
  std::unique_ptr<HashState> Clone() const override { return std::make_unique<Digest>(*this); }
  std::uint32_t Init(ConstBytes) override {
    return EVP_DigestInit_ex(context_.get(), digest_, nullptr) == 1 ? code::kSuccess
                                                                     : code::kGeneric;
  }
  std::uint32_t Update(ConstBytes bytes) override {
    return EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size()) == 1 ? code::kSuccess
                                                                             : code::kGeneric;
  }
  std::uint32_t Final(MutableBytes out) override {
    if (out.size() != size()) return code::kBadParameters;
    return EVP_DigestFinal_ex(context_.get(), Out(out), nullptr) == 1 ? code::kSuccess
                                                                      : code::kBadState;
  }
  std::size_t size() const override { return static_cast<std::size_t>(EVP_MD_get_size(digest_)); }

 protected:
  const EVP_MD* digest_;
  MdContext context_;
};

// OpenSSL 3.0 gives the output of a SHAKE once only: it is worked out again from a copy, longer.
class Extendable : public Digest {
 public:
  using Digest::Digest;
  std::unique_ptr<HashState> Clone() const override { return std::make_unique<Extendable>(*this); }
  std::uint32_t Init(ConstBytes key) override {
    given_ = 0;
    return Digest::Init(key);
  }
  std::uint32_t Final(MutableBytes out) override {
    constexpr std::size_t kMostBytes = 64u << 20;
    if (out.empty()) return code::kSuccess;
    if (out.size() > kMostBytes || given_ > kMostBytes - out.size()) return code::kBadParameters;
    MdContext copy = NewContext();
    SecretBytes all(given_ + out.size());
    if (EVP_MD_CTX_copy_ex(copy.get(), context_.get()) != 1 ||
        EVP_DigestFinalXOF(copy.get(), Out(all), all.size()) != 1) {
      return code::kBadState;
    }
    std::memcpy(out.data(), all.data() + given_, out.size());
    given_ += out.size();
    return code::kSuccess;
  }

 private:
  std::size_t given_ = 0;
};

}  // namespace

std::unique_ptr<HashState> MakeDigest(std::uint32_t algorithm) {
  if (ClassOf(algorithm) != AlgorithmClass::kDigest) return nullptr;
  const EVP_MD* digest = DigestOf(algorithm);
  if (digest == nullptr) return nullptr;
  if (IsExtendable(algorithm)) return std::make_unique<Extendable>(digest);
  return std::make_unique<Digest>(digest);
}

}  // namespace vtee::ta
