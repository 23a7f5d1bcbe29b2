// SPDX-License-Identifier: BSD-3-Clause
// The real-time clock pseudo-TA, which Linux' rtc-optee is the driver of (optee_os
// core/pta/rtc.c, lib/libutee/include/pta_rtc.h). For the guest's kernel only.
//
// The time is the host's plus what the guest has set, which is kept with the VM's state; the host's
// own clock is never touched. NOT_SUPPORTED: alarms, and correcting the clock's speed.
// Threading: PseudoTa's.
#pragma once

#include <cstdint>
#include <optional>

#include "ta/core/pseudo_ta.h"

namespace vtee::ta {

inline constexpr tee::Uuid kRtcPta{{0xf3, 0x89, 0xf8, 0xc8, 0x84, 0x5f, 0x49, 0x6c, 0x8b, 0xbe,
                                    0xd6, 0x4b, 0xd2, 0x4c, 0x92, 0xfd}};

class TeeCore;

// struct pta_rtc_time. Months count from 0, days of the week from Sunday, years are whole.
struct RtcTime {
  std::uint32_t second = 0;
  std::uint32_t minute = 0;
  std::uint32_t hour = 0;
  std::uint32_t day = 0;
  std::uint32_t month = 0;
  std::uint32_t year = 0;
  std::uint32_t weekday = 0;
};
static_assert(sizeof(RtcTime) == 28);

// Seconds since 1970. Nothing: no such time, or not of the years 2000 to 2099. The day of the week
// is not looked at.
std::optional<std::int64_t> FromRtc(const RtcTime& time);
std::optional<RtcTime> ToRtc(std::int64_t seconds);

class RtcPta : public PseudoTa {
 public:
  explicit RtcPta(TeeCore& core) : core_(core) {}
  bool is_device() const override { return true; }
  std::uint32_t Open(Call& call, TaInstance* caller, const ClientIdentity& client,
                     EntryParams& params) override;
  std::uint32_t Invoke(Call& call, TaInstance* caller, std::uint32_t session, std::uint32_t command,
                       EntryParams& params) override;

 private:
  std::uint32_t Get(EntryParams& params);
  std::uint32_t Set(const EntryParams& params);

  TeeCore& core_;
};

}  // namespace vtee::ta
