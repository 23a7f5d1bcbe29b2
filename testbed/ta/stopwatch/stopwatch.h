// SPDX-License-Identifier: BSD-3-Clause
// A TA that does nothing, or times its system calls. Shared with testbed/probes/teec_times.cc; a
// header for C and C++.
#pragma once

#define STOPWATCH_UUID                                                             \
  {                                                                                \
    0x7c0f5d1e, 0x3f7b, 0x4f3e, { 0x9d, 0x0b, 0x51, 0xc6, 0xa4, 0xb0, 0xe2, 0xd8 } \
  }

enum {
  // No parameters: returns at once.
  kStopwatchNothing = 0,
  // Memory out: makes a system call (utee_get_time) for each 32-bit word of it, and writes there
  // how many ticks of the virtual counter (CNTVCT_EL0) it took. Value out: a: ticks per second.
  // Not for OP-TEE itself, whose TAs may not read the counter.
  kStopwatchSystemCalls = 1,
};
