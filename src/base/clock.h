// SPDX-License-Identifier: BSD-3-Clause
// Monotonic time in nanoseconds, as plain numbers so that they fit shared memory.
// Any thread. Not supported: wall-clock time (see tee/upcalls.h for the guest's time).
#pragma once

#include <cstdint>
#include <ctime>

namespace vtee {

inline std::uint64_t MonotonicNanos() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1'000'000'000u +
         static_cast<std::uint64_t>(now.tv_nsec);
}

// One turn of a spin-wait: tells the core that this thread is only waiting.
inline void CpuRelax() {
#if defined(__aarch64__)
  asm volatile("isb" ::: "memory");  // unlike yield, really pauses on cores without SMT
#elif defined(__x86_64__)
  asm volatile("pause" ::: "memory");
#else
  asm volatile("" ::: "memory");
#endif
}

}  // namespace vtee
