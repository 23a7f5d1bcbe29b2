// SPDX-License-Identifier: BSD-3-Clause
// System calls 1 to 4, 8 and 70: log, panic, properties, access rights, caches.
#include <algorithm>
#include <cstring>
#include <string>

#include "base/log.h"
#include "runner/access_check.h"
#include "ta/core/ta_instance.h"
#include "ta/syscall/dispatch.h"
#include "ta/syscall/properties.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

// A TA's trace output, a line of the log.
std::uint32_t LogCall(TaInstance& ta, const SyscallArgs& args) {
  constexpr std::uint64_t kMostBytes = 1024;
  std::string text(std::min(args[1], kMostBytes), '\0');
  if (!ta.space().Read(args[0], std::as_writable_bytes(std::span(text)))) return code::kSuccess;
  while (!text.empty() && (text.back() == '\n' || text.back() == '\0')) text.pop_back();
  LogGuest(LogLevel::kInfo, "ta.log", {{"ta", tee::ToString(ta.uuid())}, {"text", text}});
  return code::kSuccess;
}

std::uint32_t PanicCall(TaInstance& ta, const SyscallArgs& args) {
  ta.Panic(static_cast<std::uint32_t>(args[0]), args[1]);
  return code::kSuccess;
}

std::uint32_t CheckAccessCall(TaInstance& ta, const SyscallArgs& args) {
  return ta.space().Allows(args[0], args[1], args[2]) ? code::kSuccess : code::kAccessDenied;
}

// Writes `bytes` where the call's pointer and length say. SHORT_BUFFER: the length is told.
std::uint32_t GiveSized(TaInstance& ta, std::uint64_t address, std::uint64_t length_address,
                        std::span<const std::byte> bytes) {
  std::uint32_t room = 0;
  const auto size = static_cast<std::uint32_t>(bytes.size());
  if (!ta.space().ReadObject(length_address, room)) return code::kAccessDenied;
  if (!ta.space().WriteObject(length_address, size)) return code::kAccessDenied;
  if (room < size) return code::kShortBuffer;
  return ta.space().Write(address, bytes) ? code::kSuccess : code::kAccessDenied;
}

// (set, index, name, name_len, buffer, buffer_len, type)
std::uint32_t GetPropertyCall(TaInstance& ta, const SyscallArgs& args) {
  const auto property = GetProperty(ta, static_cast<std::uint32_t>(args[0]), args[1]);
  if (!property) return code::kItemNotFound;
  if (args[6] != 0 &&
      !ta.space().WriteObject(args[6], static_cast<std::uint32_t>(property->type))) {
    return code::kAccessDenied;
  }
  if (args[4] != 0 && args[5] != 0) {
    const std::uint32_t result = GiveSized(ta, args[4], args[5], property->value);
    if (result != code::kSuccess) return result;
  }
  if (args[2] != 0 && args[3] != 0) {
    const std::string name(property->name);  // with its NUL
    return GiveSized(ta, args[2], args[3], std::as_bytes(std::span(name.c_str(), name.size() + 1)));
  }
  return code::kSuccess;
}

// (set, name, name_len, index)
std::uint32_t NameToIndexCall(TaInstance& ta, const SyscallArgs& args) {
  constexpr std::uint64_t kMostName = 256;
  if (args[2] == 0) return code::kGeneric;
  std::string name(std::min(args[2], kMostName), '\0');
  if (!ta.space().Read(args[1], std::as_writable_bytes(std::span(name)))) {
    return code::kAccessDenied;
  }
  const std::size_t end = name.find('\0');
  if (end == std::string::npos || end + 1 != args[2]) return code::kGeneric;
  name.resize(end);
  const auto index = PropertyIndex(static_cast<std::uint32_t>(args[0]), name);
  if (!index) return code::kItemNotFound;
  return ta.space().WriteObject(args[3], *index) ? code::kSuccess : code::kAccessDenied;
}

// Nothing of a TA's is cached in a way it could see.
std::uint32_t CacheCall(TaInstance& ta, const SyscallArgs& args) {
  constexpr std::uint64_t kLastOperation = 2;
  if ((ta.flags() & kFlagCacheMaintenance) == 0) return code::kNotSupported;
  if (args[2] > kLastOperation) return code::kNotSupported;
  constexpr auto kWanted = runner::kAccessRead | runner::kAccessWrite | runner::kAccessAnyOwner;
  return ta.space().Allows(kWanted, args[0], args[1]) ? code::kSuccess : code::kAccessDenied;
}

}  // namespace

void AddCoreCalls(SyscallTable& table) {
  const auto set = [&](SyscallNumber number, Syscall call) {
    table[static_cast<std::size_t>(number)] = call;
  };
  set(SyscallNumber::kLog, LogCall);
  set(SyscallNumber::kPanic, PanicCall);
  set(SyscallNumber::kGetProperty, GetPropertyCall);
  set(SyscallNumber::kGetPropertyNameToIndex, NameToIndexCall);
  set(SyscallNumber::kCheckAccessRights, CheckAccessCall);
  set(SyscallNumber::kCacheOperation, CacheCall);
}

}  // namespace vtee::ta
