// SPDX-License-Identifier: BSD-3-Clause
// The SCMI pseudo-TA, by which Linux' "linaro,scmi-optee" transport sends its messages (optee_os
// core/pta/scmi.c, core/drivers/scmi-msg/, lib/libutee/include/pta_scmi_client.h). For the guest's
// kernel only. There is one channel, 0. What is answered, scmi_server.h says.
//
// Messages come in a buffer of each call, with an MSG header or an SMT one. NOT_SUPPORTED: SMT
// buffers at a fixed place that both sides know without being told (OP-TEE's static ones).
// Threading: PseudoTa's; it keeps nothing between calls.
#pragma once

#include <cstdint>

#include "ta/core/pseudo_ta.h"

namespace vtee::ta {

inline constexpr tee::Uuid kScmiPta{{0xa8, 0xcf, 0xe4, 0x06, 0xd4, 0xf5, 0x4a, 0x2e, 0x9f, 0x8d,
                                     0xa2, 0x5d, 0xc7, 0x54, 0xc0, 0x99}};

class ScmiPta : public PseudoTa {
 public:
  bool is_device() const override { return true; }
  std::uint32_t Open(Call& call, TaInstance* caller, const ClientIdentity& client,
                     EntryParams& params) override;
  std::uint32_t Invoke(Call& call, TaInstance* caller, std::uint32_t session, std::uint32_t command,
                       EntryParams& params) override;
};

}  // namespace vtee::ta
