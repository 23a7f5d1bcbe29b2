// SPDX-License-Identifier: BSD-3-Clause
#include "dialect/optee/shm_registry.h"

#include "base/log.h"

namespace vtee::optee {

tee::RegisteredMemory* ShmObject::Register(tee::SessionTee& tee) {
  const std::lock_guard lock(mutex_);
  if (!registered_) {
    auto result = tee.RegisterMemory(buffer_);
    if (!result.ok()) {
      LogGuest(LogLevel::kWarning, "shm.register",
               {{"bytes", buffer_->size()}, {"error", result.error().message}});
      return nullptr;
    }
    registered_ = std::move(result).value();
  }
  return registered_.get();
}

void ShmRegistry::Use::Drop() {
  const std::shared_ptr<Entry> entry = std::move(entry_);
  if (!entry) return;
  const std::lock_guard lock(registry_->mutex_);
  if (--entry->users == 0) registry_->unused_.notify_all();
}

ShmRegistry::Charge ShmRegistry::Take(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  if (bytes > policy_.max_shm_bytes - bytes_) {
    LogGuest(LogLevel::kWarning, "shm.quota",
             {{"objects", static_cast<std::uint64_t>(entries_.size())}, {"bytes", bytes_}});
    return {};
  }
  bytes_ += bytes;
  return Charge(this, bytes, epoch_);
}

void ShmRegistry::Refund(std::uint64_t bytes) {
  const std::lock_guard lock(mutex_);
  bytes_ -= bytes;
}

std::uint32_t ShmRegistry::Add(ShmCookie cookie, std::shared_ptr<const guest::GuestBuffer> buffer,
                               Charge charge) {
  {
    const std::lock_guard lock(mutex_);
    if (charge.epoch_ != epoch_) return tee::code::kBadState;  // the guest has restarted
    if (entries_.contains(cookie)) return tee::code::kBadParameters;
    if (entries_.size() + forgotten_ < policy_.max_shm_objects) {
      entries_.emplace(cookie, std::make_shared<Entry>(std::move(buffer)));
      charge.registry_ = nullptr;  // the entry's from now on
      return tee::code::kSuccess;
    }
  }
  LogGuest(LogLevel::kWarning, "shm.quota", {{"objects", policy_.max_shm_objects}});
  return tee::code::kOutOfMemory;
}

std::uint32_t ShmRegistry::Remove(ShmCookie cookie) {
  std::shared_ptr<Entry> entry;  // dropped, and so given back to the TEE, without the lock
  std::unique_lock lock(mutex_);
  const auto it = entries_.find(cookie);
  if (it == entries_.end() || it->second->leaving) return tee::code::kBadParameters;
  entry = it->second;
  entry->leaving = true;
  const std::uint64_t epoch = epoch_;
  unused_.wait(lock, [&] { return entry->users == 0 || epoch_ != epoch; });
  if (epoch_ != epoch) return tee::code::kBadState;
  entries_.erase(cookie);
  bytes_ -= entry->object.buffer()->size();
  lock.unlock();
  return tee::code::kSuccess;
}

ShmRegistry::Use ShmRegistry::Find(ShmCookie cookie) {
  const std::lock_guard lock(mutex_);
  const auto it = entries_.find(cookie);
  if (it == entries_.end() || it->second->leaving) return {};
  ++it->second->users;
  return Use(this, it->second);
}

std::size_t ShmRegistry::Clear() {
  const std::lock_guard lock(mutex_);
  const std::size_t count = entries_.size();
  for (auto& [cookie, entry] : entries_) {
    entry->next = std::move(first_forgotten_);
    first_forgotten_ = std::move(entry);
  }
  entries_.clear();
  forgotten_ += count;
  ++epoch_;
  unused_.notify_all();
  return count;
}

void ShmRegistry::GiveBack() {
  std::unique_lock lock(mutex_);
  while (first_forgotten_) {
    std::shared_ptr<Entry> entry = std::move(first_forgotten_);
    first_forgotten_ = std::move(entry->next);
    lock.unlock();
    const std::uint64_t bytes = entry->object.buffer()->size();
    entry.reset();
    lock.lock();
    --forgotten_;
    bytes_ -= bytes;
  }
}

std::size_t ShmRegistry::count() const {
  const std::lock_guard lock(mutex_);
  return entries_.size();
}

std::uint64_t ShmRegistry::bytes() const {
  const std::lock_guard lock(mutex_);
  return bytes_;
}

}  // namespace vtee::optee
