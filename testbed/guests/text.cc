// SPDX-License-Identifier: BSD-3-Clause
#include "text.h"

#include "machine.h"

extern "C" {

void* memcpy(void* to, const void* from, std::size_t size) {
  auto* out = static_cast<std::uint8_t*>(to);
  const auto* in = static_cast<const std::uint8_t*>(from);
  for (; size >= 8; size -= 8, out += 8, in += 8) {
    std::uint64_t word = 0;
    __builtin_memcpy(&word, in, 8);
    __builtin_memcpy(out, &word, 8);
  }
  while (size-- > 0) *out++ = *in++;
  return to;
}

void* memmove(void* to, const void* from, std::size_t size) {
  auto* out = static_cast<std::uint8_t*>(to);
  const auto* in = static_cast<const std::uint8_t*>(from);
  if (out <= in) return memcpy(to, from, size);
  while (size-- > 0) out[size] = in[size];
  return to;
}

void* memset(void* to, int value, std::size_t size) {
  auto* out = static_cast<std::uint8_t*>(to);
  const std::uint64_t word = 0x0101010101010101 * static_cast<std::uint8_t>(value);
  for (; size >= 8; size -= 8, out += 8) __builtin_memcpy(out, &word, 8);
  while (size-- > 0) *out++ = static_cast<std::uint8_t>(value);
  return to;
}

int memcmp(const void* a, const void* b, std::size_t size) {
  const auto* left = static_cast<const std::uint8_t*>(a);
  const auto* right = static_cast<const std::uint8_t*>(b);
  for (std::size_t i = 0; i < size; ++i) {
    if (left[i] != right[i]) return left[i] < right[i] ? -1 : 1;
  }
  return 0;
}

std::size_t strlen(const char* text) {
  std::size_t size = 0;
  while (text[size] != '\0') ++size;
  return size;
}

}  // extern "C"

namespace guest {
namespace {

// The serial port: a PL011, ready as the machine starts.
constexpr std::uint64_t kUart = 0x09000000;
constexpr std::uint64_t kUartFlags = kUart + 0x18;
constexpr std::uint32_t kTransmitFull = 1u << 5;

Lock g_uart_lock;

void Put(char c) {
  while ((*reinterpret_cast<volatile std::uint32_t*>(kUartFlags) & kTransmitFull) != 0) {
  }
  *reinterpret_cast<volatile std::uint32_t*>(kUart) = static_cast<std::uint8_t>(c);
}

// Collects characters and drops what does not fit.
class Sink {
 public:
  Sink(char* out, std::size_t size) : out_(out), left_(size - 1) {}
  void Put(char c) {
    if (left_ == 0) return;
    *out_++ = c;
    --left_;
  }
  void Put(const char* text) {
    while (*text != '\0') Put(*text++);
  }
  void Number(std::uint64_t value, unsigned base, unsigned width) {
    char digits[24];
    unsigned count = 0;
    do {
      digits[count++] = "0123456789abcdef"[value % base];
      value /= base;
    } while (value != 0);
    for (; width > count; --width) Put('0');
    while (count > 0) Put(digits[--count]);
  }
  void End() { *out_ = '\0'; }

 private:
  char* out_;
  std::size_t left_;
};

std::uint64_t Unsigned(bool is_long, va_list& values) {
  return is_long ? va_arg(values, std::uint64_t) : va_arg(values, unsigned);
}

void Signed(Sink& sink, bool is_long, va_list& values) {
  const std::int64_t value = is_long ? va_arg(values, std::int64_t) : va_arg(values, int);
  if (value < 0) sink.Put('-');
  sink.Number(value < 0 ? -static_cast<std::uint64_t>(value) : static_cast<std::uint64_t>(value),
              10, 0);
}

}  // namespace

void Format(char* out, std::size_t size, const char* format, va_list values_given) {
  va_list values;
  va_copy(values, values_given);
  Sink sink(out, size);
  for (const char* p = format; *p != '\0'; ++p) {
    if (*p != '%') {
      sink.Put(*p);
      continue;
    }
    unsigned width = 0;
    bool is_long = false;
    for (++p; *p >= '0' && *p <= '9'; ++p) width = width * 10 + static_cast<unsigned>(*p - '0');
    for (; *p == 'l' || *p == 'z'; ++p) is_long = true;
    switch (*p) {
      case 's':
        sink.Put(va_arg(values, const char*));
        break;
      case 'c':
        sink.Put(static_cast<char>(va_arg(values, int)));
        break;
      case 'd':
        Signed(sink, is_long, values);
        break;
      case 'u':
        sink.Number(Unsigned(is_long, values), 10, width);
        break;
      case 'x':
        sink.Number(Unsigned(is_long, values), 16, width);
        break;
      default:
        sink.Put(*p);
        break;
    }
  }
  va_end(values);
  sink.End();
}

void Print(const char* format, ...) {
  char text[256];
  va_list values;
  va_start(values, format);
  Format(text, sizeof text, format, values);
  va_end(values);
  g_uart_lock.Take();
  for (const char* p = text; *p != '\0'; ++p) Put(*p);
  g_uart_lock.Release();
}

bool Equal(const char* a, const char* b) {
  while (*a != '\0' && *a == *b) ++a, ++b;
  return *a == *b;
}

bool StartsWith(const char* text, const char* start) {
  while (*start != '\0' && *text == *start) ++text, ++start;
  return *start == '\0';
}

std::uint64_t Argument(const char* name, std::uint64_t otherwise) {
  for (const char* p = TheMachine().arguments; *p != '\0'; ++p) {
    if (p != TheMachine().arguments && p[-1] != ' ') continue;
    if (!StartsWith(p, name) || p[std::strlen(name)] != '=') continue;
    p += std::strlen(name) + 1;
    const unsigned base = StartsWith(p, "0x") ? 16 : 10;
    if (base == 16) p += 2;
    std::uint64_t value = 0;
    for (;; ++p) {
      const char lower = static_cast<char>(*p | 0x20);
      if (*p >= '0' && *p <= '9') {
        value = value * base + static_cast<std::uint64_t>(*p - '0');
      } else if (base == 16 && lower >= 'a' && lower <= 'f') {
        value = value * base + static_cast<std::uint64_t>(lower - 'a' + 10);
      } else {
        return value;
      }
    }
  }
  return otherwise;
}

bool HasArgument(const char* word) {
  const std::size_t size = std::strlen(word);
  for (const char* p = TheMachine().arguments; *p != '\0'; ++p) {
    if (p != TheMachine().arguments && p[-1] != ' ') continue;
    if (StartsWith(p, word) && (p[size] == ' ' || p[size] == '\0')) return true;
  }
  return false;
}

}  // namespace guest
