// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/evp_digest.h"

namespace vtee::ta {

const EVP_MD* EvpDigestByNumber(std::uint32_t number) {
  switch (number) {
    case 0x1:
      return EVP_md5();
    case 0x2:
      return EVP_sha1();
    case 0x3:
      return EVP_sha224();
    case 0x4:
      return EVP_sha256();
    case 0x5:
      return EVP_sha384();
    case 0x6:
      return EVP_sha512();
    case 0x7:
      return EVP_sm3();
    case 0x8:
      return EVP_sha3_224();
    case 0x9:
      return EVP_sha3_256();
    case 0xA:
      return EVP_sha3_384();
    case 0xB:
      return EVP_sha3_512();
    default:
      return nullptr;
  }
}

}  // namespace vtee::ta
