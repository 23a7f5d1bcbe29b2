// SPDX-License-Identifier: BSD-3-Clause
// Structured log: one line per event, "time level event key=value ...", to a descriptor (stderr
// by default, or a file). Values are escaped, so nothing a guest says can forge a line.
//
// A guest can cause events, so every guest-caused event goes through LogGuest(), which lets a
// short burst through and then a steady few per second per event name, and says how many lines
// it dropped. Any thread. Not on the call path of a call that succeeds. A line for which there is
// no memory is left out; nothing here throws.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/result.h"

namespace vtee {

enum class LogLevel { kDebug, kInfo, kWarning, kError };

// One key=value of a log line; numbers are formatted in decimal, or hexadecimal through Hex().
struct LogField {
  LogField(std::string_view k, std::string_view v) : key(k), value(Copy(v)) {}
  LogField(std::string_view k, const char* v) : key(k), value(Copy(v)) {}
  LogField(std::string_view k, const std::string& v) : key(k), value(Copy(v)) {}
  LogField(std::string_view k, std::uint64_t v) : key(k), value(Decimal(v)) {}
  LogField(std::string_view k, std::int64_t v) : key(k), value(Decimal(v)) {}
  LogField(std::string_view k, std::uint32_t v) : key(k), value(std::to_string(v)) {}
  LogField(std::string_view k, int v) : key(k), value(std::to_string(v)) {}
  std::string_view key;
  std::string value;

 private:
  // Empty when there is no memory.
  static std::string Copy(std::string_view text);
  static std::string Decimal(std::uint64_t number);
  static std::string Decimal(std::int64_t number);
};
std::string Hex(std::uint64_t value);

// Sends all further lines to `path` (appended, created 0600) instead of stderr.
Status SetLogFile(const std::string& path);
void SetLogLevel(LogLevel level);
Result<LogLevel> ParseLogLevel(std::string_view name);

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

// As Log(), for events that a guest can cause at will: rate-limited per event name.
void LogGuest(LogLevel level, std::string_view event, std::initializer_list<LogField> fields = {});

// Lines dropped by the rate limit since the start (for tests and statistics).
std::uint64_t DroppedGuestLogLines();

}  // namespace vtee
