// SPDX-License-Identifier: BSD-3-Clause
#include "ta/core/guest_ta.h"

#include <cstring>

namespace vtee::ta {
namespace {

tee::Upcall LoadTa(const tee::Uuid& uuid, std::span<std::byte> bytes) {
  tee::Upcall upcall;
  upcall.kind = tee::UpcallKind::kLoadTa;
  upcall.params[0].kind = tee::UpcallParam::Kind::kValueIn;
  std::memcpy(&upcall.params[0].a, uuid.octets.data(), 8);
  std::memcpy(&upcall.params[0].b, uuid.octets.data() + 8, 8);
  upcall.params[1].kind = tee::UpcallParam::Kind::kBytesOut;
  upcall.params[1].bytes = bytes;
  upcall.params[1].size = bytes.size();
  return upcall;
}

}  // namespace

std::variant<std::vector<std::byte>, LoadFailure> AskGuestForTa(tee::CallContext& context,
                                                                const tee::Uuid& uuid) {
  if (context.upcalls == nullptr) {
    return LoadFailure{tee::code::kItemNotFound, "nobody to ask for TA " + tee::ToString(uuid)};
  }
  tee::Upcall query = LoadTa(uuid, {});
  tee::Outcome outcome = context.upcalls->Call(query);
  if (!outcome.ok()) {
    return LoadFailure{outcome.code, "the guest has no TA " + tee::ToString(uuid)};
  }
  const std::uint64_t size = query.params[1].size;
  if (size == 0 || size > kMostTaFile) {
    return LoadFailure{tee::code::kSecurity, "the guest's TA is empty, or larger than 64 MiB"};
  }
  std::vector<std::byte> bytes(size);
  tee::Upcall load = LoadTa(uuid, bytes);
  outcome = context.upcalls->Call(load);
  if (!outcome.ok() || load.params[1].size != size) {
    return LoadFailure{outcome.ok() ? tee::code::kSecurity : outcome.code,
                       "the guest's TA changed while it was read"};
  }
  return bytes;
}

}  // namespace vtee::ta
