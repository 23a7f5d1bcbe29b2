// SPDX-License-Identifier: BSD-3-Clause
// AES-CCM (RFC 3610, NIST SP 800-38C), as AeState; see ae.h. Own, on AES in CTR and CBC mode,
// because OpenSSL takes the payload in one piece only.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "ta/crypto/ae.h"

namespace vtee::ta {

// Null when the key's length does not fit AES.
std::unique_ptr<AeState> CreateCcm(bool encrypt, std::span<const std::byte> key);

}  // namespace vtee::ta
