// SPDX-License-Identifier: BSD-3-Clause
// FaultyVfs: an SQLite file system that fails, or loses power, at the n-th write, truncation or
// write-back. What was not written back before a power failure is there afterwards in part only:
// some of the writes, in any choice.
//
// Threading: one thread. Not supported: shared memory files, torn sectors, lost file names.
#pragma once

#include <sqlite3.h>

#include <map>
#include <random>
#include <string>
#include <vector>

#include "ta/crypto/secret.h"

namespace vtee::ta {

class FaultyVfs {
 public:
  enum class Fault {
    kOnce,   // this one fails
    kStays,  // and all after it, until Heal()
    kPower,  // and all else, until LosePower()
  };
  explicit FaultyVfs(const char* name);
  ~FaultyVfs();
  FaultyVfs(const FaultyVfs&) = delete;
  FaultyVfs& operator=(const FaultyVfs&) = delete;

  void Arm(int operations, Fault fault);
  bool happened() const { return happened_; }
  // For files beside SQLite's that share the disk: counts one operation, and whether it fails.
  bool Fails();
  bool down() const { return failing_; }
  void Heal();
  // To be called when nobody has a file open any more.
  void LosePower(std::mt19937& random);

 private:
  struct Write {
    sqlite3_int64 offset;
    std::vector<std::byte> before;  // shorter at the end of the file
    std::vector<std::byte> after;
    sqlite3_int64 size_before;
  };
  struct File;
  static File* Of(sqlite3_file* file);
  static int Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out);
  static int Close(sqlite3_file* file);
  static int Read(sqlite3_file* file, void* data, int size, sqlite3_int64 offset);
  static int WriteAt(sqlite3_file* file, const void* data, int size, sqlite3_int64 offset);
  static int Truncate(sqlite3_file* file, sqlite3_int64 size);
  static int Sync(sqlite3_file* file, int flags);
  static int FileSize(sqlite3_file* file, sqlite3_int64* size);
  static int Lock(sqlite3_file* file, int level);
  static int Unlock(sqlite3_file* file, int level);
  static int CheckLock(sqlite3_file* file, int* out);
  static int Control(sqlite3_file* file, int operation, void* argument);
  static int SectorSize(sqlite3_file* file);
  static int Characteristics(sqlite3_file* file);

  sqlite3_vfs* const real_;
  sqlite3_vfs vfs_;
  sqlite3_io_methods methods_{};
  int left_ = 0;
  Fault fault_ = Fault::kOnce;
  bool failing_ = false;
  bool happened_ = false;
  std::map<std::string, std::vector<Write>> unsynced_;
};

}  // namespace vtee::ta
