// SPDX-License-Identifier: BSD-3-Clause
// ProgramMemory: a program's memfd with the buffers of its calls.
//
// Read and written by system calls, never mapped: the program may shrink its file at any time, and
// that must not be a fault here. Threading: any thread.
#pragma once

#include <memory>

#include "base/result.h"
#include "base/unique_fd.h"
#include "tee/shared_memory.h"

namespace vtee::daemon {

class ProgramMemory final : public tee::SharedMemory {
 public:
  // kInvalidArgument: not a memfd (reading another file could take for ever), or a shorter one.
  static Result<std::shared_ptr<ProgramMemory>> Take(UniqueFd fd, std::uint64_t size);

  std::uint64_t size() const override { return size_; }
  bool Read(std::uint64_t offset, std::span<std::byte> out) const override;
  bool Write(std::uint64_t offset, std::span<const std::byte> bytes) const override;
  Result<std::unique_ptr<tee::MappedWindow>> Map() const override;

 private:
  ProgramMemory(UniqueFd fd, std::uint64_t size) : fd_(std::move(fd)), size_(size) {}
  UniqueFd fd_;
  std::uint64_t size_;
};

}  // namespace vtee::daemon
