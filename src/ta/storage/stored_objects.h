// SPDX-License-Identifier: BSD-3-Clause
// StoredObjects: who has which persistent object open, and the rules of sharing it (GlobalPlatform
// TEE Internal Core API 1.3.1, 5.7; optee_os core/tee/tee_pobj.c). Across all TAs of a VM.
//
// Threading: any thread.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>

#include "ta/storage/object_store.h"

namespace vtee::ta {

// TEE_DATA_FLAG_*
namespace dataflag {
inline constexpr std::uint32_t kRead = 0x1;
inline constexpr std::uint32_t kWrite = 0x2;
inline constexpr std::uint32_t kWriteMeta = 0x4;
inline constexpr std::uint32_t kShareRead = 0x10;
inline constexpr std::uint32_t kShareWrite = 0x20;
inline constexpr std::uint32_t kOverwrite = 0x400;
inline constexpr std::uint32_t kOpenFlags = kRead | kWrite | kWriteMeta | kShareRead | kShareWrite;
}  // namespace dataflag

class StoredObjects;

// An object that some handle is open for.
class StoredObject {
 public:
  StoredObject(StoredObjects& all, ObjectKey key, std::uint32_t flags)
      : all_(all), key_(std::move(key)), flags_(flags) {}
  ~StoredObject();
  StoredObject(const StoredObject&) = delete;
  StoredObject& operator=(const StoredObject&) = delete;

  // What may be done with the key in it; shared by all handles.
  std::uint32_t usage() const;
  std::uint32_t RestrictUsage(std::uint32_t mask);
  ObjectKey key() const;
  // BAD_STATE: somebody else has it open, too.
  std::uint32_t Rename(const ObjectId& id);
  ObjectStore& store() const;
  std::uint64_t size() const;
  std::uint32_t Read(std::uint64_t position, MutableBytes out, std::uint64_t& got);
  std::uint32_t Write(std::uint64_t position, ConstBytes data);
  std::uint32_t Truncate(std::uint64_t size);

 private:
  friend class StoredObjects;
  StoredObjects& all_;
  // Under the lock of StoredObjects.
  ObjectKey key_;
  std::uint32_t flags_;
  std::uint32_t usage_ = 0;
  std::uint64_t size_ = 0;
};

class StoredObjects {
 public:
  explicit StoredObjects(std::unique_ptr<ObjectStore> store) : store_(std::move(store)) {}

  // Opens an existing object; `record` is what is stored.
  std::uint32_t Open(const ObjectKey& key, std::uint32_t flags, ObjectRecord& record,
                     std::shared_ptr<StoredObject>& object);
  // Creates one, or replaces it (OVERWRITE), and has it open.
  std::uint32_t Create(const ObjectKey& key, std::uint32_t flags, const ObjectRecord& record,
                       ConstBytes data, std::shared_ptr<StoredObject>& object);
  ObjectStore& store() { return *store_; }

 private:
  friend class StoredObject;
  // Null: nobody has it open.
  std::shared_ptr<StoredObject> FindOpen(const ObjectKey& key);

  std::unique_ptr<ObjectStore> store_;
  mutable std::mutex mutex_;
  std::map<ObjectKey, std::weak_ptr<StoredObject>> open_;
};

}  // namespace vtee::ta
