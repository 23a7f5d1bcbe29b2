// SPDX-License-Identifier: BSD-3-Clause
// The block ciphers of OpenSSL that TAs use, by the low byte of the algorithm. Helpers for the
// modes that are made of them. Pure but for the contexts; one thread at a time.
#pragma once

#include <openssl/evp.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "ta/crypto/secret.h"

namespace vtee::ta {

inline constexpr std::uint32_t kMainAes = 0x10;
inline constexpr std::uint32_t kMainDes = 0x11;
inline constexpr std::uint32_t kMainDes3 = 0x13;
inline constexpr std::uint32_t kMainSm4 = 0x14;
inline constexpr std::uint32_t kMainSm4Pkcs5 = 0x15;

std::size_t BlockSize(std::uint32_t main);

// The cipher for a key of this size; null: there is none. A DES key becomes one of three equal
// parts, one of two parts K1, K2, K1: OpenSSL has single DES in its legacy provider only.
const EVP_CIPHER* EcbCipher(std::uint32_t main, SecretBytes& key);
const EVP_CIPHER* CbcCipher(std::uint32_t main, SecretBytes& key);
const EVP_CIPHER* CtrCipher(std::uint32_t main, SecretBytes& key);

struct CipherDelete {
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using CipherPtr = std::unique_ptr<EVP_CIPHER_CTX, CipherDelete>;

// Without padding. Null: OpenSSL does not take the key or the IV.
CipherPtr StartCipher(const EVP_CIPHER* cipher, bool encrypt, ConstBytes key, ConstBytes iv);
CipherPtr CopyCipher(const EVP_CIPHER_CTX* context);
// `out` has room for all of `in`, and may be the same memory. False: OpenSSL refuses.
bool RunCipher(EVP_CIPHER_CTX* context, ConstBytes in, MutableBytes out);

}  // namespace vtee::ta
