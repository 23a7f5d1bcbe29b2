// SPDX-License-Identifier: BSD-3-Clause
// A whole state on the disk as vteed makes it, for tests of what is done with states.
// Threading: one thread.
#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "ta/storage/durable_file.h"
#include "ta/storage/sqlite_store.h"
#include "ta/storage/state_key.h"
#include "ta/storage/test_store.h"

namespace vtee::ta {

// With the host's key at `key` (made if it is not there), as the VM 7.
inline Result<std::unique_ptr<SqliteStore>> OpenState(const std::string& folder,
                                                      const std::string& key) {
  VTEE_ASSIGN_OR_RETURN(const SecretBytes host, ReadHostKey(key, true));
  VTEE_ASSIGN_OR_RETURN(const StateKey root, StateKey::Open(folder, TestUuid(7), host));
  SqliteStoreOptions options = TestOptions(folder);
  options.root_key = root.Derive("storage");
  options.vm_name = "web";
  return SqliteStore::Open(std::move(options));
}

inline std::unique_ptr<SqliteStore> MustOpenState(const std::string& folder) {
  auto store = OpenState(folder, folder + ".key");
  if (store.ok()) return std::move(store).value();
  ADD_FAILURE() << store.error().message;
  return nullptr;
}

inline std::string StateRefusal(const std::string& folder) {
  const auto store = OpenState(folder, folder + ".key");
  return store.ok() ? "" : store.error().message;
}

inline void AddObject(const std::string& folder, const std::string& id) {
  const auto store = MustOpenState(folder);
  ASSERT_NE(store, nullptr);
  EXPECT_EQ(store->Create(TestKey(id), TestRecord(), TestBytes(600, 1), false),
            tee::code::kSuccess);
}

inline std::size_t ObjectsIn(const std::string& folder) {
  const auto store = MustOpenState(folder);
  if (!store) return 0;
  const auto content = ContentOf(*store);
  return content ? content->size() : 0;
}

inline SecretBytes BytesOf(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  return Secret(std::as_bytes(std::span(text)));
}

inline void PutBytes(const std::string& path, ConstBytes bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

}  // namespace vtee::ta
