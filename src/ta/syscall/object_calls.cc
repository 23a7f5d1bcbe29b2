// SPDX-License-Identifier: BSD-3-Clause
// System calls 24 to 31 and 54: objects with keys.
#include "ta/core/ta_instance.h"
#include "ta/core/tee_core.h"
#include "ta/crypto/key_generation.h"
#include "ta/storage/stored_objects.h"
#include "ta/syscall/attributes_in.h"
#include "ta/syscall/dispatch.h"
#include "ta/syscall/object_info.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

std::uint32_t UsageOf(const ObjectHandle& object) {
  return object.persistent() ? object.stored->usage() : object.usage;
}

std::uint32_t GetInfoCall(TaInstance& ta, const SyscallArgs& args) {
  const auto object = ta.handles().objects.Find(args[0]);
  if (!object) return code::kBadState;
  const ObjectInfo info = InfoOf(*object);
  return ta.space().WritePrivate(args[1], std::as_bytes(std::span(&info, 1))) ? code::kSuccess
                                                                              : code::kAccessDenied;
}

std::uint32_t RestrictUsageCall(TaInstance& ta, const SyscallArgs& args) {
  const auto object = ta.handles().objects.Find(args[0]);
  if (!object) return code::kBadState;
  const auto mask = static_cast<std::uint32_t>(args[1]);
  if (object->persistent()) return object->stored->RestrictUsage(mask);
  object->usage &= mask;
  return code::kSuccess;
}

// (object, attribute, buffer, size)
std::uint32_t GetAttributeCall(TaInstance& ta, const SyscallArgs& args) {
  const auto object = ta.handles().objects.Find(args[0]);
  const auto id = static_cast<std::uint32_t>(args[1]);
  if (!object) return code::kItemNotFound;
  if (!object->key.initialized() && !object->persistent()) return code::kBadParameters;
  if ((id & attr::kPublicFlag) == 0 && (UsageOf(*object) & kUsageExtractable) == 0) {
    return code::kBadParameters;
  }
  if (!object->key.Has(id)) return code::kItemNotFound;
  std::uint64_t room = 0;
  if (!ta.space().ReadObject(args[3], room)) return code::kAccessDenied;
  const std::uint32_t pair[2] = {object->key.Value(id), object->key.ValueB(id)};
  const bool is_value = (id & attr::kValueFlag) != 0;
  const ConstBytes bytes = is_value ? std::as_bytes(std::span(pair)) : object->key.Bytes(id);
  const std::uint64_t size = bytes.size();
  if (!ta.space().WriteObject(args[3], size)) return code::kAccessDenied;
  if (room < size || (args[2] == 0 && size != 0)) return code::kShortBuffer;
  return ta.space().Write(args[2], bytes) ? code::kSuccess : code::kAccessDenied;
}

// (type, bits, object)
std::uint32_t AllocCall(TaInstance& ta, const SyscallArgs& args) {
  const auto type = static_cast<std::uint32_t>(args[0]);
  const std::uint32_t result = CryptoObject::Check(type, args[1]);
  if (result != code::kSuccess) return result;
  auto object = std::make_shared<ObjectHandle>();
  object->key = CryptoObject(type, static_cast<std::uint32_t>(args[1]));
  const std::uint32_t handle = ta.handles().objects.Add(std::move(object));
  if (handle == 0) return code::kOutOfMemory;
  if (ta.space().WriteObject(args[2], handle)) return code::kSuccess;
  ta.handles().objects.Remove(handle);
  return code::kAccessDenied;
}

std::uint32_t CloseCall(TaInstance& ta, const SyscallArgs& args) {
  const auto object = ta.handles().objects.Find(args[0]);
  if (!object) return code::kBadState;
  if (object->busy) return code::kItemNotFound;
  ta.handles().objects.Remove(args[0]);
  return code::kSuccess;
}

std::uint32_t ResetCall(TaInstance& ta, const SyscallArgs& args) {
  const auto object = ta.handles().objects.Find(args[0]);
  if (!object) return code::kBadState;
  if (object->persistent()) return code::kBadParameters;
  object->key.Reset();
  object->usage = kUsageDefault;
  return code::kSuccess;
}

// (object, attributes, count)
std::uint32_t PopulateCall(TaInstance& ta, const SyscallArgs& args) {
  const auto object = ta.handles().objects.Find(args[0]);
  if (!object) return code::kBadState;
  if (object->persistent() || object->key.initialized()) return code::kBadParameters;
  AttributesIn attributes;
  const std::uint32_t result = attributes.Take(ta, args[1], args[2]);
  if (result != code::kSuccess) return result;
  return object->key.Populate(attributes.get());
}

// (to, from)
std::uint32_t CopyCall(TaInstance& ta, const SyscallArgs& args) {
  const auto to = ta.handles().objects.Find(args[0]);
  const auto from = ta.handles().objects.Find(args[1]);
  if (!to || !from) return code::kBadState;
  if (!from->key.initialized() && !from->persistent()) return code::kBadParameters;
  if (to->persistent() || to->key.initialized()) return code::kBadParameters;
  const std::uint32_t result = to->key.CopyFrom(from->key);
  if (result == code::kSuccess) to->usage = UsageOf(*from);
  return result;
}

// (object, bits, attributes, count)
std::uint32_t GenerateCall(TaInstance& ta, const SyscallArgs& args) {
  const auto object = ta.handles().objects.Find(args[0]);
  if (!object) return code::kBadState;
  if (object->persistent() || object->key.initialized()) return code::kBadState;
  const ObjectType* type = FindObjectType(object->key.type());
  if (type == nullptr) return code::kNotSupported;
  std::uint32_t result = CheckKeySize(*type, args[1]);
  if (result != code::kSuccess) return result;
  if (args[1] > object->key.max_bits()) return code::kBadParameters;
  AttributesIn attributes;
  result = attributes.Take(ta, args[2], args[3]);
  if (result == code::kSuccess) result = object->key.CheckGenerate(attributes.get());
  if (result != code::kSuccess) return result;
  return GenerateKey(object->key, static_cast<std::uint32_t>(args[1]), attributes.get());
}

}  // namespace

void AddObjectCalls(SyscallTable& table) {
  const auto set = [&](SyscallNumber number, Syscall call) {
    table[static_cast<std::size_t>(number)] = call;
  };
  set(SyscallNumber::kObjectGetInfo, GetInfoCall);
  set(SyscallNumber::kObjectRestrictUsage, RestrictUsageCall);
  set(SyscallNumber::kObjectGetAttribute, GetAttributeCall);
  set(SyscallNumber::kObjectAlloc, AllocCall);
  set(SyscallNumber::kObjectClose, CloseCall);
  set(SyscallNumber::kObjectReset, ResetCall);
  set(SyscallNumber::kObjectPopulate, PopulateCall);
  set(SyscallNumber::kObjectCopy, CopyCall);
  set(SyscallNumber::kObjectGenerateKey, GenerateCall);
}

}  // namespace vtee::ta
