// SPDX-License-Identifier: BSD-3-Clause
#include "backend/host/host_errors.h"

#include <cerrno>

#include "backend/host/tee_uapi.h"

namespace vtee::backend {

tee::Outcome OutcomeFromErrno(int err) {
  std::uint32_t code = tee::code::kCommunication;
  switch (err) {
    case ENOMEM:
    case ENOSPC:
      code = tee::code::kOutOfMemory;
      break;
    case EACCES:
    case EPERM:
      code = tee::code::kAccessDenied;
      break;
    case EINVAL:
    case E2BIG:
      code = tee::code::kBadParameters;
      break;
    case EBUSY:
    case EAGAIN:
      code = tee::code::kBusy;
      break;
    case ENOTTY:
    case ENOSYS:
    case EOPNOTSUPP:
    case kKernelNotSupported:
      code = tee::code::kNotSupported;
      break;
    default:  // EIO, ENODEV, ETIMEDOUT, EINTR, EFAULT, ...: the TEE was not reached, or is gone
      break;
  }
  return {code, tee::Origin::kComms};
}

int IoctlRetrying(TeeDevice& device, unsigned long request, void* argument) {
  for (;;) {
    const int result = device.Ioctl(request, argument);
    if (result != -EINTR) return result;
  }
}

}  // namespace vtee::backend
