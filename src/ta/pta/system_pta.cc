// SPDX-License-Identifier: BSD-3-Clause
#include "ta/pta/system_pta.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "base/log.h"
#include "ta/core/ta_instance.h"
#include "ta/core/tee_core.h"
#include "ta/loader/tee_uuid.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

enum Command : std::uint32_t {
  kAddEntropy = 0,
  kDeriveUniqueKey = 1,
  kMapZi = 2,
  kUnmap = 3,
  kOldOpenBinary = 4,  // to kOldRemap: what ldelf once used
  kOldRemap = 9,
  kDlopen = 10,
  kDlsym = 11,
  kTpmEventLog = 12,
  kSupplicantPlugin = 13,
};

bool Is(const EntryParams& params, std::uint32_t types) { return ParamTypes(params) == types; }

std::uint64_t Join(const EntryParam& param) { return param.a << 32 | (param.b & 0xFFFFFFFF); }

// map_zi: value in {size, flags}, value inout {address}, value in {gap before, gap after}.
std::uint32_t MapZi(TaInstance& ta, EntryParams& params) {
  if (!Is(params, 0x0131)) return code::kBadParameters;
  constexpr std::uint64_t kShareable = 1;
  if ((params[0].b & ~kShareable) != 0) return code::kBadParameters;
  std::uint32_t flags = runner::kRegionRead | runner::kRegionWrite;
  if ((params[0].b & kShareable) == 0) flags |= runner::kRegionPrivate;
  // TAs ask for an address of their choice only with ldelf, which is not here.
  if (Join(params[1]) != 0) return code::kBadParameters;
  const auto place = ta.space().AllocateWithGaps(TaSpace::Zone::kAnywhere, params[0].a, params[2].a,
                                                 params[2].b, flags);
  if (!place || !ta.space().Apply()) return code::kOutOfMemory;
  ta.zeroed_memory()[*place] = params[0].a;
  params[1].a = *place >> 32;
  params[1].b = *place & 0xFFFFFFFF;
  return code::kSuccess;
}

// unmap: value in {size, 0}, value in {address}.
std::uint32_t Unmap(TaInstance& ta, const EntryParams& params) {
  if (!Is(params, 0x0011) || params[0].b != 0) return code::kBadParameters;
  const std::uint64_t address = Join(params[1]);
  // Only what map_zi has given: not modules, nor the stack, nor parameters.
  const auto found = ta.zeroed_memory().find(address);
  if (found == ta.zeroed_memory().end() || found->second != params[0].a ||
      !ta.space().Free(address, params[0].a)) {
    return code::kBadParameters;
  }
  ta.zeroed_memory().erase(found);
  return ta.space().Apply() ? code::kSuccess : code::kGeneric;
}

bool ReadUuid(const EntryParam& param, tee::Uuid& uuid) {
  TeeUuid raw{};
  if (param.memory == nullptr || param.size != raw.size() ||
      !param.memory->Read(param.offset, std::as_writable_bytes(std::span(raw)))) {
    return false;
  }
  uuid = FromTeeUuid(raw);
  return true;
}

// dlopen: memref in UUID, value in flags.
std::uint32_t Dlopen(Call& call, TaInstance& ta, const EntryParams& params) {
  constexpr std::uint64_t kNowGlobalNoDelete = 0x1102;
  tee::Uuid uuid;
  if (!Is(params, 0x0015) || !ReadUuid(params[0], uuid)) return code::kBadParameters;
  if (params[1].a != kNowGlobalNoDelete) return code::kNotSupported;
  if (uuid == tee::Uuid{}) return code::kSuccess;
  const auto failure = ta.modules().LoadLibrary(
      uuid, [&](const tee::Uuid& wanted) { return ta.core().files().Fetch(call, wanted); });
  if (failure) {
    LogGuest(LogLevel::kWarning, "ta.dlopen",
             {{"ta", tee::ToString(ta.uuid())}, {"error", failure->message}});
    return failure->code;
  }
  return ta.space().Apply() ? code::kSuccess : code::kOutOfMemory;
}

// dlsym: memref in UUID, memref in name, value out address.
std::uint32_t Dlsym(TaInstance& ta, EntryParams& params) {
  constexpr std::uint64_t kMostName = 4096;
  tee::Uuid uuid;
  if (!Is(params, 0x0255) || !ReadUuid(params[0], uuid) || params[1].memory == nullptr ||
      params[1].size == 0 || params[1].size > kMostName) {
    return code::kBadParameters;
  }
  std::string name(params[1].size, '\0');
  if (!params[1].memory->Read(params[1].offset, std::as_writable_bytes(std::span(name)))) {
    return code::kBadParameters;
  }
  const std::size_t end = name.find('\0');
  if (end == std::string::npos || end == 0) return code::kBadParameters;
  name.resize(end);
  const auto address = ta.modules().Symbol(uuid, name);
  if (!address) return code::kItemNotFound;
  params[2].a = *address >> 32;
  params[2].b = *address & 0xFFFFFFFF;
  return code::kSuccess;
}

// derive_ta_unique_key: memref in data of the TA's choice, memref out key.
std::uint32_t DeriveUniqueKey(TaInstance& ta, EntryParams& params) {
  constexpr std::uint64_t kMostData = 1024;
  constexpr std::uint64_t kLeastKey = 16;
  constexpr std::uint64_t kMostKey = 32;
  const EntryParam& extra = params[0];
  EntryParam& out = params[1];
  if (!Is(params, 0x0065) || extra.size > kMostData || out.size < kLeastKey ||
      out.size > kMostKey || out.memory == nullptr) {
    return code::kBadParameters;
  }
  // The guest shall not come to see it.
  if (!out.memory->secure()) return code::kSecurity;
  const TeeUuid uuid = ToTeeUuid(ta.uuid());
  SecretBytes data = Secret(std::as_bytes(std::span(uuid)));
  data.resize(uuid.size() + extra.size);
  if (extra.size != 0 &&
      (extra.memory == nullptr ||
       !extra.memory->Read(extra.offset, MutableBytes(data).subspan(uuid.size())))) {
    return code::kBadParameters;
  }
  const SecretBytes key =
      ta.core().state().DeriveKey(TeeState::KeyUsage::kUniqueTa, data, out.size);
  return out.memory->Write(out.offset, key) ? code::kSuccess : code::kAccessDenied;
}

// supplicant plugin: memref in UUID, value in {command, sub-command}, memref inout data, value out
// length.
std::uint32_t InvokePlugin(Call& call, EntryParams& params) {
  constexpr std::uint64_t kMostData = 1u << 20;
  constexpr std::uint64_t kInvoke = 0;  // OPTEE_RPC_SUPP_PLUGIN_INVOKE
  tee::Uuid uuid;
  EntryParam& data = params[2];
  if (!Is(params, 0x2715) || !ReadUuid(params[0], uuid) || data.size > kMostData ||
      (data.size != 0 && data.memory == nullptr)) {
    return code::kBadParameters;
  }
  if (call.context.upcalls == nullptr) return code::kCommunication;
  std::vector<std::byte> bytes(data.size);
  if (data.size != 0 && !data.memory->Read(data.offset, bytes)) return code::kAccessDenied;
  std::uint32_t words[4] = {};
  std::memcpy(words, uuid.octets.data(), sizeof(words));
  using Kind = tee::UpcallParam::Kind;
  tee::Upcall upcall;
  upcall.kind = tee::UpcallKind::kPlugin;
  upcall.params[0] = {Kind::kValueIn, kInvoke, words[0], words[1], {}, 0};
  upcall.params[1] = {Kind::kValueIn, words[2], words[3], params[1].a, {}, 0};
  upcall.params[2] = {Kind::kValueInOut, params[1].b, 0, 0, {}, 0};
  upcall.params[3] = {Kind::kBytesInOut, 0, 0, 0, bytes, bytes.size()};
  const std::uint32_t result = call.context.upcalls->Call(upcall).code;
  params[3].a = upcall.params[2].b;
  const std::uint64_t got = std::min<std::uint64_t>(params[3].a, bytes.size());
  if (got != 0 && !data.memory->Write(data.offset, std::span(bytes).first(got))) {
    return code::kAccessDenied;
  }
  return result;
}

}  // namespace

std::uint32_t SystemPta::Open(Call&, TaInstance* caller, const ClientIdentity&, EntryParams&) {
  return caller != nullptr ? code::kSuccess : code::kAccessDenied;
}

std::uint32_t SystemPta::Invoke(Call& call, TaInstance* caller, std::uint32_t,
                                std::uint32_t command, EntryParams& params) {
  if (caller == nullptr) return code::kAccessDenied;
  switch (command) {
    case kAddEntropy:
      // The generator is the host kernel's, which needs none from a TA.
      return Is(params, 0x0005) ? code::kSuccess : code::kBadParameters;
    case kDeriveUniqueKey:
      return DeriveUniqueKey(*caller, params);
    case kSupplicantPlugin:
      return InvokePlugin(call, params);
    case kMapZi:
      return MapZi(*caller, params);
    case kUnmap:
      return Unmap(*caller, params);
    case kDlopen:
      return Dlopen(call, *caller, params);
    case kDlsym:
      return Dlsym(*caller, params);
    default:
      if (command >= kOldOpenBinary && command <= kOldRemap) return code::kNotImplemented;
      return code::kNotSupported;
  }
}

}  // namespace vtee::ta
