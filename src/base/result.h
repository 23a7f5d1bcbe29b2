// SPDX-License-Identifier: BSD-3-Clause
// Failure as a value: Status and Result<T>.
//
// An Error carries a class that code can act on and a sentence for a person that says what to do.
// Errors that a guest causes on the call path never use this type (a message costs an allocation):
// those paths return small enums instead, see guest/guest_memory.h.
//
// Threading: values; share them as you would any value. Exceptions never cross a module.
// Not supported: references (Result<T&>), nesting of errors.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace vtee {

enum class ErrorCode {
  kInvalidArgument,    // the caller's or the person's mistake; retrying cannot help
  kNotFound,           // a file, device or object that should be there is not
  kPermissionDenied,   // the process lacks a right
  kUnsupported,        // this kernel, machine or peer cannot do it
  kResourceExhausted,  // memory, descriptors, a quota
  kUnavailable,        // the peer is gone or not ready
  kProtocol,           // the peer broke the protocol
  kSystem,             // a system call failed; the message holds errno's text
};

struct Error {
  ErrorCode code;
  std::string message;
};

// Builds a kSystem (or EACCES/EPERM: kPermissionDenied, ENOENT: kNotFound) error:
// "<what>: <strerror(err)>".
Error ErrnoError(int err, std::string_view what);

class [[nodiscard]] Status {
 public:
  Status() = default;
  Status(Error error) : error_(new Error(std::move(error))) {}  // NOLINT: implicit by design
  Status(Status&& other) noexcept : error_(std::exchange(other.error_, nullptr)) {}
  Status& operator=(Status&& other) noexcept {
    std::swap(error_, other.error_);
    return *this;
  }
  Status(const Status&) = delete;
  Status& operator=(const Status&) = delete;
  ~Status() { delete error_; }

  bool ok() const { return error_ == nullptr; }
  const Error& error() const { return *error_; }

 private:
  Error* error_ = nullptr;
};

template <typename T>
class [[nodiscard]] Result {
 public:
  Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT
  Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  T* operator->() { return &std::get<0>(state_); }
  const T* operator->() const { return &std::get<0>(state_); }
  T& operator*() & { return std::get<0>(state_); }
  const T& operator*() const& { return std::get<0>(state_); }
  const Error& error() const { return std::get<1>(state_); }

 private:
  std::variant<T, Error> state_;
};

}  // namespace vtee

#define VTEE_CONCAT_(a, b) a##b
#define VTEE_CONCAT(a, b) VTEE_CONCAT_(a, b)

// Returns the error of a failed Status or Result expression from the enclosing function.
#define VTEE_TRY(expr)                                            \
  do {                                                            \
    auto vtee_try_ = (expr);                                      \
    if (!vtee_try_.ok()) return ::vtee::Error(vtee_try_.error()); \
  } while (false)

// VTEE_ASSIGN_OR_RETURN(auto fd, OpenThing()): the value, or returns the error.
#define VTEE_ASSIGN_OR_RETURN(decl, expr) \
  VTEE_ASSIGN_OR_RETURN_(VTEE_CONCAT(vtee_result_, __LINE__), decl, expr)
#define VTEE_ASSIGN_OR_RETURN_(tmp, decl, expr)     \
  auto tmp = (expr);                                \
  if (!tmp.ok()) return ::vtee::Error(tmp.error()); \
  decl = std::move(tmp).value()
