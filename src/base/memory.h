// SPDX-License-Identifier: BSD-3-Clause
// WithinMemory: where std::bad_alloc becomes a value.
//
// A guest can make the process allocate, within its quotas, and the machine or a memory limit may
// have less. So each place where work for a guest or a peer begins (a call, a control message, a
// thread) runs it in here and answers in its own way when it cannot be done. What the work had
// taken is given back by its destructors. Any thread.
#pragma once

#include <chrono>
#include <new>
#include <thread>
#include <utility>

namespace vtee {

// Runs `work`; false: it was given up because there was no memory for it.
template <typename Work>
[[nodiscard]] bool WithinMemory(Work&& work) {
  try {
    std::forward<Work>(work)();
    return true;
  } catch (const std::bad_alloc&) {
    return false;
  }
}

// The same for work that cannot be refused, and can be begun again: waits for memory, up to two
// seconds.
template <typename Work>
[[nodiscard]] bool WithinMemorySoon(const Work& work) {
  constexpr auto kPause = std::chrono::milliseconds(10);
  for (int tries = 200; tries > 0; --tries) {
    if (WithinMemory(work)) return true;
    std::this_thread::sleep_for(kPause);
  }
  return false;
}

}  // namespace vtee
