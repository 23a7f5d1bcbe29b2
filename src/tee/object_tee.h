// SPDX-License-Identifier: BSD-3-Clause
// The object model: invoke operations on capabilities, with callbacks to the caller's objects.
//
// The verbs of QTEE's smcinvoke (Linux drivers/tee/qcomtee, include/uapi/linux/tee.h
// TEE_IOC_OBJECT_INVOKE). No backend offers it yet; it stands here so that the mediator and the
// life events do not grow a session-only shape. Threading as session_tee.h.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/strong_id.h"
#include "tee/shared_memory.h"
#include "tee/types.h"

namespace vtee::tee {

using ObjectId = StrongId<struct TeeObjectIdTag, std::uint64_t>;
inline constexpr ObjectId kNullObject{~std::uint64_t{0}};
inline constexpr ObjectId kRootObject{1};

struct ObjectArg {
  enum class Kind : std::uint8_t { kBytesIn, kBytesOut, kObjectIn, kObjectOut };
  // Whose object: the TEE's, the caller's (called back), or shared memory as an object.
  enum class Owner : std::uint8_t { kTee, kCaller, kMemory };
  Kind kind = Kind::kBytesIn;
  std::span<std::byte> bytes;
  std::uint64_t size = 0;  // kBytesOut: bytes produced
  ObjectId object{kNullObject};
  Owner owner = Owner::kTee;
  std::shared_ptr<const SharedMemory> memory;
};

// The caller's side of an invocation: the TEE calls objects the caller owns.
class ObjectCallbacks {
 public:
  virtual ~ObjectCallbacks() = default;
  virtual std::uint32_t Invoke(ObjectId object, std::uint32_t operation,
                               std::span<ObjectArg> args) = 0;
  virtual void Release(ObjectId object) = 0;
};

class ObjectTee {
 public:
  virtual ~ObjectTee() = default;
  virtual Outcome Invoke(ObjectCallbacks& callbacks, ObjectId object, std::uint32_t operation,
                         std::vector<ObjectArg>& args, std::uint32_t& result) = 0;
  virtual void Release(ObjectId object) = 0;
};

}  // namespace vtee::tee
