// SPDX-License-Identifier: BSD-3-Clause
// The few containers and locks that the VMM side needs, without the C++ runtime library.
//
// Code under src/vmm runs inside other people's VMMs, as a preloaded library or linked into a C
// program. It therefore uses nothing that needs libstdc++ at run time: no exceptions, no
// std::string, no std::vector, no operator new. Headers of the standard library that compile to
// plain code (atomic, cstdint, span) are fine.
//
// Threading: Mutex as any mutex; the rest as plain values. Not supported: elements that are not
// trivially copyable.
#pragma once

#include <pthread.h>

#include <cstdarg>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <type_traits>

namespace vtee::vmm {

class Mutex {
 public:
  constexpr Mutex() = default;
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;
  void Lock() { pthread_mutex_lock(&mutex_); }
  void Unlock() { pthread_mutex_unlock(&mutex_); }
  // For the child of a fork only, where the thread that held the lock does not exist.
  void Reinitialize() { mutex_ = PTHREAD_MUTEX_INITIALIZER; }

 private:
  pthread_mutex_t mutex_ = PTHREAD_MUTEX_INITIALIZER;
};

class MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) : mutex_(mutex) { mutex_.Lock(); }
  ~MutexLock() { mutex_.Unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// A growable array of plain values. Push() says whether there was memory.
template <typename T>
class PodArray {
  static_assert(std::is_trivially_copyable_v<T>);

 public:
  PodArray() = default;
  PodArray(const PodArray&) = delete;
  PodArray& operator=(const PodArray&) = delete;
  ~PodArray() { std::free(data_); }

  [[nodiscard]] bool Push(const T& value) {
    if (size_ == capacity_) {
      const std::size_t wanted = capacity_ == 0 ? 16 : capacity_ * 2;
      void* grown = std::realloc(static_cast<void*>(data_), wanted * sizeof(T));
      if (grown == nullptr) return false;
      data_ = static_cast<T*>(grown);
      capacity_ = wanted;
    }
    data_[size_++] = value;
    return true;
  }
  // Order is not kept.
  void RemoveAt(std::size_t index) { data_[index] = data_[--size_]; }
  void Clear() { size_ = 0; }

  std::size_t size() const { return size_; }
  T& operator[](std::size_t index) { return data_[index]; }
  const T& operator[](std::size_t index) const { return data_[index]; }
  T* begin() { return data_; }
  T* end() { return data_ + size_; }
  const T* begin() const { return data_; }
  const T* end() const { return data_ + size_; }

 private:
  T* data_ = nullptr;
  std::size_t size_ = 0;
  std::size_t capacity_ = 0;
};

// One sentence for a person.
struct Text {
  char bytes[512] = {};

  __attribute__((format(printf, 2, 3))) void Format(const char* format, ...) {
    va_list args;
    va_start(args, format);
    std::vsnprintf(bytes, sizeof bytes, format, args);
    va_end(args);
  }
  bool empty() const { return bytes[0] == '\0'; }
};

// Where sentences for the person go. `write` gets one sentence without a newline.
struct MessageSink {
  void (*write)(void* context, const char* sentence) = nullptr;
  void* context = nullptr;

  void Say(const char* sentence) const;  // to stderr as "vtee: <sentence>" when write is null
};

}  // namespace vtee::vmm
