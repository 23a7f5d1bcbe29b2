// SPDX-License-Identifier: BSD-3-Clause
#include "ta/syscall/properties.h"

#include <array>
#include <cstring>
#include <span>

#include "ta/core/ta_instance.h"
#include "ta/loader/tee_uuid.h"

namespace vtee::ta {
namespace {

using Bytes = std::vector<std::byte>;

template <typename T>
Bytes Object(const T& object) {
  const auto bytes = std::as_bytes(std::span(&object, 1));
  return {bytes.begin(), bytes.end()};
}
Bytes Text(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  Bytes out(bytes.begin(), bytes.end());
  out.push_back(std::byte{0});
  return out;
}
Bytes Number(std::uint32_t number) { return Object(number); }
Bytes Yes() { return {std::byte{1}}; }

// TEE_Identity
struct Identity {
  std::uint32_t login;
  TeeUuid uuid;
};
static_assert(sizeof(Identity) == 20);

constexpr std::uint32_t kProtectedByRee = 100;  // a protection level

using Make = Bytes (*)(const TaInstance&);
struct Entry {
  std::string_view name;
  PropertyType type;
  Make make;
};

constexpr Entry kTee[] = {
    {"gpd.tee.apiversion", PropertyType::kString,
     [](const TaInstance&) { return Text("GPD-1.1-dev"); }},
    {"gpd.tee.description", PropertyType::kString,
     [](const TaInstance&) { return Text("vtee: TAs in sandboxed processes"); }},
    {"gpd.tee.deviceID", PropertyType::kUuid,
     [](const TaInstance& ta) { return Object(ToTeeUuid(ta.device_id())); }},
    {"gpd.tee.systemTime.protectionLevel", PropertyType::kU32,
     [](const TaInstance&) { return Number(kProtectedByRee); }},
    {"gpd.tee.TAPersistentTime.protectionLevel", PropertyType::kU32,
     [](const TaInstance&) { return Number(kProtectedByRee); }},
    {"gpd.tee.cryptography.ecc", PropertyType::kBool, [](const TaInstance&) { return Yes(); }},
    {"gpd.tee.trustedStorage.antiRollback.protectionLevel", PropertyType::kU32,
     [](const TaInstance&) { return Number(kProtectedByRee); }},
    {"gpd.tee.trustedos.implementation.version", PropertyType::kString,
     [](const TaInstance&) { return Text(VTEE_VERSION); }},
    {"gpd.tee.trustedos.implementation.binaryversion", PropertyType::kU32,
     [](const TaInstance&) { return Number(0); }},
    {"gpd.tee.trustedos.manufacturer", PropertyType::kString,
     [](const TaInstance&) { return Text("vtee"); }},
    {"gpd.tee.firmware.implementation.version", PropertyType::kString,
     [](const TaInstance&) { return Text("none"); }},
    {"gpd.tee.firmware.implementation.binaryversion", PropertyType::kU32,
     [](const TaInstance&) { return Number(0); }},
    {"gpd.tee.firmware.manufacturer", PropertyType::kString,
     [](const TaInstance&) { return Text("none"); }},
};
constexpr Entry kClient[] = {
    {"gpd.client.identity", PropertyType::kIdentity,
     [](const TaInstance& ta) {
       return Object(Identity{ta.client().login, ToTeeUuid(ta.client().uuid)});
     }},
    {"gpd.client.endian", PropertyType::kU32, [](const TaInstance&) { return Number(0); }},
};
constexpr Entry kTa[] = {
    {"gpd.ta.appID", PropertyType::kUuid,
     [](const TaInstance& ta) { return Object(ToTeeUuid(ta.uuid())); }},
};

std::span<const Entry> Entries(std::uint32_t set) {
  switch (set) {
    case kPropertiesOfTee:
      return kTee;
    case kPropertiesOfClient:
      return kClient;
    case kPropertiesOfTa:
      return kTa;
    default:
      return {};
  }
}

}  // namespace

std::optional<Property> GetProperty(const TaInstance& ta, std::uint32_t set, std::uint64_t index) {
  const auto entries = Entries(set);
  if (index >= entries.size()) return std::nullopt;
  const Entry& entry = entries[index];
  return Property{entry.name, entry.type, entry.make(ta)};
}

std::optional<std::uint32_t> PropertyIndex(std::uint32_t set, std::string_view name) {
  const auto entries = Entries(set);
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (entries[i].name == name) return static_cast<std::uint32_t>(i);
  }
  return std::nullopt;
}

}  // namespace vtee::ta
