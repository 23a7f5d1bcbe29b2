// SPDX-License-Identifier: BSD-3-Clause
#include "ta/pta/device_pta.h"

#include <vector>

#include "ta/core/tee_core.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

// Before the supplicant runs, after that, and when there is secure storage in RPMB.
enum Command : std::uint32_t { kGetDevices = 0, kGetDevicesSupplicant = 1, kGetDevicesRpmb = 2 };

std::uint32_t FlagOf(std::uint32_t command) {
  switch (command) {
    case kGetDevices:
      return 1u << 9;  // TA_FLAG_DEVICE_ENUM
    case kGetDevicesSupplicant:
      return 1u << 10;  // TA_FLAG_DEVICE_ENUM_SUPP
    case kGetDevicesRpmb:
      return 1u << 12;  // TA_FLAG_DEVICE_ENUM_TEE_STORAGE_PRIVATE
    default:
      return 0;
  }
}

}  // namespace

// memref out: UUIDs as octets, one after the other.
std::uint32_t DevicePta::Invoke(Call&, TaInstance*, std::uint32_t, std::uint32_t command,
                                EntryParams& params) {
  const std::uint32_t flag = FlagOf(command);
  if (flag == 0) return code::kNotImplemented;
  EntryParam& out = params[0];
  if (ParamTypes(params) != 0x0006) return code::kBadParameters;
  std::vector<tee::Uuid> found = core_.files().InFoldersWith(flag);
  if (command == kGetDevices) {
    const std::vector<tee::Uuid> own = core_.PseudoDevices();
    found.insert(found.end(), own.begin(), own.end());
  }
  const std::uint64_t size = found.size() * sizeof(tee::Uuid);
  const std::uint64_t room = out.memory == nullptr ? 0 : out.size;
  out.size = size;
  if (room < size) return code::kShortBuffer;
  if (size != 0 && !out.memory->Write(out.offset, std::as_bytes(std::span(found)))) {
    return code::kAccessDenied;
  }
  return code::kSuccess;
}

}  // namespace vtee::ta
