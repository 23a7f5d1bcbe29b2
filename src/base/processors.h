// SPDX-License-Identifier: BSD-3-Clause
// How many processors there are to share among threads that wait by spinning. Any thread.
#pragma once

#include <sched.h>

#include <cstdint>

namespace vtee {

// Those that the calling thread may use; when that is unknown, as many as a set can hold.
inline std::uint32_t UsableProcessors() {
  cpu_set_t cpus;
  if (sched_getaffinity(0, sizeof cpus, &cpus) != 0) return CPU_SETSIZE;
  return static_cast<std::uint32_t>(CPU_COUNT(&cpus));
}

}  // namespace vtee
