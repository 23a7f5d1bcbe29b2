// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/stored_objects.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

bool MayShare(std::uint32_t before, std::uint32_t now) {
  using dataflag::kRead;
  using dataflag::kShareRead;
  using dataflag::kShareWrite;
  using dataflag::kWrite;
  using dataflag::kWriteMeta;
  const std::uint32_t either = before | now;
  const std::uint32_t both = before & now;
  if ((either & kWriteMeta) != 0) return false;
  if ((either & kRead) != 0 && (both & kShareRead) == 0) return false;
  if ((either & kWrite) != 0 && (both & kShareWrite) == 0) return false;
  return ((before ^ now) & (kShareRead | kShareWrite)) == 0;
}

}  // namespace

StoredObject::~StoredObject() {
  const std::lock_guard lock(all_.mutex_);
  const auto found = all_.open_.find(key_);
  // Not if another object has its name by now.
  if (found != all_.open_.end() && found->second.expired()) all_.open_.erase(found);
}

ObjectStore& StoredObject::store() const { return *all_.store_; }

std::uint32_t StoredObject::usage() const {
  const std::lock_guard lock(all_.mutex_);
  return usage_;
}

std::uint64_t StoredObject::size() const {
  const std::lock_guard lock(all_.mutex_);
  return size_;
}

ObjectKey StoredObject::key() const {
  const std::lock_guard lock(all_.mutex_);
  return key_;
}

std::uint32_t StoredObject::RestrictUsage(std::uint32_t mask) {
  const std::lock_guard lock(all_.mutex_);
  const std::uint32_t result = store().SetUsage(key_, usage_ & mask);
  if (result == code::kSuccess) usage_ &= mask;
  return result;
}

std::uint32_t StoredObject::Rename(const ObjectId& id) {
  const std::lock_guard lock(all_.mutex_);
  const auto found = all_.open_.find(key_);
  if (found == all_.open_.end() || found->second.use_count() != 1) return code::kBadState;
  const ObjectKey to{key_.ta, id, key_.storage};
  const auto other = all_.open_.find(to);
  if (other != all_.open_.end() && !other->second.expired()) return code::kAccessConflict;
  const std::uint32_t result = store().Rename(key_, id);
  if (result != code::kSuccess) return result;
  const std::weak_ptr<StoredObject> self = found->second;
  all_.open_.erase(key_);
  all_.open_[to] = self;
  key_ = to;
  return code::kSuccess;
}

std::uint32_t StoredObject::Read(std::uint64_t position, MutableBytes out, std::uint64_t& got) {
  return store().Read(key(), position, out, got);
}

std::uint32_t StoredObject::Write(std::uint64_t position, ConstBytes data) {
  const std::lock_guard lock(all_.mutex_);
  const std::uint32_t result = store().Write(key_, position, data);
  if (result == code::kSuccess) size_ = std::max<std::uint64_t>(size_, position + data.size());
  return result;
}

std::uint32_t StoredObject::Truncate(std::uint64_t size) {
  const std::lock_guard lock(all_.mutex_);
  const std::uint32_t result = store().Truncate(key_, size);
  if (result == code::kSuccess) size_ = size;
  return result;
}

std::shared_ptr<StoredObject> StoredObjects::FindOpen(const ObjectKey& key) {
  const auto found = open_.find(key);
  return found == open_.end() ? nullptr : found->second.lock();
}

std::uint32_t StoredObjects::Open(const ObjectKey& key, std::uint32_t flags, ObjectRecord& record,
                                  std::shared_ptr<StoredObject>& object) {
  // Declared before the lock: it may be the last to go, which takes the lock.
  std::shared_ptr<StoredObject> open;
  const std::lock_guard lock(mutex_);
  open = FindOpen(key);
  if (open && !MayShare(open->flags_, flags)) {
    return code::kAccessConflict;
  }
  const std::uint32_t result = store_->Load(key, record);
  if (result != code::kSuccess) return result;
  if (!open) {
    open = std::make_shared<StoredObject>(*this, key, flags);
    open->usage_ = record.usage;
    open->size_ = record.size;
    open_[key] = open;
  }
  object = open;
  return code::kSuccess;
}

std::uint32_t StoredObjects::Create(const ObjectKey& key, std::uint32_t flags,
                                    const ObjectRecord& record, ConstBytes data,
                                    std::shared_ptr<StoredObject>& object) {
  const bool overwrite = (flags & dataflag::kOverwrite) != 0;
  std::shared_ptr<StoredObject> open;
  const std::lock_guard lock(mutex_);
  open = FindOpen(key);
  if (open && (!overwrite || !MayShare(open->flags_, flags))) return code::kAccessConflict;
  const std::uint32_t result = store_->Create(key, record, data, overwrite);
  if (result != code::kSuccess) return result;
  if (!open) {
    open = std::make_shared<StoredObject>(*this, key, flags);
    open_[key] = open;
  }
  open->usage_ = record.usage;
  open->size_ = data.size();
  object = open;
  return code::kSuccess;
}

}  // namespace vtee::ta
