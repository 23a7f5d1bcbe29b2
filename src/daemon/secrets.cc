// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/secrets.h"

#include <sys/prctl.h>

#include "base/locked_memory.h"
#include "base/log.h"

namespace vtee::daemon {
namespace {

// Several thousand keys; a sixteenth of what a process may usually lock.
constexpr std::size_t kRoomForKeys = 512u << 10;

// LeakSanitizer looks into the process from a second one, which this forbids.
#if defined(__SANITIZE_ADDRESS__)
constexpr bool kSanitized = true;
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool kSanitized = true;
#else
constexpr bool kSanitized = false;
#endif
#else
constexpr bool kSanitized = false;
#endif

}  // namespace

void HideSecrets() {
  if (!kSanitized) prctl(PR_SET_DUMPABLE, 0);
  const LockedMemory memory = ReserveLockedMemory(kRoomForKeys);
  if (memory.locked && memory.bytes >= kRoomForKeys) return;
  Log(LogLevel::kWarning, "keys.unlocked",
      {{"what", "some of the TEE's keys may be written to swap"},
       {"locked_bytes", std::uint64_t{memory.locked ? memory.bytes : 0}},
       {"wanted_bytes", std::uint64_t{kRoomForKeys}},
       {"remedy", "raise the limit of locked memory (LimitMEMLOCK=, ulimit -l), or encrypt swap"}});
}

}  // namespace vtee::daemon
