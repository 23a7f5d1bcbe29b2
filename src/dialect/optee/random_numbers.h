// SPDX-License-Identifier: BSD-3-Clause
// The hwrng PTA, from the host kernel's generator, for TEEs that have none to offer.
//
// Debian's OP-TEE builds leave the PTA out, and a guest without an entropy source of its own boots
// slowly and waits for randomness; as with virtio-rng, the host has plenty. Source: optee_os
// lib/libutee/include/pta_rng.h, Linux drivers/char/hw_random/optee-rng.c.
#pragma once

#include "dialect/optee/internal_application.h"

namespace vtee::optee {

inline constexpr tee::Uuid kRngPta{{0xab, 0x7a, 0x61, 0x7c, 0xb8, 0xe7, 0x4d, 0x8f, 0x83, 0x01,
                                    0xd0, 0x9b, 0x61, 0x03, 0x6b, 0x64}};

class DeviceEnumeration;

class RandomNumbers final : public InternalApplication {
 public:
  explicit RandomNumbers(DeviceEnumeration& enumeration) : enumeration_(enumeration) {}

  bool Answers(tee::CallContext& context) override;
  tee::Outcome Invoke(tee::CallContext& context, std::uint32_t command, TaParams& params) override;

 private:
  DeviceEnumeration& enumeration_;
};

}  // namespace vtee::optee
