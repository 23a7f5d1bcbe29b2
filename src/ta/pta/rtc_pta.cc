// SPDX-License-Identifier: BSD-3-Clause
#include "ta/pta/rtc_pta.h"

#include <chrono>
#include <cstring>

#include "ta/core/tee_core.h"
#include "ta/pta/pta_params.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;
constexpr std::uint32_t kOverflow = 0xFFFF300F;
constexpr std::int64_t kMillis = 1000;

enum Command : std::uint32_t {
  kGetInfo = 0,
  kGetTime = 1,
  kSetTime = 2,
  kGetOffset = 3,
  kSetWakeAlarm = 10,
};

constexpr RtcTime kFirst{.day = 1, .month = 0, .year = 2000, .weekday = 6};
constexpr RtcTime kLast{
    .second = 59, .minute = 59, .hour = 23, .day = 31, .month = 11, .year = 2099, .weekday = 4};

// struct pta_rtc_info
struct Info {
  std::uint64_t version = 1;
  std::uint64_t features = 0;
  RtcTime first = kFirst;
  RtcTime last = kLast;
};
static_assert(sizeof(Info) == 72);

std::int64_t HostMillis() {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// OP-TEE takes buffers of exactly that size.
template <typename T>
std::uint32_t WriteExactly(EntryParams& params, const T& object) {
  if (ParamTypes(params) != 0x0006 || params[0].size != sizeof(object) ||
      params[0].memory == nullptr) {
    return code::kBadParameters;
  }
  return WriteBuffer(params[0], std::as_bytes(std::span(&object, 1)));
}

}  // namespace

std::optional<std::int64_t> FromRtc(const RtcTime& time) {
  using namespace std::chrono;  // NOLINT: a dozen of its names
  if (time.year < kFirst.year || time.year > kLast.year || time.month > 11 || time.day > 31 ||
      time.hour > 23 || time.minute > 59 || time.second > 59) {
    return std::nullopt;
  }
  const year_month_day date(year(static_cast<int>(time.year)), month(time.month + 1),
                            day(time.day));
  if (!date.ok()) return std::nullopt;
  const auto whole = sys_days(date) + hours(time.hour) + minutes(time.minute);
  return duration_cast<seconds>(whole.time_since_epoch()).count() + time.second;
}

std::optional<RtcTime> ToRtc(std::int64_t since) {
  using namespace std::chrono;  // NOLINT: a dozen of its names
  if (since < *FromRtc(kFirst) || since > *FromRtc(kLast)) return std::nullopt;
  const sys_seconds time{seconds(since)};
  const auto days_since = floor<days>(time);
  const year_month_day date(days_since);
  const hh_mm_ss clock(time - days_since);
  return RtcTime{.second = static_cast<std::uint32_t>(clock.seconds().count()),
                 .minute = static_cast<std::uint32_t>(clock.minutes().count()),
                 .hour = static_cast<std::uint32_t>(clock.hours().count()),
                 .day = static_cast<unsigned>(date.day()),
                 .month = static_cast<unsigned>(date.month()) - 1,
                 .year = static_cast<std::uint32_t>(static_cast<int>(date.year())),
                 .weekday = weekday(days_since).c_encoding()};
}

std::uint32_t RtcPta::Open(Call&, TaInstance*, const ClientIdentity& client, EntryParams&) {
  return client.login == static_cast<std::uint32_t>(tee::Login::kReeKernel) ? code::kSuccess
                                                                            : code::kAccessDenied;
}

std::uint32_t RtcPta::Get(EntryParams& params) {
  std::optional<std::int64_t> offset;
  const std::uint32_t known = core_.state().GetTimeOffset(kRtcPta, offset);
  if (known != code::kSuccess) return known;
  std::int64_t millis = 0;
  if (__builtin_add_overflow(HostMillis(), offset.value_or(0), &millis)) return kOverflow;
  const auto time = ToRtc(millis / kMillis);
  return time ? WriteExactly(params, *time) : kOverflow;
}

std::uint32_t RtcPta::Set(const EntryParams& params) {
  RtcTime time;
  if (ParamTypes(params) != 0x0005 || params[0].size != sizeof(time)) return code::kBadParameters;
  const auto bytes = ReadBuffer(params[0], sizeof(time));
  if (!bytes) return code::kBadParameters;
  std::memcpy(&time, bytes->data(), sizeof(time));
  const auto seconds = FromRtc(time);
  if (!seconds) return code::kBadParameters;
  return core_.state().SetTimeOffset(kRtcPta, *seconds * kMillis - HostMillis());
}

std::uint32_t RtcPta::Invoke(Call&, TaInstance*, std::uint32_t, std::uint32_t command,
                             EntryParams& params) {
  switch (command) {
    case kGetInfo:
      return WriteExactly(params, Info{});
    case kGetTime:
      return Get(params);
    case kSetTime:
      return Set(params);
    default:
      return command >= kGetOffset && command <= kSetWakeAlarm ? code::kNotSupported
                                                               : code::kNotImplemented;
  }
}

}  // namespace vtee::ta
