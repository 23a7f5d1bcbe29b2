// SPDX-License-Identifier: BSD-3-Clause
// The properties that this TEE has of the TEE itself, of the client and of the TA (GlobalPlatform
// TEE Internal Core API 1.3.1, 4.4 to 4.7; optee_os core/tee/tee_svc.c). The others of a TA are in
// the TA. The thread of the call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace vtee::ta {

class TaInstance;

// enum user_ta_prop_type
enum class PropertyType : std::uint32_t {
  kBool = 0,
  kU32 = 1,
  kUuid = 2,
  kIdentity = 3,
  kString = 4,
  kBinary = 5,
  kU64 = 6,
};

struct Property {
  std::string_view name;
  PropertyType type = PropertyType::kBool;
  std::vector<std::byte> value;  // as the TA has it in memory; strings with their NUL
};

// TEE_PROPSET_*, as 32-bit numbers.
inline constexpr std::uint32_t kPropertiesOfTee = 0xFFFFFFFD;
inline constexpr std::uint32_t kPropertiesOfClient = 0xFFFFFFFE;
inline constexpr std::uint32_t kPropertiesOfTa = 0xFFFFFFFF;

std::optional<Property> GetProperty(const TaInstance& ta, std::uint32_t set, std::uint64_t index);
std::optional<std::uint32_t> PropertyIndex(std::uint32_t set, std::string_view name);

}  // namespace vtee::ta
