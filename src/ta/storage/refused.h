// SPDX-License-Identifier: BSD-3-Clause
// A state, a key or a backup of one is not taken; the sentence says why and what to do.
// Threading: any thread.
#pragma once

#include <string>
#include <utility>

#include "base/result.h"

namespace vtee::ta {

inline Error Refused(std::string sentence) {
  return Error{ErrorCode::kInvalidArgument, std::move(sentence)};
}

}  // namespace vtee::ta
