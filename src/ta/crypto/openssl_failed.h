// SPDX-License-Identifier: BSD-3-Clause
// What OpenSSL's failures are to a TA; the thread's queue of them is emptied.
// Threading: any thread.
#pragma once

#include <openssl/err.h>

#include <cstdint>

#include "tee/types.h"

namespace vtee::ta {

inline std::uint32_t OpensslFailed() {
  ERR_clear_error();
  return tee::code::kGeneric;
}

}  // namespace vtee::ta
