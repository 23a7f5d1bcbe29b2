// SPDX-License-Identifier: BSD-3-Clause
#include "backend/host/call_message.h"

#include <algorithm>

#include "base/checked.h"

namespace vtee::backend {
namespace {

using tee::Direction;
using tee::Origin;
using tee::Outcome;
using tee::Param;

constexpr Outcome kBadParameters{tee::code::kBadParameters, Origin::kComms};

std::uint64_t ValueAttribute(Direction direction) {
  switch (direction) {
    case Direction::kIn:
      return TEE_IOCTL_PARAM_ATTR_TYPE_VALUE_INPUT;
    case Direction::kOut:
      return TEE_IOCTL_PARAM_ATTR_TYPE_VALUE_OUTPUT;
    case Direction::kInOut:
      break;
  }
  return TEE_IOCTL_PARAM_ATTR_TYPE_VALUE_INOUT;
}

std::uint64_t MemoryAttribute(Direction direction) {
  switch (direction) {
    case Direction::kIn:
      return TEE_IOCTL_PARAM_ATTR_TYPE_MEMREF_INPUT;
    case Direction::kOut:
      return TEE_IOCTL_PARAM_ATTR_TYPE_MEMREF_OUTPUT;
    case Direction::kInOut:
      break;
  }
  return TEE_IOCTL_PARAM_ATTR_TYPE_MEMREF_INOUT;
}

// A backend only receives memory that it made (session_tee.h).
const HostMemory& AsHostMemory(const tee::RegisteredMemory& memory) {
  return static_cast<const HostMemory&>(memory);
}

}  // namespace

Outcome ParamTranslation::EncodeMemory(const Param& param, bool null_memref, std::size_t index,
                                       tee_ioctl_param& out) {
  out.attr = MemoryAttribute(param.direction);
  out.b = param.size;
  if (param.memory == nullptr) {
    if (!null_memref) return kBadParameters;
    out.c = kNullMemrefId;
    return {};
  }
  const HostMemory& memory = AsHostMemory(*param.memory);
  if (!memory.valid() || !RangeInside(param.offset, param.size, memory.size())) {
    return kBadParameters;
  }
  Placement& place = places_[index];
  const std::uint32_t code = memory.Place(param.offset, param.size, index, slots_, place);
  if (code != tee::code::kSuccess) return {code, Origin::kComms};
  out.a = place.offset;
  out.c = static_cast<std::uint64_t>(place.shm_id);
  return {};
}

Outcome ParamTranslation::Encode(const tee::Params& params, bool null_memref,
                                 tee_ioctl_param* out) {
  count_ = 0;
  for (std::uint32_t i = 0; i < params.size(); ++i) {
    const Param& param = params[i];
    out[i] = tee_ioctl_param{};
    if (param.kind == Param::Kind::kNone) continue;
    count_ = i + 1;
    if (param.kind == Param::Kind::kMemory) {
      const Outcome outcome = EncodeMemory(param, null_memref, i, out[i]);
      if (!outcome.ok()) return outcome;
      continue;
    }
    out[i].attr = ValueAttribute(param.direction);
    if (param.direction == Direction::kOut) continue;
    out[i].a = param.a;
    out[i].b = param.b;
    out[i].c = param.c;
  }
  // Only after all checks, so that a refused call has touched nothing.
  for (std::size_t i = 0; i < params.size(); ++i) {
    const Param& param = params[i];
    if (param.kind != Param::Kind::kMemory || param.memory == nullptr) continue;
    if (!AsHostMemory(*param.memory).CopyIn(places_[i], param.offset, param.size)) {
      return kBadParameters;
    }
  }
  return {};
}

bool ParamTranslation::Decode(const tee_ioctl_param* in, tee::Params& params) const {
  bool delivered = true;
  for (std::uint32_t i = 0; i < count_; ++i) {
    Param& param = params[i];
    if (param.kind == Param::Kind::kNone || param.direction == Direction::kIn) continue;
    if (param.kind == Param::Kind::kValue) {
      param.a = in[i].a;
      param.b = in[i].b;
      param.c = in[i].c;
      continue;
    }
    const std::uint64_t reported = in[i].b;
    if (param.memory != nullptr) {
      const std::uint64_t copied = std::min(reported, param.size);
      delivered &= AsHostMemory(*param.memory).CopyOut(places_[i], param.offset, copied);
    }
    param.size = reported;
  }
  return delivered;
}

}  // namespace vtee::backend
