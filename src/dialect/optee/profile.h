// SPDX-License-Identifier: BSD-3-Clause
// Profile: which part of the OP-TEE SMC ABI a VM's guest is offered.
//
// Guests' drivers implement different parts of it, and a guest is better off with a TEE that offers
// no more than it can answer. The table was made from the drivers' sources: Linux
// drivers/tee/optee/smc_abi.c, U-Boot drivers/tee/optee/core.c, Zephyr drivers/tee/optee/optee.c,
// EDK2 ArmPkg/Library/OpteeLib/Optee.c. docs/optee-abi.md has it in prose. All of them come back
// from a foreign-interrupt return at once with a3 untouched, so any call may be parked that way.
// Threading: constants and plain values. Not supported: one guest with several profiles.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>

#include "base/checked.h"

namespace vtee::optee {

struct Profile {
  std::string_view name;
  // All memory that guest and TEE share is one window, told by GET_SHM_CONFIG, and references are
  // addresses inside it. False: any page of the guest's RAM, by registering it.
  bool window = false;
  // A call brings the room for RPC messages: CALL_WITH_RPC_ARG, CALL_WITH_REGD_ARG.
  bool rpc_arg = false;
  // The guest has a handler for the notification interrupt, so a parked call may sleep on it.
  bool notifications = false;
  // The guest answers RPC returns other than the foreign interrupt. False: what the TEE would ask
  // the guest is refused, and the call completes with what the TEE makes of that.
  bool upcalls = false;
};

// The first one is the default.
inline constexpr std::array<Profile, 5> kProfiles = {{
    {.name = "linux", .rpc_arg = true, .notifications = true, .upcalls = true},
    {.name = "linux-no-rpc-arg", .notifications = true, .upcalls = true},
    {.name = "static", .window = true, .rpc_arg = true, .notifications = true, .upcalls = true},
    {.name = "u-boot", .upcalls = true},
    {.name = "edk2", .window = true},
}};

// Null: there is no such profile.
constexpr const Profile* FindProfile(std::string_view name) {
  const auto* found = std::find_if(kProfiles.begin(), kProfiles.end(),
                                   [&](const Profile& profile) { return profile.name == name; });
  return found == kProfiles.end() ? nullptr : found;
}

// The shared-memory window of profiles that have one: a range of guest-physical addresses.
struct StaticWindow {
  std::uint64_t base = 0;
  std::uint64_t size = 0;  // 0: no window

  constexpr bool Contains(std::uint64_t address, std::uint64_t bytes) const {
    return address >= base && RangeInside(address - base, bytes, size);
  }
};

// What a dialect object is made for.
struct GuestSetup {
  const Profile* profile = kProfiles.data();
  StaticWindow window;

  // May contiguous memory that the guest names by its address be here? Whether there is memory at
  // all is for the memory to say.
  constexpr bool MayLie(std::uint64_t address, std::uint64_t bytes) const {
    return !profile->window || window.Contains(address, bytes);
  }
};

}  // namespace vtee::optee
