// SPDX-License-Identifier: BSD-3-Clause
// Text and memory functions for guests that have no C library.
// Threading: any. Not supported: what Print() of machine.h does not name.
#pragma once

#include <cstdarg>
#include <cstddef>
#include <cstdint>

extern "C" {
void* memcpy(void* to, const void* from, std::size_t size);
void* memmove(void* to, const void* from, std::size_t size);
void* memset(void* to, int value, std::size_t size);
int memcmp(const void* a, const void* b, std::size_t size);
std::size_t strlen(const char* text);
}

namespace std {
using ::memcmp;
using ::memcpy;
using ::memmove;
using ::memset;
using ::strlen;
}  // namespace std

namespace guest {

// Fills `out` with at most `size` bytes, the terminating zero among them.
void Format(char* out, std::size_t size, const char* format, va_list values);

bool Equal(const char* a, const char* b);
bool StartsWith(const char* text, const char* start);

}  // namespace guest
