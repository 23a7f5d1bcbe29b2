// SPDX-License-Identifier: BSD-3-Clause
// The system pseudo-TA, for TAs only: memory of their own, libraries at run time, unique keys.
//
// After optee_os lib/libutee/include/pta_system.h and core/pta/system.c. Threading: PseudoTa's.
#pragma once

#include "ta/core/pseudo_ta.h"

namespace vtee::ta {

inline constexpr tee::Uuid kSystemPta{{0x3a, 0x2f, 0x89, 0x78, 0x5d, 0xc0, 0x11, 0xe8, 0x9c, 0x2d,
                                       0xfa, 0x7a, 0xe0, 0x1b, 0xbe, 0xbc}};

class SystemPta : public PseudoTa {
 public:
  std::uint32_t Open(Call& call, TaInstance* caller, const ClientIdentity& client,
                     EntryParams& params) override;
  std::uint32_t Invoke(Call& call, TaInstance* caller, std::uint32_t session, std::uint32_t command,
                       EntryParams& params) override;
};

}  // namespace vtee::ta
