// SPDX-License-Identifier: BSD-3-Clause
#include "ta/core/entry_params.h"

namespace vtee::ta {

std::uint32_t ParamTypes(const EntryParams& params) {
  std::uint32_t types = 0;
  for (std::size_t i = 0; i < params.size(); ++i) {
    if (params[i].kind == EntryParam::Kind::kNone) continue;
    std::uint32_t type = static_cast<std::uint32_t>(params[i].direction);
    if (params[i].is_memory()) type += 4;
    types |= type << (4 * i);
  }
  return types;
}

bool SetParamTypes(std::uint64_t types, EntryParams& params) {
  if ((types >> (4 * kParams)) != 0) return false;
  for (std::size_t i = 0; i < params.size(); ++i) {
    const auto type = static_cast<std::uint32_t>(types >> (4 * i)) & 0xF;
    params[i] = EntryParam{};
    if (type == 0) continue;
    if (type == 4 || type > 7) return false;
    params[i].kind = type > 4 ? EntryParam::Kind::kMemory : EntryParam::Kind::kValue;
    params[i].direction = static_cast<tee::Direction>(type & 3);
  }
  return true;
}

}  // namespace vtee::ta
