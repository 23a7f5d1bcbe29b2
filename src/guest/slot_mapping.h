// SPDX-License-Identifier: BSD-3-Clause
// SlotMapping: the way to one memory slot's bytes: its file and this process's mapping of it, or,
// for memory that cannot be mapped, whoever copies from and to it.
//
// Threading: immutable. Ownership: owns the descriptor and the mapping; shared by the slot table
// and by every buffer and window that uses it. Only for src/guest: everything else goes through
// GuestMemory and GuestBuffer.
// Not supported: files that are not regular (a memfd and hugetlbfs are): device memory that a
// VMM maps into a guest must not be read by chance.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "base/result.h"
#include "base/unique_fd.h"
#include "guest/guest_memory.h"
#include "guest/remote_memory.h"

namespace vtee::guest {

class SlotMapping {
 public:
  // `spec` has been checked for alignment and size.
  static Result<std::shared_ptr<const SlotMapping>> Create(const SlotSpec& spec, UniqueFd file);
  static std::shared_ptr<const SlotMapping> CreateRemote(const SlotSpec& spec,
                                                         std::shared_ptr<RemoteMemory> remote,
                                                         std::uint64_t region);
  ~SlotMapping();
  SlotMapping(const SlotMapping&) = delete;
  SlotMapping& operator=(const SlotMapping&) = delete;

  // Guest bytes: only for CopyFromGuest() and CopyToGuest() of snapshot_unsafe.h. Null if remote.
  std::byte* data() const { return data_; }
  // Not null: the slot is reached through it only, as this region.
  RemoteMemory* remote() const { return remote_.get(); }
  std::uint64_t region() const { return region_; }
  std::uint64_t size() const { return size_; }
  bool read_only() const { return read_only_; }

  int fd() const { return file_.get(); }
  std::uint64_t file_offset() const { return file_offset_; }
  bool SameFile(const SlotMapping& other) const {
    return device_ == other.device_ && inode_ == other.inode_;
  }

 private:
  SlotMapping() = default;

  UniqueFd file_;
  std::byte* data_ = nullptr;
  std::uint64_t size_ = 0;
  std::uint64_t file_offset_ = 0;
  dev_t device_ = 0;
  ino_t inode_ = 0;
  bool read_only_ = false;
  std::shared_ptr<RemoteMemory> remote_;
  std::uint64_t region_ = 0;
};

}  // namespace vtee::guest
