/* SPDX-License-Identifier: BSD-3-Clause */
/* raw_calls.S for C. */
#ifndef RAW_CALLS_H
#define RAW_CALLS_H

#include <stdint.h>

enum { kRawCalls = 71, kRawCallBytes = 16 };

extern const char raw_calls[];
typedef uint32_t (*RawCall)(uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                            uint64_t);

static inline RawCall raw_call(unsigned number) {
  return (RawCall)(uintptr_t)(raw_calls + number * kRawCallBytes);
}

long linux_call(long number, long a, long b, long c, long d, long e, long f);

#endif
