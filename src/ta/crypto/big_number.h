// SPDX-License-Identifier: BSD-3-Clause
// OpenSSL's numbers and keys with owners. Any thread, each object in one at a time.
#pragma once

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/param_build.h>

#include <cstddef>
#include <memory>
#include <new>

#include "ta/crypto/secret.h"

namespace vtee::ta {

template <auto Free>
struct Deleter {
  template <typename T>
  void operator()(T* object) const {
    Free(object);
  }
};

using BnPtr = std::unique_ptr<BIGNUM, Deleter<BN_clear_free>>;
using BnContextPtr = std::unique_ptr<BN_CTX, Deleter<BN_CTX_free>>;
using PkeyPtr = std::unique_ptr<EVP_PKEY, Deleter<EVP_PKEY_free>>;
using PkeyContextPtr = std::unique_ptr<EVP_PKEY_CTX, Deleter<EVP_PKEY_CTX_free>>;
using ParamBuilderPtr = std::unique_ptr<OSSL_PARAM_BLD, Deleter<OSSL_PARAM_BLD_free>>;
using ParamsPtr = std::unique_ptr<OSSL_PARAM, Deleter<OSSL_PARAM_free>>;

template <typename Ptr>
Ptr OrBadAlloc(Ptr pointer) {
  if (!pointer) throw std::bad_alloc();
  return pointer;
}

inline BnPtr NewNumber() { return OrBadAlloc(BnPtr(BN_secure_new())); }
inline BnContextPtr NewNumberContext() { return OrBadAlloc(BnContextPtr(BN_CTX_secure_new())); }

// Big-endian, as attributes are.
inline BnPtr ToNumber(ConstBytes bytes) {
  BnPtr number = NewNumber();
  if (BN_bin2bn(In(bytes), static_cast<int>(bytes.size()), number.get()) == nullptr) {
    throw std::bad_alloc();
  }
  return number;
}

inline SecretBytes FromNumber(const BIGNUM* number) {
  SecretBytes bytes(static_cast<std::size_t>(BN_num_bytes(number)));
  BN_bn2bin(number, Out(bytes));
  return bytes;
}

// With zeros in front. Empty: it is longer than that.
inline SecretBytes FromNumberPadded(const BIGNUM* number, std::size_t size) {
  SecretBytes bytes(size);
  if (BN_bn2binpad(number, Out(bytes), static_cast<int>(size)) < 0) bytes.clear();
  return bytes;
}

}  // namespace vtee::ta
