// SPDX-License-Identifier: BSD-3-Clause
// TeeDevice: every system call that the host backend makes on a TEE device, so that tests can
// stand in for the kernel.
//
// Threading: all methods, any thread, concurrently. Ownership: the device file closes with the
// object; descriptors that Ioctl() returned belong to the caller, who gives them to Close().
#pragma once

#include <cstddef>
#include <memory>
#include <string>

#include "base/result.h"

namespace vtee::backend {

class TeeDevice {
 public:
  virtual ~TeeDevice() = default;
  // >= 0: ioctl(2)'s result. < 0: -errno.
  virtual int Ioctl(unsigned long request, void* argument) = 0;
  // Maps the memory of a TEE_IOC_SHM_ALLOC descriptor; fd -1: fresh private memory instead.
  // Null: it cannot be mapped.
  virtual void* MapBuffer(int fd, std::size_t size) = 0;
  virtual void UnmapBuffer(void* address, std::size_t size) = 0;
  virtual void Close(int fd) = 0;
};

// Opens e.g. /dev/tee0. The error's sentence names the remedy.
Result<std::unique_ptr<TeeDevice>> OpenTeeDevice(const std::string& path);

// The sentence for a failed open(2) of `path`; apart for tests.
Error OpenTeeDeviceError(int err, const std::string& path);

// The TEE's version from sysfs (Linux 6.19 and later: Documentation/ABI/testing/sysfs-class-tee).
// For people only; false when the kernel does not tell.
bool ReadOsRevision(const std::string& sysfs, const std::string& device, std::uint32_t& major_out,
                    std::uint32_t& minor_out);
// Finds the first "<digits>.<digits>" in `text`.
bool ParseOsRevision(const std::string& text, std::uint32_t& major_out, std::uint32_t& minor_out);

}  // namespace vtee::backend
