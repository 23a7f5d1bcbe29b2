// SPDX-License-Identifier: BSD-3-Clause
#include "base/log.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <map>
#include <mutex>
#include <utility>

#include "base/clock.h"
#include "base/memory.h"
#include "base/unique_fd.h"

namespace vtee {
namespace {

// A burst, then a steady rate: enough to see what a guest does wrong, too little to fill a disk.
constexpr std::uint64_t kBurst = 20;
constexpr std::uint64_t kNanosPerLine = 500'000'000;
// Bounds a line, also when a guest or peer chose the value.
constexpr std::size_t kMaxValue = 1024;

struct Bucket {
  std::uint64_t tokens = kBurst;
  std::uint64_t last_refill = 0;
  std::uint64_t dropped = 0;
};

// The log is the process's standard error by another name, so its state is process-wide.
struct LogState {
  std::mutex mutex;
  UniqueFd file;
  std::map<std::string, Bucket, std::less<>> buckets;
  std::atomic<LogLevel> level{LogLevel::kInfo};
  std::atomic<std::uint64_t> dropped{0};
};

LogState& State() {
  static auto* state = new LogState;  // never destroyed: threads may log until the very end
  return *state;
}

constexpr std::array<std::string_view, 4> kNames = {"debug", "info", "warning", "error"};

void AppendEscaped(std::string& line, std::string_view value) {
  const bool cut = value.size() > kMaxValue;
  value = value.substr(0, kMaxValue);
  bool quote = value.empty();
  for (const char c : value) quote |= c <= ' ' || c == '"' || c == '=' || c == '\\' || c > '~';
  if (!quote && !cut) {
    line += value;
    return;
  }
  line += '"';
  for (const char c : value) {
    if (c == '"' || c == '\\') {
      line += '\\';
      line += c;
    } else if (c < ' ' || c > '~') {
      std::array<char, 8> buffer{};
      std::snprintf(buffer.data(), buffer.size(), "\\x%02x", static_cast<unsigned char>(c));
      line += buffer.data();
    } else {
      line += c;
    }
  }
  line += cut ? "...\"" : "\"";
}

std::string Format(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  tm parts{};
  gmtime_r(&now.tv_sec, &parts);
  std::array<char, 40> stamp{};
  const std::size_t length = strftime(stamp.data(), stamp.size(), "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(stamp.data() + length, stamp.size() - length, ".%06ldZ", now.tv_nsec / 1000);
  std::string line(stamp.data());
  line += ' ';
  line += kNames[static_cast<std::size_t>(level)];
  line += ' ';
  line += event;
  for (const LogField& field : fields) {
    line += ' ';
    line += field.key;
    line += '=';
    AppendEscaped(line, field.value);
  }
  line += '\n';
  return line;
}

std::string CopyOrNothing(std::string_view text) {
  std::string copy;
  return WithinMemory([&] { copy = text; }) ? copy : std::string();
}

// Writing to a pipe whose reader has gone raises SIGPIPE, which would end the process: it is held
// back for this thread and the one that the write raised is taken away.
void WriteWithoutSigpipe(int fd, const std::string& line) {
  sigset_t pipe_signal;
  sigset_t old_mask;
  sigemptyset(&pipe_signal);
  sigaddset(&pipe_signal, SIGPIPE);
  pthread_sigmask(SIG_BLOCK, &pipe_signal, &old_mask);
  const ssize_t written = ::write(fd, line.data(), line.size());
  if (written < 0 && errno == EPIPE) {
    const timespec at_once{};
    sigtimedwait(&pipe_signal, nullptr, &at_once);
  }
  pthread_sigmask(SIG_SETMASK, &old_mask, nullptr);
}

void Write(LogState& state, const std::string& line) {
  const int saved_errno = errno;
  const int fd = state.file.valid() ? state.file.get() : STDERR_FILENO;
  // One write per line keeps lines whole; a full disk or closed pipe must not stop the process.
  WriteWithoutSigpipe(fd, line);
  errno = saved_errno;
}

}  // namespace

std::string Hex(std::uint64_t value) {
  std::array<char, 20> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "0x%llx", static_cast<unsigned long long>(value));
  return CopyOrNothing(buffer.data());
}

std::string LogField::Copy(std::string_view text) { return CopyOrNothing(text); }

std::string LogField::Decimal(std::uint64_t number) {
  std::array<char, 24> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%llu", static_cast<unsigned long long>(number));
  return CopyOrNothing(buffer.data());
}

std::string LogField::Decimal(std::int64_t number) {
  std::array<char, 24> buffer{};
  std::snprintf(buffer.data(), buffer.size(), "%lld", static_cast<long long>(number));
  return CopyOrNothing(buffer.data());
}

Status SetLogFile(const std::string& path) {
  UniqueFd fd(open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return ErrnoError(errno, "cannot open the log file " + path);
  LogState& state = State();
  const std::lock_guard lock(state.mutex);
  state.file = std::move(fd);
  return {};
}

void SetLogLevel(LogLevel level) { State().level.store(level, std::memory_order_relaxed); }

Result<LogLevel> ParseLogLevel(std::string_view name) {
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == name) return static_cast<LogLevel>(i);
  }
  return Error{ErrorCode::kInvalidArgument,
               "log level must be debug, info, warning or error, not '" + std::string(name) + "'"};
}

void Log(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  LogState& state = State();
  if (level < state.level.load(std::memory_order_relaxed)) return;
  std::string line;
  if (!WithinMemory([&] { line = Format(level, event, fields); })) return;
  const std::lock_guard lock(state.mutex);
  Write(state, line);
}

void LogGuest(LogLevel level, std::string_view event, std::initializer_list<LogField> fields) {
  LogState& state = State();
  if (level < state.level.load(std::memory_order_relaxed)) return;
  std::uint64_t dropped_before = 0;
  {
    const std::lock_guard lock(state.mutex);
    auto it = state.buckets.find(event);
    const auto add = [&] { it = state.buckets.emplace(std::string(event), Bucket{}).first; };
    if (it == state.buckets.end() && !WithinMemory(add)) return;
    Bucket& bucket = it->second;
    const std::uint64_t now = MonotonicNanos();
    const std::uint64_t gained = (now - bucket.last_refill) / kNanosPerLine;
    if (gained > 0) {
      bucket.tokens = std::min(kBurst, bucket.tokens + gained);
      bucket.last_refill += gained * kNanosPerLine;  // the rest counts next time
    }
    if (bucket.tokens == 0) {
      ++bucket.dropped;
      state.dropped.fetch_add(1, std::memory_order_relaxed);
      return;
    }
    --bucket.tokens;
    dropped_before = std::exchange(bucket.dropped, 0);
  }
  if (dropped_before > 0) {
    Log(level, "log.dropped", {{"of", event}, {"lines", dropped_before}});
  }
  Log(level, event, fields);
}

std::uint64_t DroppedGuestLogLines() { return State().dropped.load(std::memory_order_relaxed); }

}  // namespace vtee
