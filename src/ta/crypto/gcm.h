// SPDX-License-Identifier: BSD-3-Clause
// AES-GCM (NIST SP 800-38D), as AeState; see ae.h.
#pragma once

#include <cstddef>
#include <memory>
#include <span>

#include "ta/crypto/ae.h"

namespace vtee::ta {

// Null when the key's length does not fit AES.
std::unique_ptr<AeState> CreateGcm(bool encrypt, std::span<const std::byte> key);

}  // namespace vtee::ta
