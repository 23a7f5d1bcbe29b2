// SPDX-License-Identifier: BSD-3-Clause
#include "base/result.h"

#include <cerrno>
#include <cstring>

namespace vtee {

Error ErrnoError(int err, std::string_view what) {
  ErrorCode code = ErrorCode::kSystem;
  if (err == EACCES || err == EPERM) code = ErrorCode::kPermissionDenied;
  if (err == ENOENT || err == ENXIO || err == ENODEV) code = ErrorCode::kNotFound;
  if (err == ENOMEM || err == EMFILE || err == ENFILE) code = ErrorCode::kResourceExhausted;
  char buffer[128];
  std::string message(what);
  message += ": ";
  message += strerror_r(err, buffer, sizeof buffer);  // GNU form: returns the text
  return Error{code, std::move(message)};
}

}  // namespace vtee
