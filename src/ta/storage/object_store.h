// SPDX-License-Identifier: BSD-3-Clause
// ObjectStore: where the persistent objects of one VM's TAs are kept.
//
// Every call is one transaction: done for good when it returns, or not at all. Results are TEE
// codes: ITEM_NOT_FOUND, ACCESS_CONFLICT (there is one already), CORRUPT_OBJECT,
// STORAGE_NO_SPACE, STORAGE_NOT_AVAILABLE.
// Threading: any thread. Who may use an object when is not decided here (stored_objects.h).
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <vector>

#include "ta/crypto/secret.h"
#include "tee/types.h"

namespace vtee::ta {

inline constexpr std::uint32_t kCorruptObject = 0xF0100001;
inline constexpr std::uint32_t kStorageNoSpace = 0xFFFF3041;

using ObjectId = std::vector<std::byte>;
inline constexpr std::size_t kMostObjectId = 64;  // TEE_OBJECT_ID_MAX_LEN
// What an object counts for beside its attributes and data, so that empty ones are no way around a
// limit on bytes.
inline constexpr std::uint64_t kObjectCharge = 256;

inline constexpr std::uint32_t kPrivateStorage = 1;  // TEE_STORAGE_PRIVATE

struct ObjectKey {
  tee::Uuid ta;
  ObjectId id;
  std::uint32_t storage = kPrivateStorage;
  friend auto operator<=>(const ObjectKey&, const ObjectKey&) = default;
};

struct ObjectRecord {
  SecretBytes object;  // CryptoObject::Serialize()
  std::uint32_t usage = 0;
  std::uint64_t size = 0;  // of the data
};

class ObjectStore {
 public:
  virtual ~ObjectStore() = default;
  virtual std::uint32_t Create(const ObjectKey& key, const ObjectRecord& record, ConstBytes data,
                               bool overwrite) = 0;
  virtual std::uint32_t Load(const ObjectKey& key, ObjectRecord& record) = 0;
  // `got`: less than asked for at the end of the data.
  virtual std::uint32_t Read(const ObjectKey& key, std::uint64_t position, MutableBytes out,
                             std::uint64_t& got) = 0;
  // Zeros fill what lies between the end and `position`.
  virtual std::uint32_t Write(const ObjectKey& key, std::uint64_t position, ConstBytes data) = 0;
  virtual std::uint32_t Truncate(const ObjectKey& key, std::uint64_t size) = 0;
  virtual std::uint32_t SetUsage(const ObjectKey& key, std::uint32_t usage) = 0;
  virtual std::uint32_t Rename(const ObjectKey& key, const ObjectId& id) = 0;
  virtual std::uint32_t Remove(const ObjectKey& key) = 0;
  // As they are now, appended to `ids`.
  virtual std::uint32_t List(const tee::Uuid& ta, std::uint32_t storage,
                             std::vector<ObjectId>& ids) = 0;
};

}  // namespace vtee::ta
