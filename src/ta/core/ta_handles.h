// SPDX-License-Identifier: BSD-3-Clause
// What the handles of a TA stand for: objects, operations, enumerations. Numbers, never pointers,
// and not used again for long. They end with the TA's instance.
// Threading: as the instance.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "ta/crypto/ae.h"
#include "ta/crypto/cipher.h"
#include "ta/crypto/digest.h"
#include "ta/crypto/mac.h"
#include "ta/crypto/object.h"
#include "ta/crypto/operation_modes.h"
#include "tee/types.h"

namespace vtee::ta {

template <typename T>
class HandleTable {
 public:
  // 0: there are too many.
  std::uint32_t Add(std::shared_ptr<T> object) {
    constexpr std::size_t kMost = 4096;
    if (objects_.size() >= kMost) return 0;
    do {
      ++last_;
    } while (last_ == 0 || objects_.contains(last_));
    objects_[last_] = std::move(object);
    return last_;
  }
  std::shared_ptr<T> Find(std::uint64_t handle) const {
    const auto found = objects_.find(static_cast<std::uint32_t>(handle));
    return handle > 0xFFFFFFFF || found == objects_.end() ? nullptr : found->second;
  }
  void Remove(std::uint64_t handle) { objects_.erase(static_cast<std::uint32_t>(handle)); }

 private:
  std::map<std::uint32_t, std::shared_ptr<T>> objects_;
  std::uint32_t last_ = 0;
};

// TEE_HANDLE_FLAG_*
inline constexpr std::uint32_t kHandlePersistent = 0x10000;
inline constexpr std::uint32_t kHandleInitialized = 0x20000;

inline constexpr std::uint32_t kUsageExtractable = 1;
inline constexpr std::uint32_t kUsageDefault = 0xFFFFFFFF;

class StoredObject;

struct ObjectHandle {
  CryptoObject key;
  std::uint32_t usage = kUsageDefault;  // of transient objects
  bool busy = false;                    // an operation has it
  // Persistent objects.
  std::shared_ptr<StoredObject> stored;
  std::uint32_t access = 0;  // TEE_DATA_FLAG_* it was opened with
  std::uint64_t position = 0;

  bool persistent() const { return stored != nullptr; }
};

struct Operation {
  std::uint32_t algorithm = 0;
  std::uint32_t mode = 0;
  std::uint32_t key1 = 0;  // handles, which belong to the operation
  std::uint32_t key2 = 0;
  // One of them once Init has been called, by the class of the algorithm; those with keys are made
  // by Init, when the keys are there.
  std::unique_ptr<DigestState> digest;
  std::unique_ptr<MacState> mac;
  std::unique_ptr<CipherState> cipher;
  std::unique_ptr<AeState> ae;
};

struct ObjectEnumeration {
  bool started = false;
  std::vector<std::vector<std::byte>> ids;  // as they were at the start
  std::size_t next = 0;
};

struct TaHandles {
  HandleTable<ObjectHandle> objects;
  HandleTable<Operation> operations;
  HandleTable<ObjectEnumeration> enumerations;
};

}  // namespace vtee::ta
