// SPDX-License-Identifier: BSD-3-Clause
#include "backend/host/tee_device.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <fstream>
#include <iterator>

#include "base/unique_fd.h"

namespace vtee::backend {
namespace {

class LinuxTeeDevice final : public TeeDevice {
 public:
  explicit LinuxTeeDevice(UniqueFd fd) : fd_(std::move(fd)) {}

  int Ioctl(unsigned long request, void* argument) override {
    const int result = ::ioctl(fd_.get(), request, argument);
    return result >= 0 ? result : -errno;
  }

  void* MapBuffer(int fd, std::size_t size) override {
    const int flags = fd >= 0 ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS;
    void* address = ::mmap(nullptr, size, PROT_READ | PROT_WRITE, flags, fd, 0);
    return address == MAP_FAILED ? nullptr : address;
  }

  void UnmapBuffer(void* address, std::size_t size) override { ::munmap(address, size); }
  void Close(int fd) override { ::close(fd); }

 private:
  UniqueFd fd_;
};

}  // namespace

Error OpenTeeDeviceError(int err, const std::string& path) {
  Error error = ErrnoError(err, path);
  switch (err) {
    case EACCES:
    case EPERM:
      error.message +=
          "; run vteed as a user in the group that owns the device (see: ls -l " + path +
          "), or let a udev rule give that group access. A sandbox (SELinux, a container's device "
          "list, systemd DeviceAllow=) can also be what denies it";
      break;
    case ENOENT:
    case ENXIO:
    case ENODEV:
      error.message +=
          "; this host offers no TEE there. Is there firmware with OP-TEE, is the driver loaded "
          "(modprobe optee; dmesg | grep -i optee), is it another number (ls /dev/tee*)? "
          "Without a host TEE choose another backend";
      break;
    case EBUSY:
      error.message +=
          "; another process holds the device alone. If this is a /dev/teepriv* device, that is "
          "tee-supplicant's: use the /dev/tee* device of the same number";
      break;
    case EMFILE:
    case ENFILE:
      error.message += "; raise the limit on open files (LimitNOFILE=, ulimit -n)";
      break;
    default:
      break;
  }
  return error;
}

Result<std::unique_ptr<TeeDevice>> OpenTeeDevice(const std::string& path) {
  UniqueFd fd;
  do {
    fd.Reset(::open(path.c_str(), O_RDWR | O_CLOEXEC));
  } while (!fd && errno == EINTR);
  if (!fd) return OpenTeeDeviceError(errno, path);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0) return OpenTeeDeviceError(errno, path);
  if (!S_ISCHR(status.st_mode)) {
    return Error{ErrorCode::kInvalidArgument,
                 path + ": not a device; name a TEE device such as /dev/tee0"};
  }
  return std::unique_ptr<TeeDevice>(std::make_unique<LinuxTeeDevice>(std::move(fd)));
}

bool ParseOsRevision(const std::string& text, std::uint32_t& major_out, std::uint32_t& minor_out) {
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  const char* const end = text.data() + text.size();
  for (const char* at = text.data(); at != end; ++at) {
    if (!is_digit(*at)) continue;
    std::uint32_t first = 0;
    std::uint32_t second = 0;
    const auto [dot, first_error] = std::from_chars(at, end, first);
    if (first_error == std::errc{} && dot != end && *dot == '.') {
      const auto [rest, second_error] = std::from_chars(dot + 1, end, second);
      if (second_error == std::errc{} && rest != dot + 1) {
        major_out = first;
        minor_out = second;
        return true;
      }
    }
    at = dot == end ? end - 1 : dot;  // past this number
  }
  return false;
}

bool ReadOsRevision(const std::string& sysfs, const std::string& device, std::uint32_t& major_out,
                    std::uint32_t& minor_out) {
  struct stat status {};
  if (::stat(device.c_str(), &status) != 0 || !S_ISCHR(status.st_mode)) return false;
  const std::string folder = sysfs + "/dev/char/" + std::to_string(major(status.st_rdev)) + ":" +
                             std::to_string(minor(status.st_rdev)) + "/";
  for (const char* name : {"revision", "tee_revision"}) {
    std::ifstream file(folder + name);
    if (!file) continue;
    std::string text;
    std::getline(file, text);
    if (ParseOsRevision(text, major_out, minor_out)) return true;
  }
  return false;
}

}  // namespace vtee::backend
