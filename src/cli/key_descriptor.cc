// SPDX-License-Identifier: BSD-3-Clause
#include "cli/key_descriptor.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/file_bytes.h"
#include "base/unique_fd.h"

namespace vtee::cli {
namespace {

constexpr std::string_view kSetting = ",state_key_fd=";
// More than a key has, so that vteed sees it and says so.
constexpr std::size_t kMostBytes = 64;

std::optional<int> NumberIn(const std::string& backend) {
  const std::size_t at = backend.find(kSetting);
  if (at == std::string::npos || !backend.starts_with("user,")) return std::nullopt;
  const char* start = backend.data() + at + kSetting.size();
  const char* end = backend.data() + backend.size();
  int number = 0;
  const auto [stop, wrong] = std::from_chars(start, end, number);
  if (wrong != std::errc() || number <= STDERR_FILENO) return std::nullopt;
  return number;
}

}  // namespace

Result<std::optional<int>> TakeKeyDescriptor(const std::string& backend) {
  const auto number = NumberIn(backend);
  if (!number) return std::optional<int>();
  const std::string name = "state_key_fd=" + std::to_string(*number);
  // In vtee run it is of no use to anybody else, the VMM above all.
  if (::fcntl(*number, F_SETFD, FD_CLOEXEC) != 0) {
    return Error{ErrorCode::kInvalidArgument,
                 name + ": there is no such descriptor; open the key for vtee, as in " +
                     std::to_string(*number) + "<FILE"};
  }
  std::array<std::byte, kMostBytes> bytes{};
  const auto size = ReadFully(*number, bytes);
  const int read_error = errno;
  const UniqueFd copy(::memfd_create("vtee-state-key", MFD_CLOEXEC));
  const bool kept = size && copy && WriteFully(copy.get(), std::span(bytes).first(*size));
  const int error = size ? errno : read_error;
  ::explicit_bzero(bytes.data(), bytes.size());
  if (!kept || ::dup3(copy.get(), *number, O_CLOEXEC) < 0) {
    return ErrnoError(kept ? errno : error, name + ": the key cannot be read");
  }
  return number;
}

}  // namespace vtee::cli
