// SPDX-License-Identifier: BSD-3-Clause
// The device-enumeration PTA as the guest sees it: what of the TEE's own list works from a VM.
//
// A guest's kernel binds a driver to each UUID on this list (hwrng, SCMI, ...). Behind a backend
// some of them refuse every caller that is not the host's kernel, so vtee asks the backend for
// its list, tries each entry, and answers the guest itself with those that open; and with vtee's
// own hwrng PTA (random_numbers.h) where the backend has none.
// Source: optee_os lib/libutee/include/pta_device.h, Linux drivers/tee/optee/device.c.
// Threading: any thread; the first question of each kind asks the backend.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <optional>
#include <vector>

#include "dialect/optee/internal_application.h"
#include "mediator/policy.h"
#include "tee/session_tee.h"

namespace vtee::optee {

inline constexpr tee::Uuid kDeviceEnumerationPta{{0x70, 0x11, 0xa6, 0x88, 0xdd, 0xde, 0x40, 0x53,
                                                  0xa5, 0xa9, 0x7b, 0x3c, 0x4d, 0xdf, 0x13, 0xb8}};

class DeviceEnumeration final : public InternalApplication {
 public:
  DeviceEnumeration(tee::SessionTee& tee, const mediator::Policy& policy)
      : tee_(tee), policy_(policy) {}

  // Commands of the PTA: those known at boot, and those that need the supplicant.
  static constexpr std::uint32_t kGetDevices = 0;
  static constexpr std::uint32_t kGetDevicesSupplicant = 1;

  // Always this one, if there is a list at all.
  bool Answers(tee::CallContext& context) override;
  tee::Outcome Invoke(tee::CallContext& context, std::uint32_t command, TaParams& params) override;

  // Does vtee's own hwrng PTA stand in, since the backend lists none that opens?
  bool OffersOwnRng(tee::CallContext& context);
  // The list for `command`; nothing when the backend does not know the command.
  std::optional<std::vector<tee::Uuid>> List(tee::CallContext& context, std::uint32_t command);

  // Has the guest's supplicant started? Its kernel then asks for the devices that need one.
  bool supplicant_seen();

  // The guest restarted: ask again.
  void Forget();

 private:
  std::optional<std::vector<tee::Uuid>> FindOut(tee::CallContext& context, std::uint32_t command);
  std::optional<std::vector<tee::Uuid>> AskBackend(tee::CallContext& context,
                                                   std::uint32_t command);
  bool Opens(tee::CallContext& context, const tee::Uuid& application);

  tee::SessionTee& tee_;
  const mediator::Policy& policy_;
  std::mutex mutex_;
  std::array<std::optional<std::vector<tee::Uuid>>, 2> known_;
  bool own_rng_ = false;
  bool supplicant_seen_ = false;
};

}  // namespace vtee::optee
