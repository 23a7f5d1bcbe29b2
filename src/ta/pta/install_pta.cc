// SPDX-License-Identifier: BSD-3-Clause
#include "ta/pta/install_pta.h"

#include <vector>

#include "ta/core/guest_ta.h"
#include "ta/core/tee_core.h"

namespace vtee::ta {

namespace code = tee::code;

// memref in: the signed file.
std::uint32_t InstallPta::Invoke(Call&, TaInstance*, std::uint32_t, std::uint32_t command,
                                 EntryParams& params) {
  constexpr std::uint32_t kBootstrap = 0;
  if (command != kBootstrap) return code::kNotSupported;
  const EntryParam& in = params[0];
  if (ParamTypes(params) != 0x0005 || in.memory == nullptr) return code::kBadParameters;
  if (in.size > kMostTaFile) return code::kSecurity;
  // Copied before it is verified: the guest may change it meanwhile.
  std::vector<std::byte> file(in.size);
  if (!in.memory->Read(in.offset, file)) return code::kBadParameters;
  return core_.files().Install(file);
}

}  // namespace vtee::ta
