// SPDX-License-Identifier: BSD-3-Clause
// TaSpace: which parts of an arena a TA has, and what it may do there.
//
// The record that decides; the Channel has a copy for the runner's quick answers. System calls
// reach a TA's memory through here only: Read() and Write() copy, View() lends bytes that the TA's
// process may still change, for bulk data that nothing is decided on.
// Threading: as the instance: one thread at a time.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runner/access_check.h"
#include "ta/process/runner_process.h"

namespace vtee::ta {

class TaSpace {
 public:
  // Addresses of a TA are below 4 GiB, so that is what system calls get as pointers, too.
  using Address = std::uint64_t;

  // `private_limit`: bytes of the TA's own (modules, stack, what it maps), parameters not counted.
  TaSpace(RunnerProcess& process, std::uint64_t private_limit);

  enum class Zone : std::uint8_t { kModules, kAnywhere };
  // Zeroed pages, with a gap on both sides; kRegion* flags. Nothing: no room, or the limit is
  // reached. The runner gets at them after Apply().
  std::optional<Address> Allocate(Zone zone, std::uint64_t size, std::uint32_t flags);
  // The same with gaps of at least these sizes, for the system PTA.
  std::optional<Address> AllocateWithGaps(Zone zone, std::uint64_t size, std::uint64_t gap_before,
                                          std::uint64_t gap_after, std::uint32_t flags);
  // Changes the rights of pages of one region, which is split as needed.
  bool SetFlags(Address start, std::uint64_t size, std::uint32_t flags);
  // Gives a region back, which must have been allocated in one piece.
  bool Free(Address start, std::uint64_t size);
  // Has the runner map what has changed. False: it is dead or cannot.
  [[nodiscard]] bool Apply();

  // As utee_check_access_rights.
  bool Allows(std::uint64_t access, Address address, std::uint64_t size) const {
    return runner::CheckAccess(regions_.data(), regions_.size(), access, address, size) == 0;
  }
  // What a system call may read or write: any owner's memory that is mapped so.
  bool Read(Address address, std::span<std::byte> out) const;
  bool Write(Address address, std::span<const std::byte> bytes) const;
  // Only out of or into memory of the TA's own.
  bool ReadPrivate(Address address, std::span<std::byte> out) const;
  bool WritePrivate(Address address, std::span<const std::byte> bytes) const;
  // Nothing: not wholly readable, or writable. Empty for no bytes.
  std::optional<std::span<const std::byte>> ViewIn(Address address, std::uint64_t size) const;
  std::optional<std::span<std::byte>> ViewOut(Address address, std::uint64_t size) const;

  // Bytes of the arena no matter what the TA may do there: for the loader.
  std::span<std::byte> Raw(Address address, std::uint64_t size) const {
    return process_.arena().At(address, size);
  }
  const std::vector<runner::Region>& regions() const { return regions_; }
  // Any thread.
  std::uint64_t private_bytes() const { return private_bytes_.load(std::memory_order_relaxed); }

  template <typename T>
  bool ReadObject(Address address, T& out) const {
    return Read(address, std::as_writable_bytes(std::span(&out, 1)));
  }
  template <typename T>
  bool WriteObject(Address address, const T& object) const {
    return Write(address, std::as_bytes(std::span(&object, 1)));
  }

 private:
  struct Change {
    Address start;
    std::uint64_t size;
    std::uint32_t flags;
  };
  std::optional<Address> FindGap(Address low, Address high, std::uint64_t size,
                                 std::uint64_t before, std::uint64_t after) const;
  // The changes as they are in the end: no page twice.
  std::vector<Change> Pending() const;
  void Publish() const;

  RunnerProcess& process_;
  const std::uint64_t private_limit_;
  std::atomic<std::uint64_t> private_bytes_ = 0;
  std::vector<runner::Region> regions_;  // sorted
  std::vector<Change> changes_;          // not yet applied
};

}  // namespace vtee::ta
