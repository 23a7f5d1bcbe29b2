// SPDX-License-Identifier: BSD-3-Clause
// What vtee says to the person who called it: one sentence on standard error.
// Threading: any thread.
#pragma once

#include <cstdio>
#include <string>

namespace vtee::cli {

inline void Say(const std::string& sentence) {
  std::fprintf(stderr, "vtee: %s\n", sentence.c_str());
}

}  // namespace vtee::cli
