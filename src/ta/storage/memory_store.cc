// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/memory_store.h"

#include <algorithm>
#include <cstring>

#include "base/checked.h"

namespace vtee::ta {

namespace code = tee::code;

MemoryStore::Object* MemoryStore::Find(const ObjectKey& key) {
  const auto found = objects_.find(key);
  return found == objects_.end() ? nullptr : &found->second;
}

std::uint64_t MemoryStore::Charge(const Object& object) {
  return kObjectCharge + object.object.size() + object.data.size();
}

std::uint32_t MemoryStore::Resize(Object& object, std::uint64_t size) {
  const std::uint64_t before = object.data.size();
  if (size > before && size - before > most_bytes_ - bytes_) return kStorageNoSpace;
  object.data.resize(size);
  bytes_ = bytes_ - before + size;
  return code::kSuccess;
}

std::uint32_t MemoryStore::Create(const ObjectKey& key, const ObjectRecord& record, ConstBytes data,
                                  bool overwrite) {
  const std::lock_guard lock(mutex_);
  Object* before = Find(key);
  if (before != nullptr && !overwrite) return code::kAccessConflict;
  const std::uint64_t freed = before == nullptr ? 0 : Charge(*before);
  Object object{record.object, record.usage, Secret(data)};
  const std::uint64_t charge = Charge(object);
  if (charge > most_bytes_ - bytes_ + freed) return kStorageNoSpace;
  objects_[key] = std::move(object);
  bytes_ = bytes_ - freed + charge;
  return code::kSuccess;
}

std::uint32_t MemoryStore::Load(const ObjectKey& key, ObjectRecord& record) {
  const std::lock_guard lock(mutex_);
  const Object* object = Find(key);
  if (object == nullptr) return code::kItemNotFound;
  record = {object->object, object->usage, object->data.size()};
  return code::kSuccess;
}

std::uint32_t MemoryStore::Read(const ObjectKey& key, std::uint64_t position, MutableBytes out,
                                std::uint64_t& got) {
  const std::lock_guard lock(mutex_);
  const Object* object = Find(key);
  if (object == nullptr) return code::kItemNotFound;
  got = position >= object->data.size()
            ? 0
            : std::min<std::uint64_t>(out.size(), object->data.size() - position);
  if (got != 0) std::memcpy(out.data(), object->data.data() + position, got);
  return code::kSuccess;
}

std::uint32_t MemoryStore::Write(const ObjectKey& key, std::uint64_t position, ConstBytes data) {
  const std::lock_guard lock(mutex_);
  Object* object = Find(key);
  if (object == nullptr) return code::kItemNotFound;
  const auto end = CheckedAdd<std::uint64_t>(position, data.size());
  if (!end) return kStorageNoSpace;
  if (*end > object->data.size()) {
    const std::uint32_t result = Resize(*object, *end);
    if (result != code::kSuccess) return result;
  }
  if (!data.empty()) std::memcpy(object->data.data() + position, data.data(), data.size());
  return code::kSuccess;
}

std::uint32_t MemoryStore::Truncate(const ObjectKey& key, std::uint64_t size) {
  const std::lock_guard lock(mutex_);
  Object* object = Find(key);
  return object == nullptr ? code::kItemNotFound : Resize(*object, size);
}

std::uint32_t MemoryStore::SetUsage(const ObjectKey& key, std::uint32_t usage) {
  const std::lock_guard lock(mutex_);
  Object* object = Find(key);
  if (object == nullptr) return code::kItemNotFound;
  object->usage = usage;
  return code::kSuccess;
}

std::uint32_t MemoryStore::Rename(const ObjectKey& key, const ObjectId& id) {
  const std::lock_guard lock(mutex_);
  const ObjectKey to{key.ta, id, key.storage};
  if (Find(key) == nullptr) return code::kItemNotFound;
  if (Find(to) != nullptr) return code::kAccessConflict;
  auto node = objects_.extract(key);
  node.key() = to;
  objects_.insert(std::move(node));
  return code::kSuccess;
}

std::uint32_t MemoryStore::Remove(const ObjectKey& key) {
  const std::lock_guard lock(mutex_);
  const Object* object = Find(key);
  if (object == nullptr) return code::kItemNotFound;
  bytes_ -= Charge(*object);
  objects_.erase(key);
  return code::kSuccess;
}

std::uint32_t MemoryStore::List(const tee::Uuid& ta, std::uint32_t storage,
                                std::vector<ObjectId>& ids) {
  const std::lock_guard lock(mutex_);
  for (const auto& [key, object] : objects_) {
    if (key.ta == ta && key.storage == storage) ids.push_back(key.id);
  }
  return code::kSuccess;
}

}  // namespace vtee::ta
