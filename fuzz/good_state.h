// SPDX-License-Identifier: BSD-3-Clause
// A VM's state on the disk as vteed makes it, for fuzzers to spoil: made once, then put back before
// each input.
//
// Threading: one thread.
#pragma once

#include <unistd.h>

#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "fuzz_input.h"
#include "ta/crypto/object.h"
#include "ta/crypto/object_types.h"
#include "ta/storage/durable_file.h"
#include "ta/storage/sqlite_store.h"
#include "ta/storage/state_key.h"
#include "ta/storage/state_paths.h"

namespace vtee::ta {

// A folder in memory where that can be had: states are flushed with every change.
class ScratchFolder {
 public:
  ScratchFolder() {
    path_ =
        std::string(::access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp") + "/vtee-fuzz-XXXXXX";
    Require(::mkdtemp(path_.data()) != nullptr);
  }
  ~ScratchFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

inline void PutFile(const std::string& path, ConstBytes bytes) {
  std::ofstream file(path, std::ios::binary | std::ios::trunc);
  file.write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
  file.close();
  Require(file.good());
  std::filesystem::permissions(path, std::filesystem::perms(0600));
}

inline SecretBytes GetFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string text(std::istreambuf_iterator<char>(file), {});
  return Secret(std::as_bytes(std::span(text)));
}

class GoodState {
 public:
  // Of the folder's files and of those beside it.
  static constexpr std::array<std::string_view, 4> kFiles = {"/root.sealed", "/objects.db",
                                                             ".anchor", ".key"};

  GoodState() {
    const ScratchFolder scratch;
    const std::string folder = scratch.path() + "/vm";
    {
      auto opened = Open(folder);
      Require(opened.ok());
      Fill(**opened);
    }
    for (const std::string_view file : kFiles) files_[file] = GetFile(folder + std::string(file));
    const auto root = StateKey::Open(folder, Vm(), files_[".key"]);
    Require(root.ok());
    storage_key_ = root->Derive(kStorageLabel);
  }

  static tee::Uuid Vm() { return {{0xAB, 7}}; }
  static tee::Uuid Ta() { return {{0xAB, 1}}; }
  static ObjectKey Key(std::string_view id) {
    const auto bytes = std::as_bytes(std::span(id));
    return {Ta(), {bytes.begin(), bytes.end()}};
  }
  static SecretBytes DataOf(std::string_view id) {
    return SecretBytes(id == "a" ? 5000 : 50, static_cast<std::byte>(id[0]));
  }
  static constexpr std::array<std::string_view, 2> kObjects = {"a", "b"};

  // As vteed opens its VM's, but for a TPM.
  static Result<std::unique_ptr<SqliteStore>> Open(const std::string& folder) {
    VTEE_ASSIGN_OR_RETURN(const SecretBytes host, OpenHostKey("", folder, true));
    VTEE_ASSIGN_OR_RETURN(const StateKey root, StateKey::Open(folder, Vm(), host));
    SqliteStoreOptions options;
    options.dir = folder;
    options.vm = Vm();
    options.vm_name = "web";
    options.root_key = root.Derive(kStorageLabel);
    return SqliteStore::Open(std::move(options));
  }

  const SecretBytes& File(std::string_view name) const { return files_.at(name); }
  const SecretBytes& storage_key() const { return storage_key_; }
  // `folder` and what is beside it, as it was.
  void PutTo(const std::string& folder) const {
    std::filesystem::remove_all(folder);
    Require(std::filesystem::create_directory(folder));
    for (const auto& [name, bytes] : files_) PutFile(folder + std::string(name), bytes);
  }

 private:
  static void Fill(SqliteStore& store) {
    CryptoObject key(objtype::kAes, 256);
    key.SetSecret(SecretBytes(32, std::byte{3}));
    std::uint32_t newest = 0;
    for (const std::string_view id : kObjects) {
      const ObjectRecord record{id == "a" ? key.Serialize() : CryptoObject().Serialize(),
                                0xFFFFFFFF, 0};
      Require(store.Create(Key(id), record, DataOf(id), false) == tee::code::kSuccess);
    }
    Require(store.RaiseTaVersion(Ta(), 4, newest) == tee::code::kSuccess);
    Require(store.SetTimeOffset(Ta(), 4) == tee::code::kSuccess);
  }

  std::map<std::string_view, SecretBytes> files_;
  SecretBytes storage_key_;
};

}  // namespace vtee::ta
