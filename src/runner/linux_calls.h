// SPDX-License-Identifier: BSD-3-Clause
// The few Linux system calls of the runner, which has no C library (arm64 ABI: number in x8).
// Results are -errno on failure.
#pragma once

#include <asm/unistd.h>

#include <cstdint>

namespace vtee::runner {

inline long LinuxCall(long number, std::uint64_t a = 0, std::uint64_t b = 0, std::uint64_t c = 0,
                      std::uint64_t d = 0, std::uint64_t e = 0, std::uint64_t f = 0) {
  register std::uint64_t x0 asm("x0") = a;
  register std::uint64_t x1 asm("x1") = b;
  register std::uint64_t x2 asm("x2") = c;
  register std::uint64_t x3 asm("x3") = d;
  register std::uint64_t x4 asm("x4") = e;
  register std::uint64_t x5 asm("x5") = f;
  register long x8 asm("x8") = number;
  asm volatile("svc #0"
               : "+r"(x0)
               : "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5), "r"(x8)
               : "memory", "cc");
  return static_cast<long>(x0);
}

[[noreturn]] inline void Exit(int status) {
  for (;;) LinuxCall(__NR_exit_group, static_cast<std::uint64_t>(status));
}

}  // namespace vtee::runner
