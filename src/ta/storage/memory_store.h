// SPDX-License-Identifier: BSD-3-Clause
// MemoryStore: objects that end with the process, for a TEE without a state directory. Any thread.
#pragma once

#include <map>
#include <mutex>

#include "ta/storage/object_store.h"

namespace vtee::ta {

class MemoryStore final : public ObjectStore {
 public:
  explicit MemoryStore(std::uint64_t most_bytes) : most_bytes_(most_bytes) {}

  std::uint32_t Create(const ObjectKey& key, const ObjectRecord& record, ConstBytes data,
                       bool overwrite) override;
  std::uint32_t Load(const ObjectKey& key, ObjectRecord& record) override;
  std::uint32_t Read(const ObjectKey& key, std::uint64_t position, MutableBytes out,
                     std::uint64_t& got) override;
  std::uint32_t Write(const ObjectKey& key, std::uint64_t position, ConstBytes data) override;
  std::uint32_t Truncate(const ObjectKey& key, std::uint64_t size) override;
  std::uint32_t SetUsage(const ObjectKey& key, std::uint32_t usage) override;
  std::uint32_t Rename(const ObjectKey& key, const ObjectId& id) override;
  std::uint32_t Remove(const ObjectKey& key) override;
  std::uint32_t List(const tee::Uuid& ta, std::uint32_t storage,
                     std::vector<ObjectId>& ids) override;

 private:
  struct Object {
    SecretBytes object;
    std::uint32_t usage = 0;
    SecretBytes data;
  };
  Object* Find(const ObjectKey& key);
  // What it counts for of most_bytes_.
  static std::uint64_t Charge(const Object& object);
  std::uint32_t Resize(Object& object, std::uint64_t size);

  const std::uint64_t most_bytes_;
  std::mutex mutex_;
  std::uint64_t bytes_ = 0;
  std::map<ObjectKey, Object> objects_;
};

}  // namespace vtee::ta
