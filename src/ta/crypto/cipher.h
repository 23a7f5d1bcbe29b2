// SPDX-License-Identifier: BSD-3-Clause
// Ciphers as operations of a TA: ECB, CBC, CTR, CTS (CBC-CS3) and XTS of AES, DES, DES3 and SM4.
//
// Output is as long as input; `out` may be `in`. Before the end come whole blocks (CTR: any bytes).
// Results are TEE codes. Threading: one thread at a time. Copied by Clone(), in mid-stream too.
#pragma once

#include <cstdint>
#include <memory>

#include "ta/crypto/secret.h"

namespace vtee::ta {

class CipherState {
 public:
  virtual ~CipherState() = default;
  virtual std::unique_ptr<CipherState> Clone() const = 0;
  // `key2`: of XTS.
  virtual std::uint32_t Init(bool encrypt, ConstBytes key, ConstBytes key2, ConstBytes iv) = 0;
  virtual std::uint32_t Update(ConstBytes in, MutableBytes out) = 0;
  // The last bytes, which may be no whole block with CTR, CTS and XTS.
  virtual std::uint32_t Final(ConstBytes in, MutableBytes out) = 0;
};

// Null: not supported.
std::unique_ptr<CipherState> MakeCipher(std::uint32_t algorithm);

}  // namespace vtee::ta
