// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/evp_cipher.h"

#include <openssl/crypto.h>
#include <openssl/err.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <new>
#include <string>

namespace vtee::ta {
namespace {

const unsigned char* Octets(std::span<const std::byte> bytes) {
  return reinterpret_cast<const unsigned char*>(bytes.data());
}

bool FitsKey(BlockAlgorithm algorithm, std::size_t size) {
  switch (algorithm) {
    case BlockAlgorithm::kAes:
      return size == 16 || size == 24 || size == 32;
    case BlockAlgorithm::kDes:
      return size == 8;
    case BlockAlgorithm::kDes3:
      return size == 16 || size == 24;
    case BlockAlgorithm::kSm4:
      return size == 16;
  }
  return false;
}

std::string NameOf(BlockAlgorithm algorithm, BlockMode mode, std::size_t key_size) {
  std::string name;
  if (algorithm == BlockAlgorithm::kAes) {
    name = "AES-" + std::to_string(key_size * 8);
  } else {
    name = algorithm == BlockAlgorithm::kSm4 ? "SM4" : "DES-EDE3";
  }
  switch (mode) {
    case BlockMode::kEcb:
      return name + "-ECB";
    case BlockMode::kCbc:
      return name + "-CBC";
    case BlockMode::kCtr:
      return name + "-CTR";
  }
  return name;
}

// The key as OpenSSL's triple DES wants it: K1 K2 K3, of which a shorter key repeats the first.
struct TripleDesKey {
  explicit TripleDesKey(std::span<const std::byte> key) {
    for (std::size_t i = 0; i < octets.size(); ++i) octets[i] = key[i % key.size()];
  }
  TripleDesKey(const TripleDesKey&) = delete;
  TripleDesKey& operator=(const TripleDesKey&) = delete;
  ~TripleDesKey() { OPENSSL_cleanse(octets.data(), octets.size()); }

  std::array<std::byte, 24> octets{};
};

}  // namespace

CipherContext NewCipherContext() {
  CipherContext context(EVP_CIPHER_CTX_new());
  if (!context) throw std::bad_alloc();
  return context;
}

bool FeedCipher(EVP_CIPHER_CTX* context, std::span<const std::byte> source,
                std::byte* destination) {
  constexpr std::size_t kPiece = std::size_t{1} << 30;  // a multiple of every block size
  while (!source.empty()) {
    const auto piece = source.first(std::min(source.size(), kPiece));
    int length = 0;
    if (EVP_CipherUpdate(context, reinterpret_cast<unsigned char*>(destination), &length,
                         Octets(piece), static_cast<int>(piece.size())) != 1 ||
        static_cast<std::size_t>(length) != piece.size()) {
      ERR_clear_error();
      return false;
    }
    source = source.subspan(piece.size());
    if (destination) destination += piece.size();
  }
  return true;
}

std::optional<EvpCipher> EvpCipher::Create(BlockAlgorithm algorithm, BlockMode mode, bool encrypt,
                                           std::span<const std::byte> key) {
  if (!FitsKey(algorithm, key.size())) return std::nullopt;
  const std::string name = NameOf(algorithm, mode, key.size());
  const std::unique_ptr<EVP_CIPHER, FreeCipher> cipher(
      EVP_CIPHER_fetch(nullptr, name.c_str(), nullptr));
  auto context = NewCipherContext();
  const auto with_key = [&](std::span<const std::byte> octets) {
    return EVP_CipherInit_ex2(context.get(), cipher.get(), Octets(octets), nullptr, encrypt ? 1 : 0,
                              nullptr) == 1 &&
           EVP_CIPHER_CTX_set_padding(context.get(), 0) == 1;
  };
  const bool des = algorithm == BlockAlgorithm::kDes || algorithm == BlockAlgorithm::kDes3;
  if (!cipher || !(des ? with_key(TripleDesKey(key).octets) : with_key(key))) {
    ERR_clear_error();
    return std::nullopt;
  }
  return EvpCipher(std::move(context));
}

EvpCipher::EvpCipher(const EvpCipher& other) : context_(NewCipherContext()) {
  // Fails for lack of memory only: the plain modes can all be copied.
  if (EVP_CIPHER_CTX_copy(context_.get(), other.context_.get()) != 1) {
    ERR_clear_error();
    throw std::bad_alloc();
  }
}

bool EvpCipher::Start(std::span<const std::byte> iv) {
  if (static_cast<std::size_t>(EVP_CIPHER_CTX_get_iv_length(context_.get())) != iv.size()) {
    return false;
  }
  if (EVP_CipherInit_ex2(context_.get(), nullptr, nullptr, Octets(iv), -1, nullptr) == 1) {
    return true;
  }
  ERR_clear_error();
  return false;
}

bool EvpCipher::Run(std::span<const std::byte> source, std::byte* destination) {
  return FeedCipher(context_.get(), source, destination);
}

}  // namespace vtee::ta
