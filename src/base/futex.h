// SPDX-License-Identifier: BSD-3-Clause
// futex(2) on words in memory shared between processes.
//
// std::atomic::wait uses FUTEX_PRIVATE_FLAG and so never wakes another process; these do.
// Any thread. Waits are bounded and interruptible by signals; callers loop.
#pragma once

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <ctime>

namespace vtee {

enum class FutexResult { kWoken, kChanged, kTimedOut, kInterrupted };

// Sleeps while *word == expected, at most timeout_ns.
inline FutexResult FutexWaitShared(const std::atomic<std::uint32_t>& word, std::uint32_t expected,
                                   std::uint64_t timeout_ns) {
  timespec timeout{static_cast<time_t>(timeout_ns / 1'000'000'000u),
                   static_cast<long>(timeout_ns % 1'000'000'000u)};
  const long rc = syscall(SYS_futex, &word, FUTEX_WAIT, expected, &timeout, nullptr, 0);
  if (rc == 0) return FutexResult::kWoken;
  if (errno == ETIMEDOUT) return FutexResult::kTimedOut;
  if (errno == EINTR) return FutexResult::kInterrupted;
  return FutexResult::kChanged;
}

inline void FutexWakeShared(const std::atomic<std::uint32_t>& word, int count) {
  syscall(SYS_futex, &word, FUTEX_WAKE, count, nullptr, nullptr, 0);
}

}  // namespace vtee
