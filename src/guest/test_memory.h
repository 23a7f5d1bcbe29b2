// SPDX-License-Identifier: BSD-3-Clause
// Guest memory for tests: memfds and slots made of them. Any test of the project may use it.
// Threading: as GuestMemory. Not for production code.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <stdexcept>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "guest/guest_memory.h"

namespace vtee::guest {

// A memfd of `size` zero bytes. Sealable, as a VMM's may be.
inline UniqueFd MakeTestFile(std::uint64_t size) {
  UniqueFd fd(memfd_create("vtee-test", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!fd || ftruncate(fd.get(), static_cast<off_t>(size)) != 0) {
    throw std::runtime_error("cannot make a memfd");
  }
  return fd;
}

inline UniqueFd DupTestFile(const UniqueFd& fd) { return UniqueFd(dup(fd.get())); }

// One slot in one file, which the test can reach past GuestMemory by pread and pwrite.
class TestMemory {
 public:
  TestMemory(std::uint64_t base, std::uint64_t size) : file_(MakeTestFile(size)) {
    if (!InstallFaultHandler().ok()) throw std::runtime_error("no fault handler");
    const SlotSpec spec{SlotId(0), GuestPhysAddr(base), size, 0, false};
    if (!memory_.SetSlot(spec, DupTestFile(file_)).ok()) throw std::runtime_error("no slot");
    base_ = base;
  }

  GuestMemory& memory() { return memory_; }
  int file() const { return file_.get(); }
  const UniqueFd& unique_file() const { return file_; }

  void Put(std::uint64_t address, std::span<const std::byte> bytes) const {
    const auto at = static_cast<off_t>(address - base_);
    if (pwrite(file_.get(), bytes.data(), bytes.size(), at) != static_cast<ssize_t>(bytes.size())) {
      throw std::runtime_error("pwrite");
    }
  }
  void Put64(std::uint64_t address, std::uint64_t value) const {
    Put(address, std::as_bytes(std::span(&value, 1)));
  }
  std::vector<std::byte> Get(std::uint64_t address, std::size_t size) const {
    std::vector<std::byte> bytes(size);
    const auto at = static_cast<off_t>(address - base_);
    if (pread(file_.get(), bytes.data(), size, at) != static_cast<ssize_t>(size)) {
      throw std::runtime_error("pread");
    }
    return bytes;
  }

 private:
  UniqueFd file_;
  GuestMemory memory_;
  std::uint64_t base_ = 0;
};

// Paces a racing test: Go() is true until enough interesting rounds were counted, or two seconds
// have passed (one core, or a loaded machine: then the race was seen less often, not wrongly).
class RaceRounds {
 public:
  explicit RaceRounds(int wanted) : wanted_(wanted) {}
  bool Go() { return seen_ < wanted_ && MonotonicNanos() - start_ < 2'000'000'000u; }
  void Count(bool interesting) { seen_ += interesting ? 1 : 0; }

 private:
  const int wanted_;
  const std::uint64_t start_ = MonotonicNanos();
  int seen_ = 0;
};

// Bytes that differ from their neighbours and from page to page.
inline std::vector<std::byte> TestPattern(std::size_t size, std::uint64_t seed = 1) {
  std::vector<std::byte> bytes(size);
  std::uint64_t state = seed * 0x9e3779b97f4a7c15u + 1;
  for (std::byte& byte : bytes) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    byte = static_cast<std::byte>(state >> 56);
  }
  return bytes;
}

}  // namespace vtee::guest
