// SPDX-License-Identifier: BSD-3-Clause
// Values that all session TEEs share, after the GlobalPlatform TEE Client API 1.0 (GPD_SPE_007)
// and Linux include/uapi/linux/tee.h.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

namespace vtee::tee {

// RFC 4122 octets in network order, as the OP-TEE message ABI carries them.
struct Uuid {
  std::array<std::uint8_t, 16> octets{};
  friend auto operator<=>(const Uuid&, const Uuid&) = default;
};
std::string ToString(const Uuid& uuid);  // 8-4-4-4-12, lower case
// The reverse, either case; false when `text` is anything else.
bool ParseUuid(std::string_view text, Uuid& uuid);

enum class Login : std::uint32_t {
  kPublic = 0,
  kUser = 1,
  kGroup = 2,
  kApplication = 4,
  kUserApplication = 5,
  kGroupApplication = 6,
  kReeKernel = 0x80000000,
};

// Where a return code was made (TEEC_ORIGIN_*).
enum class Origin : std::uint32_t { kApi = 1, kComms = 2, kTee = 3, kTrustedApp = 4 };

// TEEC_* / TEE_ERROR_* codes vtee itself produces; any other value passes through untouched.
namespace code {
inline constexpr std::uint32_t kSuccess = 0;
inline constexpr std::uint32_t kStorageNotAvailable = 0xF0100003;
inline constexpr std::uint32_t kGeneric = 0xFFFF0000;
inline constexpr std::uint32_t kAccessDenied = 0xFFFF0001;
inline constexpr std::uint32_t kCancel = 0xFFFF0002;
inline constexpr std::uint32_t kAccessConflict = 0xFFFF0003;
inline constexpr std::uint32_t kExcessData = 0xFFFF0004;
inline constexpr std::uint32_t kBadFormat = 0xFFFF0005;
inline constexpr std::uint32_t kBadParameters = 0xFFFF0006;
inline constexpr std::uint32_t kBadState = 0xFFFF0007;
inline constexpr std::uint32_t kItemNotFound = 0xFFFF0008;
inline constexpr std::uint32_t kNotImplemented = 0xFFFF0009;
inline constexpr std::uint32_t kNotSupported = 0xFFFF000A;
inline constexpr std::uint32_t kNoData = 0xFFFF000B;
inline constexpr std::uint32_t kOutOfMemory = 0xFFFF000C;
inline constexpr std::uint32_t kBusy = 0xFFFF000D;
inline constexpr std::uint32_t kCommunication = 0xFFFF000E;
inline constexpr std::uint32_t kSecurity = 0xFFFF000F;
inline constexpr std::uint32_t kShortBuffer = 0xFFFF0010;
inline constexpr std::uint32_t kTimeout = 0xFFFF3001;
inline constexpr std::uint32_t kTargetDead = 0xFFFF3024;
inline constexpr std::uint32_t kMacInvalid = 0xFFFF3071;
}  // namespace code

struct Outcome {
  std::uint32_t code = code::kSuccess;
  Origin origin = Origin::kTee;
  bool ok() const { return code == code::kSuccess; }
};

}  // namespace vtee::tee
