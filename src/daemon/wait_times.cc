// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/wait_times.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <new>
#include <system_error>
#include <thread>

#include "base/clock.h"
#include "base/futex.h"
#include "base/processors.h"

namespace vtee::daemon {
namespace {

constexpr std::size_t kRounds = 9;
constexpr std::uint64_t kPatienceNs = 1'000'000'000;  // of one sleep; the loops go on

// On a server this comes to what KVM polls for at most before a vCPU's thread sleeps, 500 us on
// arm64. A guest's next call follows within this time, or not at all soon.
constexpr std::uint64_t kSpinWakeUps = 40;
constexpr std::uint64_t kMinSpinUs = 200;
constexpr std::uint64_t kMaxSpinUs = 2'000;

// Between half a timer tick of a guest (HZ=250) and a few.
constexpr std::uint64_t kParkWakeUps = 40;
constexpr std::uint64_t kMinParkUs = 2'000;
constexpr std::uint64_t kMaxParkUs = 10'000;

using Word = std::atomic<std::uint32_t>;

void Tell(Word& word, std::uint32_t value) {
  word.store(value);
  FutexWakeShared(word, 1);
}

void Await(const Word& word, std::uint32_t value) {
  for (std::uint32_t now = word.load(); now != value; now = word.load()) {
    FutexWaitShared(word, now, kPatienceNs);
  }
}

}  // namespace

std::uint64_t MeasureWakeUpNanos() {
  Word ping{0};
  Word pong{0};
  std::thread echo;
  try {
    echo = std::thread([&] {
      for (std::uint32_t round = 1; round <= kRounds; ++round) {
        Await(ping, round);
        Tell(pong, round);
      }
    });
  } catch (const std::system_error&) {
    return 0;
  } catch (const std::bad_alloc&) {
    return 0;
  }
  std::array<std::uint64_t, kRounds> trips{};
  for (std::uint32_t round = 1; round <= kRounds; ++round) {
    const std::uint64_t start = MonotonicNanos();
    Tell(ping, round);
    Await(pong, round);
    trips[round - 1] = MonotonicNanos() - start;
  }
  echo.join();
  std::sort(trips.begin(), trips.end());
  return trips[kRounds / 2] / 2;
}

WaitTimes FitWaitTimes(std::uint64_t wake_up_ns, std::uint32_t park_after_us) {
  const std::uint64_t wake_up_us = std::min<std::uint64_t>(wake_up_ns / 1'000, kMaxParkUs);
  WaitTimes times;
  const std::uint32_t processors = UsableProcessors();
  // Half of them for the VMM's side, half for vteed's: one pair that is at work keeps two busy.
  times.spinners = std::max<std::uint32_t>(1, processors / 2);
  if (processors > 1) {
    times.spin_us =
        static_cast<std::uint32_t>(std::clamp(kSpinWakeUps * wake_up_us, kMinSpinUs, kMaxSpinUs));
  }
  times.park_after_us = park_after_us != 0
                            ? park_after_us
                            : static_cast<std::uint32_t>(
                                  std::clamp(kParkWakeUps * wake_up_us, kMinParkUs, kMaxParkUs));
  return times;
}

}  // namespace vtee::daemon
