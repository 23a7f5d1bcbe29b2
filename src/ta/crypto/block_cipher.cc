// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/block_cipher.h"

#include <algorithm>

namespace vtee::ta {
namespace {

constexpr std::size_t kDesKey = 8;

// K to K K K, K1 K2 to K1 K2 K1. False: no size of a DES key.
bool WidenDes(SecretBytes& key) {
  const std::size_t size = key.size();
  if (size == 3 * kDesKey) return true;
  if (size != kDesKey && size != 2 * kDesKey) return false;
  const SecretBytes first(key.begin(), key.begin() + kDesKey);
  while (key.size() < 3 * kDesKey) key.insert(key.end(), first.begin(), first.end());
  return true;
}

bool IsDes(std::uint32_t main) { return main == kMainDes || main == kMainDes3; }
bool IsSm4(std::uint32_t main) { return main == kMainSm4 || main == kMainSm4Pkcs5; }

const EVP_CIPHER* BySize(std::size_t size, const EVP_CIPHER* a, const EVP_CIPHER* b,
                         const EVP_CIPHER* c) {
  if (size == 16) return a;
  if (size == 24) return b;
  return size == 32 ? c : nullptr;
}

}  // namespace

std::size_t BlockSize(std::uint32_t main) { return IsDes(main) ? 8 : 16; }

const EVP_CIPHER* EcbCipher(std::uint32_t main, SecretBytes& key) {
  if (main == kMainAes) {
    return BySize(key.size(), EVP_aes_128_ecb(), EVP_aes_192_ecb(), EVP_aes_256_ecb());
  }
  if (IsDes(main)) return WidenDes(key) ? EVP_des_ede3_ecb() : nullptr;
  return IsSm4(main) && key.size() == 16 ? EVP_sm4_ecb() : nullptr;
}

const EVP_CIPHER* CbcCipher(std::uint32_t main, SecretBytes& key) {
  if (main == kMainAes) {
    return BySize(key.size(), EVP_aes_128_cbc(), EVP_aes_192_cbc(), EVP_aes_256_cbc());
  }
  if (IsDes(main)) return WidenDes(key) ? EVP_des_ede3_cbc() : nullptr;
  return IsSm4(main) && key.size() == 16 ? EVP_sm4_cbc() : nullptr;
}

const EVP_CIPHER* CtrCipher(std::uint32_t main, SecretBytes& key) {
  if (main == kMainAes) {
    return BySize(key.size(), EVP_aes_128_ctr(), EVP_aes_192_ctr(), EVP_aes_256_ctr());
  }
  return main == kMainSm4 && key.size() == 16 ? EVP_sm4_ctr() : nullptr;
}

CipherPtr StartCipher(const EVP_CIPHER* cipher, bool encrypt, ConstBytes key, ConstBytes iv) {
  if (static_cast<std::size_t>(EVP_CIPHER_get_key_length(cipher)) != key.size() ||
      static_cast<std::size_t>(EVP_CIPHER_get_iv_length(cipher)) > iv.size()) {
    return nullptr;
  }
  CipherPtr context(EVP_CIPHER_CTX_new());
  if (!context) throw std::bad_alloc();
  if (EVP_CipherInit_ex(context.get(), cipher, nullptr, In(key), In(iv), encrypt ? 1 : 0) != 1) {
    return nullptr;
  }
  EVP_CIPHER_CTX_set_padding(context.get(), 0);
  return context;
}

CipherPtr CopyCipher(const EVP_CIPHER_CTX* context) {
  CipherPtr copy(EVP_CIPHER_CTX_new());
  if (!copy || EVP_CIPHER_CTX_copy(copy.get(), context) != 1) throw std::bad_alloc();
  return copy;
}

bool RunCipher(EVP_CIPHER_CTX* context, ConstBytes in, MutableBytes out) {
  constexpr std::size_t kMost = 1u << 30;  // sizes of OpenSSL are ints
  while (!in.empty()) {
    const std::size_t take = std::min(in.size(), kMost);
    int written = 0;
    if (EVP_CipherUpdate(context, Out(out), &written, In(in), static_cast<int>(take)) != 1 ||
        static_cast<std::size_t>(written) != take) {
      return false;
    }
    in = in.subspan(take);
    out = out.subspan(take);
  }
  return true;
}

}  // namespace vtee::ta
