// SPDX-License-Identifier: BSD-3-Clause
// A TA that behaves: each session counts the calls made on it, and its object in secure storage
// counts those of all. Shared with testbed/probes/tee_hostile.cc; a header for C and C++.
#pragma once

#define CALM_UUID                                                                  \
  {                                                                                \
    0xfe406ee5, 0x3440, 0x43c0, { 0xb8, 0x00, 0xa2, 0xcc, 0xf3, 0xd0, 0x9f, 0xd5 } \
  }

// Value a of the first parameter comes back as the session's count, value b as everybody's.
enum { kCalmCount = 1 };
