// SPDX-License-Identifier: BSD-3-Clause
// EvpCipher: a block cipher under one key in one of OpenSSL's plain modes; what the operations of
// this directory are made of. OpenSSL wipes what it holds of the key.
//
// Threading: an object belongs to one thread at a time. Copies are independent and go on from
// where the original is. Not supported: padding; DES in one 56-bit key of its own (it is triple
// DES with the same key three times, so that OpenSSL's legacy provider is not needed).
#pragma once

#include <openssl/evp.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>

namespace vtee::ta {

struct FreeCipher {
  void operator()(EVP_CIPHER* cipher) const { EVP_CIPHER_free(cipher); }
};
struct FreeCipherContext {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using CipherContext = std::unique_ptr<EVP_CIPHER_CTX, FreeCipherContext>;

CipherContext NewCipherContext();  // or std::bad_alloc
// Feeds `source` in pieces that fit OpenSSL's int lengths. `destination` may be null for
// additional data of an AE, else holds as much as `source` (the same memory, or none in common).
[[nodiscard]] bool FeedCipher(EVP_CIPHER_CTX* context, std::span<const std::byte> source,
                              std::byte* destination);

// The numbers are the last octet of the algorithm identifiers.
enum class BlockAlgorithm : std::uint8_t { kAes = 0x10, kDes = 0x11, kDes3 = 0x13, kSm4 = 0x14 };
inline std::size_t BlockSize(BlockAlgorithm algorithm) {
  return algorithm == BlockAlgorithm::kAes || algorithm == BlockAlgorithm::kSm4 ? 16 : 8;
}
inline BlockAlgorithm BlockAlgorithmOf(std::uint32_t algorithm) {
  return static_cast<BlockAlgorithm>(algorithm & 0xFF);
}

enum class BlockMode { kEcb, kCbc, kCtr };

class EvpCipher {
 public:
  // Empty when the key's length does not fit `algorithm`.
  static std::optional<EvpCipher> Create(BlockAlgorithm algorithm, BlockMode mode, bool encrypt,
                                         std::span<const std::byte> key);
  EvpCipher(const EvpCipher& other);  // or std::bad_alloc
  EvpCipher(EvpCipher&&) noexcept = default;
  EvpCipher& operator=(const EvpCipher&) = delete;
  EvpCipher& operator=(EvpCipher&&) noexcept = default;

  // Begins anew with `iv`, one block; not for kEcb.
  [[nodiscard]] bool Start(std::span<const std::byte> iv);
  // Whole blocks (kCtr: any length) to as much memory, the same or none in common.
  [[nodiscard]] bool Run(std::span<const std::byte> source, std::byte* destination);

 private:
  explicit EvpCipher(CipherContext context) : context_(std::move(context)) {}

  CipherContext context_;
};

}  // namespace vtee::ta
