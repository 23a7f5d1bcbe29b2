// SPDX-License-Identifier: BSD-3-Clause
// ShmRegistry: the buffers a guest has registered, by the cookie it chose.
//
// A buffer reaches the TEE only when a call first passes it: most registered memory holds message
// arguments that only vtee reads, and a registration with the host's TEE costs more than the
// guest's whole call. Unregistering waits until no call uses the buffer, as OP-TEE does
// (mobj_reg_shm_release_by_cookie): the guest frees the pages right after.
// Threading: any thread. Quotas come from the policy.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <unordered_map>
#include <utility>

#include "base/strong_id.h"
#include "guest/guest_buffer.h"
#include "mediator/policy.h"
#include "tee/session_tee.h"

namespace vtee::optee {

using ShmCookie = StrongId<struct ShmCookieTag, std::uint64_t>;

class ShmObject {
 public:
  explicit ShmObject(std::shared_ptr<const guest::GuestBuffer> buffer)
      : buffer_(std::move(buffer)) {}

  const std::shared_ptr<const guest::GuestBuffer>& buffer() const { return buffer_; }
  // Makes the TEE know the buffer, once; null when it cannot (out of memory).
  tee::RegisteredMemory* Register(tee::SessionTee& tee);

 private:
  std::shared_ptr<const guest::GuestBuffer> buffer_;
  std::mutex mutex_;
  std::unique_ptr<tee::RegisteredMemory> registered_;
};

class ShmRegistry {
 public:
  explicit ShmRegistry(const mediator::Policy& policy) : policy_(policy) {}
  ~ShmRegistry() { GiveBack(); }
  ShmRegistry(const ShmRegistry&) = delete;
  ShmRegistry& operator=(const ShmRegistry&) = delete;

  // One registered buffer; the counters are guarded by the registry's mutex.
  struct Entry {
    explicit Entry(std::shared_ptr<const guest::GuestBuffer> buffer) : object(std::move(buffer)) {}
    ShmObject object;
    std::uint32_t users = 0;
    bool leaving = false;
    std::shared_ptr<Entry> next;  // of those forgotten
  };

  // A call's use of a buffer; while one exists the buffer cannot be unregistered.
  class Use {
   public:
    Use() = default;
    Use(ShmRegistry* registry, std::shared_ptr<Entry> entry)
        : registry_(registry), entry_(std::move(entry)) {}
    Use(Use&& other) noexcept = default;
    Use& operator=(Use&& other) noexcept {
      Drop();
      registry_ = other.registry_;
      entry_ = std::move(other.entry_);
      return *this;
    }
    Use(const Use&) = delete;
    Use& operator=(const Use&) = delete;
    ~Use() { Drop(); }
    explicit operator bool() const { return entry_ != nullptr; }
    ShmObject* operator->() const { return &entry_->object; }
    void Drop();

   private:
    ShmRegistry* registry_ = nullptr;
    std::shared_ptr<Entry> entry_;
  };

  // Bytes of the quota, taken before a buffer is looked at: a page list costs the host memory
  // whether or not it turns out well. Given back on destruction.
  class Charge {
   public:
    Charge() = default;
    Charge(ShmRegistry* registry, std::uint64_t bytes, std::uint64_t epoch)
        : registry_(registry), bytes_(bytes), epoch_(epoch) {}
    Charge(Charge&& other) noexcept
        : registry_(std::exchange(other.registry_, nullptr)),
          bytes_(other.bytes_),
          epoch_(other.epoch_) {}
    Charge& operator=(Charge&& other) noexcept {
      std::swap(registry_, other.registry_);
      std::swap(bytes_, other.bytes_);
      std::swap(epoch_, other.epoch_);
      return *this;
    }
    Charge(const Charge&) = delete;
    Charge& operator=(const Charge&) = delete;
    ~Charge() {
      if (registry_ != nullptr) registry_->Refund(bytes_);
    }
    explicit operator bool() const { return registry_ != nullptr; }

   private:
    friend class ShmRegistry;
    ShmRegistry* registry_ = nullptr;
    std::uint64_t bytes_ = 0;
    std::uint64_t epoch_ = 0;
  };
  // Empty: the quota of bytes is exhausted.
  Charge Take(std::uint64_t bytes);

  // TEEC codes. kBadParameters: the cookie is taken. kOutOfMemory: a quota is exhausted. `charge`
  // is for the buffer's size.
  std::uint32_t Add(ShmCookie cookie, std::shared_ptr<const guest::GuestBuffer> buffer,
                    Charge charge);
  // Waits for the buffer's users. kBadParameters: unknown, or being removed already.
  std::uint32_t Remove(ShmCookie cookie);
  Use Find(ShmCookie cookie);

  // The guest's driver is gone: forgets everything; Remove() calls that wait give up. What is
  // forgotten is still the TEE's, and of the quota, until it is given back. Returns how many
  // buffers there were. Allocates nothing.
  std::size_t Clear();
  // Gives forgotten buffers back to the TEE, which may take it a while.
  void GiveBack();

  std::size_t count() const;
  std::uint64_t bytes() const;

 private:
  void Refund(std::uint64_t bytes);

  const mediator::Policy& policy_;
  mutable std::mutex mutex_;
  std::condition_variable unused_;
  std::unordered_map<ShmCookie, std::shared_ptr<Entry>> entries_;
  std::shared_ptr<Entry> first_forgotten_;  // a list, so that forgetting allocates nothing
  std::size_t forgotten_ = 0;               // its length, and those being given back
  std::uint64_t bytes_ = 0;                 // of all charges and entries, and of those forgotten
  std::uint64_t epoch_ = 0;                 // counts Clear()
};

}  // namespace vtee::optee
