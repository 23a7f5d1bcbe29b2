// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/test_vfs.h"

#include <fcntl.h>
#include <unistd.h>

#include <ranges>

#include "base/unique_fd.h"

namespace vtee::ta {

// SQLite gives the memory: of the file and, after it, of the real one.
struct FaultyVfs::File {
  sqlite3_file base;
  FaultyVfs* owner;
  sqlite3_file* real;
  const char* path;  // SQLite keeps it
};

FaultyVfs::File* FaultyVfs::Of(sqlite3_file* file) { return reinterpret_cast<File*>(file); }

FaultyVfs::FaultyVfs(const char* name) : real_(sqlite3_vfs_find(nullptr)), vfs_(*real_) {
  vfs_.zName = name;
  vfs_.pNext = nullptr;
  vfs_.szOsFile = static_cast<int>(sizeof(File)) + real_->szOsFile;
  vfs_.pAppData = this;
  vfs_.xOpen = &Open;
  // The rest takes the real one's data, which has no use for the structure it comes with.
  vfs_.xDelete = [](sqlite3_vfs* vfs, const char* path, int sync) {
    auto* self = static_cast<FaultyVfs*>(vfs->pAppData);
    if (self->failing_) return SQLITE_IOERR_DELETE;
    self->unsynced_.erase(path);
    return self->real_->xDelete(self->real_, path, sync);
  };
  vfs_.xAccess = [](sqlite3_vfs* vfs, const char* path, int flags, int* out) {
    auto* real = static_cast<FaultyVfs*>(vfs->pAppData)->real_;
    return real->xAccess(real, path, flags, out);
  };
  vfs_.xFullPathname = [](sqlite3_vfs* vfs, const char* path, int size, char* out) {
    auto* real = static_cast<FaultyVfs*>(vfs->pAppData)->real_;
    return real->xFullPathname(real, path, size, out);
  };
  methods_ = {
      1,       &Close,     &Read,    &WriteAt,    &Truncate,        &Sync,   &FileSize, &Lock,
      &Unlock, &CheckLock, &Control, &SectorSize, &Characteristics, nullptr, nullptr,   nullptr,
      nullptr, nullptr,    nullptr};
  sqlite3_vfs_register(&vfs_, 0);
}

FaultyVfs::~FaultyVfs() { sqlite3_vfs_unregister(&vfs_); }

void FaultyVfs::Arm(int operations, Fault fault) {
  left_ = operations;
  fault_ = fault;
  happened_ = failing_ = false;
  unsynced_.clear();
}

void FaultyVfs::Heal() {
  failing_ = false;
  left_ = 0;
}

bool FaultyVfs::Fails() {
  if (failing_) return true;
  if (left_ == 0 || --left_ != 0) return false;
  happened_ = true;
  failing_ = fault_ != Fault::kOnce;
  return true;
}

void FaultyVfs::LosePower(std::mt19937& random) {
  for (const auto& [path, writes] : unsynced_) {
    const UniqueFd fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (!fd) continue;
    for (const Write& write : writes | std::views::reverse) {
      static_cast<void>(::pwrite(fd.get(), write.before.data(), write.before.size(), write.offset));
      static_cast<void>(::ftruncate(fd.get(), write.size_before));
    }
    for (const Write& write : writes) {
      if (random() % 2 == 0) continue;
      static_cast<void>(::pwrite(fd.get(), write.after.data(), write.after.size(), write.offset));
    }
  }
  unsynced_.clear();
  Heal();
}

int FaultyVfs::Open(sqlite3_vfs* vfs, const char* name, sqlite3_file* file, int flags, int* out) {
  auto* self = static_cast<FaultyVfs*>(vfs->pAppData);
  File* made = Of(file);
  made->base.pMethods = nullptr;
  made->owner = self;
  made->real = reinterpret_cast<sqlite3_file*>(made + 1);
  made->path = name;
  if (self->failing_ && self->fault_ == Fault::kPower) return SQLITE_CANTOPEN;
  const int result = self->real_->xOpen(self->real_, name, made->real, flags, out);
  if (made->real->pMethods != nullptr) made->base.pMethods = &self->methods_;
  return result;
}

int FaultyVfs::Close(sqlite3_file* file) {
  return Of(file)->real->pMethods->xClose(Of(file)->real);
}

int FaultyVfs::Read(sqlite3_file* file, void* data, int size, sqlite3_int64 offset) {
  const FaultyVfs& self = *Of(file)->owner;
  if (self.failing_ && self.fault_ == Fault::kPower) return SQLITE_IOERR_READ;
  return Of(file)->real->pMethods->xRead(Of(file)->real, data, size, offset);
}

int FaultyVfs::WriteAt(sqlite3_file* file, const void* data, int size, sqlite3_int64 offset) {
  File& own = *Of(file);
  if (own.owner->Fails()) return SQLITE_FULL;
  sqlite3_int64 before = 0;
  own.real->pMethods->xFileSize(own.real, &before);
  Write write{offset, {}, {}, before};
  if (offset < before) {
    write.before.resize(static_cast<std::size_t>(std::min<sqlite3_int64>(size, before - offset)));
    own.real->pMethods->xRead(own.real, write.before.data(), static_cast<int>(write.before.size()),
                              offset);
  }
  const auto* bytes = static_cast<const std::byte*>(data);
  write.after.assign(bytes, bytes + size);
  if (own.path != nullptr) own.owner->unsynced_[own.path].push_back(std::move(write));
  return own.real->pMethods->xWrite(own.real, data, size, offset);
}

int FaultyVfs::Truncate(sqlite3_file* file, sqlite3_int64 size) {
  if (Of(file)->owner->Fails()) return SQLITE_IOERR_TRUNCATE;
  return Of(file)->real->pMethods->xTruncate(Of(file)->real, size);
}

int FaultyVfs::Sync(sqlite3_file* file, int flags) {
  File& own = *Of(file);
  if (own.owner->Fails()) return SQLITE_IOERR_FSYNC;
  if (own.path != nullptr) own.owner->unsynced_.erase(own.path);
  return own.real->pMethods->xSync(own.real, flags);
}

int FaultyVfs::FileSize(sqlite3_file* file, sqlite3_int64* size) {
  return Of(file)->real->pMethods->xFileSize(Of(file)->real, size);
}
int FaultyVfs::Lock(sqlite3_file* file, int level) {
  return Of(file)->real->pMethods->xLock(Of(file)->real, level);
}
int FaultyVfs::Unlock(sqlite3_file* file, int level) {
  return Of(file)->real->pMethods->xUnlock(Of(file)->real, level);
}
int FaultyVfs::CheckLock(sqlite3_file* file, int* out) {
  return Of(file)->real->pMethods->xCheckReservedLock(Of(file)->real, out);
}
int FaultyVfs::Control(sqlite3_file* file, int operation, void* argument) {
  return Of(file)->real->pMethods->xFileControl(Of(file)->real, operation, argument);
}
int FaultyVfs::SectorSize(sqlite3_file* file) {
  return Of(file)->real->pMethods->xSectorSize(Of(file)->real);
}
// What the real one promises (powersafe overwrite) does not hold here in full.
int FaultyVfs::Characteristics(sqlite3_file*) { return 0; }

}  // namespace vtee::ta
