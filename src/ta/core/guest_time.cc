// SPDX-License-Identifier: BSD-3-Clause
#include "ta/core/guest_time.h"

#include <ctime>

namespace vtee::ta {

TeeTime AskGuestForTime(tee::CallContext& context) {
  constexpr std::uint64_t kNanosPerMilli = 1'000'000;
  if (context.upcalls != nullptr) {
    tee::Upcall upcall;
    upcall.kind = tee::UpcallKind::kGetTime;
    upcall.params[0].kind = tee::UpcallParam::Kind::kValueOut;
    if (context.upcalls->Call(upcall).ok()) {
      // Seconds and nanoseconds.
      return {static_cast<std::uint32_t>(upcall.params[0].a),
              static_cast<std::uint32_t>(upcall.params[0].b / kNanosPerMilli % 1000)};
    }
  }
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return {static_cast<std::uint32_t>(now.tv_sec),
          static_cast<std::uint32_t>(static_cast<std::uint64_t>(now.tv_nsec) / kNanosPerMilli)};
}

}  // namespace vtee::ta
