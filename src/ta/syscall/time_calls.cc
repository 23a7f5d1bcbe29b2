// SPDX-License-Identifier: BSD-3-Clause
// System calls 9 to 14: cancellation, waiting, time.
#include <chrono>
#include <ctime>
#include <optional>

#include "ta/core/guest_time.h"
#include "ta/core/ta_instance.h"
#include "ta/core/tee_core.h"
#include "ta/storage/object_store.h"
#include "ta/syscall/dispatch.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;
constexpr std::uint32_t kMillis = 1000;
constexpr std::uint32_t kTimeNotSet = 0xFFFF5000;
constexpr std::uint32_t kOverflow = 0xFFFF300F;

enum TimeCategory : std::uint64_t { kSystem = 0, kPersistent = 1, kRee = 2 };

std::uint32_t Give(TaInstance& ta, std::uint64_t address, std::uint32_t value) {
  return ta.space().WriteObject(address, value) ? code::kSuccess : code::kAccessDenied;
}

std::uint32_t GetFlagCall(TaInstance& ta, const SyscallArgs& args) {
  return Give(ta, args[0], ta.cancellation().requested() ? 1 : 0);
}
std::uint32_t UnmaskCall(TaInstance& ta, const SyscallArgs& args) {
  return Give(ta, args[0], ta.cancellation().SetMask(false) ? 1 : 0);
}
std::uint32_t MaskCall(TaInstance& ta, const SyscallArgs& args) {
  return Give(ta, args[0], ta.cancellation().SetMask(true) ? 1 : 0);
}

std::uint32_t WaitCall(TaInstance& ta, const SyscallArgs& args) {
  const std::chrono::milliseconds time(static_cast<std::uint32_t>(args[0]));
  return ta.cancellation().WaitFor(time) ? code::kSuccess : code::kCancel;
}

TeeTime SystemTime(const TeeCore& core) {
  const auto since = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - core.started());
  const auto millis = static_cast<std::uint64_t>(since.count());
  return {static_cast<std::uint32_t>(millis / kMillis),
          static_cast<std::uint32_t>(millis % kMillis)};
}

// A TA's persistent time is the host's clock plus what the TA has set.
std::int64_t HostMillis() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  return std::int64_t{now.tv_sec} * kMillis + now.tv_nsec / 1'000'000;
}

std::uint32_t GetTimeCall(TaInstance& ta, const SyscallArgs& args) {
  TeeTime time;
  std::uint32_t result = code::kSuccess;
  switch (args[0]) {
    case kSystem:
      time = SystemTime(ta.core());
      break;
    case kPersistent: {
      std::optional<std::int64_t> offset;
      const std::uint32_t known = ta.core().state().GetTimeOffset(ta.uuid(), offset);
      if (known != code::kSuccess) return code::kOutOfMemory;
      if (!offset) return kTimeNotSet;
      const auto millis = static_cast<std::uint64_t>(HostMillis() + *offset);
      if (millis / kMillis > 0xFFFFFFFF) result = kOverflow;
      time = {static_cast<std::uint32_t>(millis / kMillis),
              static_cast<std::uint32_t>(millis % kMillis)};
      break;
    }
    case kRee:
      time = AskGuestForTime(ta.call().context);
      break;
    default:
      return code::kBadParameters;
  }
  if (!ta.space().WritePrivate(args[1], std::as_bytes(std::span(&time, 1)))) {
    return code::kAccessDenied;
  }
  return result;
}

std::uint32_t SetTimeCall(TaInstance& ta, const SyscallArgs& args) {
  TeeTime time;
  if (!ta.space().ReadPrivate(args[0], std::as_writable_bytes(std::span(&time, 1)))) {
    return code::kAccessDenied;
  }
  if (time.millis >= kMillis) return code::kBadParameters;
  const std::int64_t wanted = std::int64_t{time.seconds} * kMillis + time.millis;
  const std::uint32_t set = ta.core().state().SetTimeOffset(ta.uuid(), wanted - HostMillis());
  // libutee has a TA panic for most codes.
  return set == code::kSuccess ? set : kStorageNoSpace;
}

}  // namespace

void AddTimeCalls(SyscallTable& table) {
  const auto set = [&](SyscallNumber number, Syscall call) {
    table[static_cast<std::size_t>(number)] = call;
  };
  set(SyscallNumber::kGetCancellationFlag, GetFlagCall);
  set(SyscallNumber::kUnmaskCancellation, UnmaskCall);
  set(SyscallNumber::kMaskCancellation, MaskCall);
  set(SyscallNumber::kWait, WaitCall);
  set(SyscallNumber::kGetTime, GetTimeCall);
  set(SyscallNumber::kSetTaTime, SetTimeCall);
}

}  // namespace vtee::ta
