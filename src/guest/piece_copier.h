// SPDX-License-Identifier: BSD-3-Clause
// PieceCopier: one copy between private memory and guest memory that lies in several pieces, of
// mapped slots and of remote ones. Remote pieces that follow each other travel in one request,
// since each request costs two changes of process.
//
// Threading: one copy's own, on its stack, declared VTEE_PIECE_COPIER so that a copy of eight bytes
// does not begin with clearing the room for requests. No allocation, and for mapped slots no system
// call.
// Only for src/guest. Not supported: use after a failure.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "guest/remote_memory.h"
#include "guest/slot_mapping.h"
#include "guest/snapshot_unsafe.h"

// Exempts a variable from -ftrivial-auto-var-init.
#define VTEE_PIECE_COPIER __attribute__((uninitialized))

namespace vtee::guest {

enum class CopyDirection { kFromGuest, kToGuest };

template <CopyDirection kDirection>
class PieceCopier {
 public:
  using Byte =
      std::conditional_t<kDirection == CopyDirection::kFromGuest, std::byte, const std::byte>;

  explicit PieceCopier(Byte* bytes) : next_(bytes) {}

  // Copies the next `size` private bytes. False: the guest's memory is not there.
  bool Copy(const SlotMapping& slot, std::uint64_t offset, std::uint64_t size) {
    if (slot.remote() == nullptr) [[likely]] {
      if (batched_ != 0 && !Flush()) return false;
      Byte* const here = next_;
      next_ += size;
      if constexpr (kDirection == CopyDirection::kFromGuest) {
        return CopyFromGuest(here, slot.data() + offset, size);
      } else {
        return CopyToGuest(slot.data() + offset, here, size);
      }
    }
    return AddRemote(slot, offset, size);
  }

  // Call it last: false if what was still to be copied is not there.
  bool Flush() {
    if (batched_ == 0) return true;
    const std::span<const RemotePiece> pieces(pieces_.data(), count_);
    const std::span<Byte> bytes(next_ - batched_, batched_);
    count_ = 0;
    batched_ = 0;
    if constexpr (kDirection == CopyDirection::kFromGuest) {
      return remote_->Read(pieces, bytes);
    } else {
      return remote_->Write(pieces, bytes);
    }
  }

 private:
  bool AddRemote(const SlotMapping& slot, std::uint64_t offset, std::uint64_t size) {
    if (slot.remote() != remote_ && !Flush()) return false;
    remote_ = slot.remote();
    while (size > 0) {
      const std::uint64_t take = std::min<std::uint64_t>(size, RemoteMemory::kMaxBytes - batched_);
      pieces_[count_++] = {slot.region(), offset, take};
      batched_ += take;
      next_ += take;
      offset += take;
      size -= take;
      const bool full = count_ == pieces_.size() || batched_ == RemoteMemory::kMaxBytes;
      if (full && !Flush()) return false;
    }
    return true;
  }

  Byte* next_;
  RemoteMemory* remote_ = nullptr;
  std::array<RemotePiece, RemoteMemory::kMaxPieces> pieces_;  // the first count_ hold something
  std::size_t count_ = 0;
  std::size_t batched_ = 0;  // private bytes before next_ that wait in pieces_
};

}  // namespace vtee::guest
