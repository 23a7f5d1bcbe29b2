// SPDX-License-Identifier: BSD-3-Clause
// The device enumeration pseudo-TA: which TAs stand for devices of the guest's, by their flags
// (optee_os core/pta/device.c, lib/libutee/include/pta_device.h). Beside pseudo-TAs, only TAs in
// folders of the host are known before the guest asks for them.
//
// Threading: PseudoTa's.
#pragma once

#include "ta/core/pseudo_ta.h"

namespace vtee::ta {

inline constexpr tee::Uuid kDevicePta{{0x70, 0x11, 0xa6, 0x88, 0xdd, 0xde, 0x40, 0x53, 0xa5, 0xa9,
                                       0x7b, 0x3c, 0x4d, 0xdf, 0x13, 0xb8}};

class TeeCore;

class DevicePta : public PseudoTa {
 public:
  explicit DevicePta(TeeCore& core) : core_(core) {}
  std::uint32_t Invoke(Call& call, TaInstance* caller, std::uint32_t session, std::uint32_t command,
                       EntryParams& params) override;

 private:
  TeeCore& core_;
};

}  // namespace vtee::ta
