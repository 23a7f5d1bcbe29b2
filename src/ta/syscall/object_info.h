// SPDX-License-Identifier: BSD-3-Clause
// struct utee_object_info: what a TA is told of an object. Pure.
#pragma once

#include <cstdint>

#include "ta/core/ta_handles.h"

namespace vtee::ta {

struct ObjectInfo {
  std::uint32_t type;
  std::uint32_t bits;
  std::uint32_t max_bits;
  std::uint32_t usage;
  std::uint32_t data_size;
  std::uint32_t data_position;
  std::uint32_t handle_flags;
};
static_assert(sizeof(ObjectInfo) == 28);

ObjectInfo InfoOf(const ObjectHandle& object);

}  // namespace vtee::ta
