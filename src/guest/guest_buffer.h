// SPDX-License-Identifier: BSD-3-Clause
// GuestBuffer: guest memory that the guest shares with a TEE: a byte range over pages that may be
// scattered. What backends receive as tee::SharedMemory.
//
// Threading: immutable once made; any thread. Ownership: keeps the slots' mappings alive, so the
// buffer stays valid when the VMM removes a slot meanwhile.
// Windows (Map) take one kernel mapping per run of file-contiguous memory. The process shares one
// budget for them, half of vm.max_map_count, so that a guest with very scattered buffers cannot
// take the mappings that the process itself needs to go on; beyond it Map() is kResourceExhausted.
// Not supported by Map(): hosts or files whose pages are larger than a run, and remote slots
// (kUnsupported). In all these cases Read() and Write() still work: copy.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "guest/guest_memory.h"
#include "tee/shared_memory.h"

namespace vtee::guest {

class GuestBuffer final : public tee::SharedMemory {
 public:
  // `pages`: page-aligned IPAs in order; the buffer starts `offset` (< 4 KiB) into the first and
  // holds `size` bytes, all of which the pages must cover (else kBadList); pages beyond are not
  // looked at. An empty buffer (size 0) can be made, read and written, but not mapped.
  static MemFault FromPages(const GuestMemory& memory, std::span<const GuestPhysAddr> pages,
                            std::uint64_t offset, std::uint64_t size,
                            std::shared_ptr<const GuestBuffer>& out);
  static MemFault FromRange(const GuestMemory& memory, GuestPhysAddr base, std::uint64_t size,
                            std::shared_ptr<const GuestBuffer>& out);

  std::uint64_t size() const override { return size_; }
  bool Read(std::uint64_t offset, std::span<std::byte> out) const override;
  bool Write(std::uint64_t offset, std::span<const std::byte> bytes) const override;
  std::uint64_t pieces() const override { return runs_.size(); }
  Result<std::unique_ptr<tee::MappedWindow>> Map() const override;

 private:
  GuestBuffer(std::vector<FileRun> runs, std::uint64_t size);
  template <typename Copy>
  bool ForEachPiece(std::uint64_t offset, std::uint64_t size, Copy copy) const;

  std::vector<FileRun> runs_;
  std::vector<std::uint64_t> run_start_;  // offset of each run in the buffer, for lookup
  std::uint64_t size_ = 0;
};

}  // namespace vtee::guest
