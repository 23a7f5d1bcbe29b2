// SPDX-License-Identifier: BSD-3-Clause
// System calls 41 to 53: persistent objects.
#include <algorithm>
#include <cstring>

#include "base/checked.h"
#include "base/log.h"
#include "ta/core/ta_instance.h"
#include "ta/core/tee_core.h"
#include "ta/storage/stored_objects.h"
#include "ta/syscall/dispatch.h"
#include "ta/syscall/object_info.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;
constexpr std::uint64_t kMostPosition = 0xFFFFFFFF;  // TEE_DATA_MAX_POSITION

// TEE_STORAGE_PRIVATE, and what OP-TEE calls the same: kept by the normal world. There is no RPMB.
bool IsStorage(std::uint64_t id) { return id == 1 || id == 0x80000000; }

std::uint32_t TakeId(TaInstance& ta, std::uint64_t address, std::uint64_t size, ObjectKey& key) {
  if (size > kMostObjectId) return code::kBadParameters;
  key.ta = ta.uuid();
  key.id.resize(size);
  return ta.space().ReadPrivate(address, key.id) ? code::kSuccess : code::kAccessDenied;
}

// A corrupt object is of no use to anybody: it goes, and so does the handle, unless the TA's flags
// say that it stays.
std::uint32_t AfterCorruption(TaInstance& ta, std::uint64_t handle, const ObjectKey& key,
                              std::uint32_t result) {
  if (result != kCorruptObject) return result;
  LogGuest(LogLevel::kError, "storage.corrupt", {{"ta", tee::ToString(ta.uuid())}});
  static_cast<void>(ta.core().storage().store().Remove(key));
  if (handle != 0 && (ta.flags() & kFlagKeepCorrupt) == 0) ta.handles().objects.Remove(handle);
  return result;
}

std::uint32_t GiveHandle(TaInstance& ta, std::shared_ptr<ObjectHandle> object,
                         std::uint64_t address) {
  const std::uint32_t handle = ta.handles().objects.Add(std::move(object));
  if (handle == 0) return code::kOutOfMemory;
  if (ta.space().WriteObject(address, handle)) return code::kSuccess;
  ta.handles().objects.Remove(handle);
  return code::kAccessDenied;
}

// (storage, id, size, flags, object)
std::uint32_t OpenCall(TaInstance& ta, const SyscallArgs& args) {
  const auto flags = static_cast<std::uint32_t>(args[3]);
  if ((args[3] & ~std::uint64_t{dataflag::kOpenFlags}) != 0) return code::kBadParameters;
  if (!IsStorage(args[0])) return code::kItemNotFound;
  ObjectKey key;
  std::uint32_t result = TakeId(ta, args[1], args[2], key);
  if (result != code::kSuccess) return result;
  auto object = std::make_shared<ObjectHandle>();
  ObjectRecord record;
  result = ta.core().storage().Open(key, flags, record, object->stored);
  if (result == code::kSuccess && !object->key.Deserialize(record.object)) result = kCorruptObject;
  if (result != code::kSuccess) return AfterCorruption(ta, 0, key, result);
  object->access = flags;
  return GiveHandle(ta, std::move(object), args[4]);
}

// (storage, id, size, flags, attributes, data, size, object)
std::uint32_t CreateCall(TaInstance& ta, const SyscallArgs& args) {
  constexpr std::uint32_t kFlags = dataflag::kOpenFlags | dataflag::kOverwrite;
  const auto flags = static_cast<std::uint32_t>(args[3]);
  if ((args[3] & ~std::uint64_t{kFlags}) != 0) return code::kBadParameters;
  if (!IsStorage(args[0])) return code::kItemNotFound;
  if (args[5] == 0 && args[6] != 0) return code::kBadParameters;
  ObjectKey key;
  std::uint32_t result = TakeId(ta, args[1], args[2], key);
  if (result != code::kSuccess) return result;
  const auto data = ta.space().ViewIn(args[5], args[6]);
  if (!data) return code::kAccessDenied;
  std::shared_ptr<ObjectHandle> from;
  auto object = std::make_shared<ObjectHandle>();
  object->key = CryptoObject(objtype::kData, 0);
  ObjectRecord record;
  record.usage = kUsageDefault;
  if (args[4] != 0) {
    from = ta.handles().objects.Find(args[4]);
    if (!from) return code::kBadState;
    if (!from->key.initialized() && !from->persistent()) return code::kBadParameters;
    object->key = from->key;
    record.usage = from->persistent() ? from->stored->usage() : from->usage;
  }
  record.object = object->key.Serialize();
  result = ta.core().storage().Create(key, flags, record, *data, object->stored);
  if (result != code::kSuccess) return AfterCorruption(ta, 0, key, result);
  object->access = flags & dataflag::kOpenFlags;
  if (args[7] != 0) return GiveHandle(ta, std::move(object), args[7]);
  // Without a place for a handle, that of the attributes becomes the object's.
  if (from && !from->persistent()) {
    const bool busy = from->busy;
    *from = *object;
    from->busy = busy;
  }
  return code::kSuccess;
}

std::uint32_t DeleteCall(TaInstance& ta, const SyscallArgs& args) {
  const auto object = ta.handles().objects.Find(args[0]);
  if (!object) return code::kBadState;
  if ((object->access & dataflag::kWriteMeta) == 0) return code::kAccessConflict;
  if (!object->persistent()) return code::kBadState;
  const std::uint32_t result = object->stored->store().Remove(object->stored->key());
  ta.handles().objects.Remove(args[0]);
  return result;
}

// (object, id, size)
std::uint32_t RenameCall(TaInstance& ta, const SyscallArgs& args) {
  if (args[2] > kMostObjectId) return code::kBadParameters;
  const auto object = ta.handles().objects.Find(args[0]);
  if (!object || !object->persistent() || (object->access & dataflag::kWriteMeta) == 0) {
    return code::kBadState;
  }
  ObjectKey key;
  const std::uint32_t result = TakeId(ta, args[1], args[2], key);
  return result == code::kSuccess ? object->stored->Rename(key.id) : result;
}

std::uint32_t AllocEnumCall(TaInstance& ta, const SyscallArgs& args) {
  const std::uint32_t handle = ta.handles().enumerations.Add(std::make_shared<ObjectEnumeration>());
  if (handle == 0) return code::kOutOfMemory;
  if (ta.space().WriteObject(args[0], handle)) return code::kSuccess;
  ta.handles().enumerations.Remove(handle);
  return code::kAccessDenied;
}

std::uint32_t FreeEnumCall(TaInstance& ta, const SyscallArgs& args) {
  if (!ta.handles().enumerations.Find(args[0])) return code::kBadParameters;
  ta.handles().enumerations.Remove(args[0]);
  return code::kSuccess;
}

std::uint32_t ResetEnumCall(TaInstance& ta, const SyscallArgs& args) {
  const auto enumeration = ta.handles().enumerations.Find(args[0]);
  if (!enumeration) return code::kBadParameters;
  *enumeration = {};
  return code::kSuccess;
}

// (enumeration, storage)
std::uint32_t StartEnumCall(TaInstance& ta, const SyscallArgs& args) {
  const auto enumeration = ta.handles().enumerations.Find(args[0]);
  if (!enumeration) return code::kBadParameters;
  *enumeration = {};
  if (!IsStorage(args[1])) return code::kItemNotFound;
  const std::uint32_t result =
      ta.core().storage().store().List(ta.uuid(), kPrivateStorage, enumeration->ids);
  if (result != code::kSuccess) return result;
  if (enumeration->ids.empty()) return code::kItemNotFound;
  enumeration->started = true;
  return code::kSuccess;
}

// (enumeration, info, id, size)
std::uint32_t NextEnumCall(TaInstance& ta, const SyscallArgs& args) {
  const auto enumeration = ta.handles().enumerations.Find(args[0]);
  if (!enumeration) return code::kBadParameters;
  if (!ta.space().Allows(runner::kAccessWrite, args[1], sizeof(ObjectInfo)) ||
      !ta.space().Allows(runner::kAccessWrite, args[2], kMostObjectId)) {
    return code::kAccessDenied;
  }
  while (enumeration->started && enumeration->next < enumeration->ids.size()) {
    const ObjectKey key{ta.uuid(), enumeration->ids[enumeration->next++]};
    ObjectHandle object;
    ObjectRecord record;
    const std::uint32_t result = ta.core().storage().store().Load(key, record);
    if (result == code::kItemNotFound) continue;  // deleted since
    if (result != code::kSuccess) return result;
    if (!object.key.Deserialize(record.object)) return kCorruptObject;
    ObjectInfo info = InfoOf(object);
    info.usage = record.usage;
    info.data_size = static_cast<std::uint32_t>(record.size);
    info.handle_flags = kHandlePersistent | kHandleInitialized;
    const std::uint64_t size = key.id.size();
    if (!ta.space().WriteObject(args[1], info) || !ta.space().Write(args[2], key.id) ||
        !ta.space().WritePrivate(args[3], std::as_bytes(std::span(&size, 1)))) {
      return code::kAccessDenied;
    }
    return code::kSuccess;
  }
  return code::kItemNotFound;
}

// The object if it may be used so; otherwise `result` says why not.
std::shared_ptr<ObjectHandle> Opened(TaInstance& ta, std::uint64_t handle, std::uint32_t access,
                                     std::uint32_t& result) {
  const auto object = ta.handles().objects.Find(handle);
  result = code::kSuccess;
  if (!object || !object->persistent()) {
    result = code::kBadState;
  } else if (access != 0 && (object->access & access) == 0) {
    result = code::kAccessConflict;
  }
  return result == code::kSuccess ? object : nullptr;
}

// (object, buffer, size, count)
std::uint32_t ReadCall(TaInstance& ta, const SyscallArgs& args) {
  std::uint32_t result = code::kSuccess;
  const auto object = Opened(ta, args[0], dataflag::kRead, result);
  if (!object) return result;
  const auto out = ta.space().ViewOut(args[1], args[2]);
  if (!out) return code::kAccessDenied;
  std::uint64_t got = 0;
  result = object->stored->Read(object->position, *out, got);
  if (result != code::kSuccess) {
    return AfterCorruption(ta, args[0], object->stored->key(), result);
  }
  object->position += got;
  return ta.space().WritePrivate(args[3], std::as_bytes(std::span(&got, 1))) ? code::kSuccess
                                                                             : code::kAccessDenied;
}

// (object, buffer, size)
std::uint32_t WriteCall(TaInstance& ta, const SyscallArgs& args) {
  std::uint32_t result = code::kSuccess;
  const auto object = Opened(ta, args[0], dataflag::kWrite, result);
  if (!object) return result;
  const auto data = ta.space().ViewIn(args[1], args[2]);
  if (!data) return code::kAccessDenied;
  const auto end = CheckedAdd(object->position, args[2]);
  if (!end || *end > kMostPosition) return 0xFFFF300F;  // OVERFLOW
  result = object->stored->Write(object->position, *data);
  if (result != code::kSuccess) {
    return AfterCorruption(ta, args[0], object->stored->key(), result);
  }
  object->position = *end;
  return code::kSuccess;
}

// (object, size)
std::uint32_t TruncateCall(TaInstance& ta, const SyscallArgs& args) {
  std::uint32_t result = code::kSuccess;
  const auto object = Opened(ta, args[0], dataflag::kWrite, result);
  if (!object) return result;
  if (args[1] > kMostPosition) return kStorageNoSpace;
  result = object->stored->Truncate(args[1]);
  return AfterCorruption(ta, args[0], object->stored->key(), result);
}

// (object, offset, whence)
std::uint32_t SeekCall(TaInstance& ta, const SyscallArgs& args) {
  enum Whence : std::uint64_t { kSet = 0, kCurrent = 1, kEnd = 2 };
  std::uint32_t result = code::kSuccess;
  const auto object = Opened(ta, args[0], 0, result);
  if (!object) return result;
  std::int64_t position = static_cast<std::int32_t>(args[1]);
  switch (args[2]) {
    case kSet:
      break;
    case kCurrent:
      position += static_cast<std::int64_t>(object->position);
      break;
    case kEnd:
      position += static_cast<std::int64_t>(object->stored->size());
      break;
    default:
      return code::kBadParameters;
  }
  position = std::max<std::int64_t>(position, 0);
  if (static_cast<std::uint64_t>(position) > kMostPosition) return code::kBadParameters;
  object->position = static_cast<std::uint64_t>(position);
  return code::kSuccess;
}

}  // namespace

void AddStorageCalls(SyscallTable& table) {
  const auto set = [&](SyscallNumber number, Syscall call) {
    table[static_cast<std::size_t>(number)] = call;
  };
  set(SyscallNumber::kStorageOpen, OpenCall);
  set(SyscallNumber::kStorageCreate, CreateCall);
  set(SyscallNumber::kStorageDelete, DeleteCall);
  set(SyscallNumber::kStorageRename, RenameCall);
  set(SyscallNumber::kStorageAllocEnum, AllocEnumCall);
  set(SyscallNumber::kStorageFreeEnum, FreeEnumCall);
  set(SyscallNumber::kStorageResetEnum, ResetEnumCall);
  set(SyscallNumber::kStorageStartEnum, StartEnumCall);
  set(SyscallNumber::kStorageNextEnum, NextEnumCall);
  set(SyscallNumber::kStorageRead, ReadCall);
  set(SyscallNumber::kStorageWrite, WriteCall);
  set(SyscallNumber::kStorageTruncate, TruncateCall);
  set(SyscallNumber::kStorageSeek, SeekCall);
}

}  // namespace vtee::ta
