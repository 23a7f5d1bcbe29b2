// SPDX-License-Identifier: BSD-3-Clause
// ScatteredMemfd: shared memory made of memfd pages in an order of the caller's choice, as a
// guest's buffers are. For tests and vtee_host_probe only.
//
// Threading: const methods, any thread. Ownership: owns the memfd; windows outlive it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "tee/shared_memory.h"

namespace vtee::backend {

class ScatteredMemfd final : public tee::SharedMemory {
 public:
  // Page i of the buffer is page `order[i]` of the memfd; the buffer starts `offset` bytes into
  // the first page. Pages are the host's.
  static Result<std::shared_ptr<ScatteredMemfd>> Make(std::vector<std::size_t> order,
                                                      std::uint64_t offset, std::uint64_t size);
  ~ScatteredMemfd() override;

  std::uint64_t size() const override { return size_; }
  bool Read(std::uint64_t offset, std::span<std::byte> out) const override;
  bool Write(std::uint64_t offset, std::span<const std::byte> bytes) const override;
  std::uint64_t pieces() const override { return order_.size(); }
  Result<std::unique_ptr<tee::MappedWindow>> Map() const override;

  // Tests: what Map() and the copies answer from now on.
  void set_mappable(bool mappable) { mappable_ = mappable; }
  void set_vanished(bool vanished) { vanished_ = vanished; }

 private:
  ScatteredMemfd() = default;
  std::byte* At(std::uint64_t position) const;

  UniqueFd fd_;
  std::vector<std::size_t> order_;
  std::byte* base_ = nullptr;  // the whole memfd, in file order
  std::size_t file_size_ = 0;
  std::uint64_t offset_ = 0;
  std::uint64_t size_ = 0;
  bool mappable_ = true;
  bool vanished_ = false;
};

}  // namespace vtee::backend
