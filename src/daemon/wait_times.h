// SPDX-License-Identifier: BSD-3-Clause
// WaitTimes: how long the two sides of a mailbox spin, and when a call is parked, for this machine.
//
// All of it is a matter of what it costs to wake a sleeping thread: some microseconds on a server,
// a hundred times that on an emulated or nested one. A spin longer than a few wake-ups gains
// little, and parking, which takes several of them in the guest and the host, is worth its price
// only for calls that are much longer. Any thread.
#pragma once

#include <cstdint>

namespace vtee::daemon {

struct WaitTimes {
  std::uint32_t spin_us = 0;        // the longest spin before a sleep; 0: never spin
  std::uint32_t park_after_us = 0;  // how long a call may hold its vCPU
  std::uint32_t spinners = 1;       // threads of one side that may spin at once
};

// Half the time of a round trip between two threads that sleep on futexes, the median of a few.
// Takes some twenty wake-ups. 0: no thread could be started.
std::uint64_t MeasureWakeUpNanos();

// `park_after_us`: the person's choice, 0 leaves it to the machine.
WaitTimes FitWaitTimes(std::uint64_t wake_up_ns, std::uint32_t park_after_us);

}  // namespace vtee::daemon
