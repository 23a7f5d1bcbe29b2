// SPDX-License-Identifier: BSD-3-Clause
// What the probes that measure share: a clock, and the line that testbed/lib/times.py reads.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <ctime>
#include <vector>

// Of a clock that nobody sets.
inline double Micros() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

// "WHAT p50 P p99 Q mean M count N"; `times`: one or more.
inline void PrintTimes(const char* what, std::vector<double> times) {
  std::sort(times.begin(), times.end());
  double sum = 0;
  for (const double t : times) sum += t;
  const auto at = [&](double share) {
    return times[std::min(times.size() - 1,
                          static_cast<std::size_t>(static_cast<double>(times.size()) * share))];
  };
  std::printf("%s p50 %.2f p99 %.2f mean %.2f count %zu\n", what, at(0.5), at(0.99),
              sum / static_cast<double>(times.size()), times.size());
}
