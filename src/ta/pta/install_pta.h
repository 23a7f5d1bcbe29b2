// SPDX-License-Identifier: BSD-3-Clause
// The pseudo-TA that installs TAs into secure storage, where they are found before the guest is
// asked (optee_os core/pta/secstor_ta_mgmt.c, lib/libutee/include/pta_secstor_ta_mgmt.h; xtest
// --install-ta). Bootstrap files only, as with OP-TEE: SECURITY for anything else.
//
// Threading: PseudoTa's.
#pragma once

#include "ta/core/pseudo_ta.h"

namespace vtee::ta {

inline constexpr tee::Uuid kInstallPta{{0x6e, 0x25, 0x6c, 0xba, 0xfc, 0x4d, 0x49, 0x41, 0xad, 0x09,
                                        0x2c, 0xa1, 0x86, 0x03, 0x42, 0xdd}};

class TeeCore;

class InstallPta : public PseudoTa {
 public:
  explicit InstallPta(TeeCore& core) : core_(core) {}
  std::uint32_t Invoke(Call& call, TaInstance* caller, std::uint32_t session, std::uint32_t command,
                       EntryParams& params) override;

 private:
  TeeCore& core_;
};

}  // namespace vtee::ta
