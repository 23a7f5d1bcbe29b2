// SPDX-License-Identifier: BSD-3-Clause
// PseudoMemory: how much memory a guest may have OP-TEE map for pseudo-TAs at one time.
//
// For a pseudo-TA OP-TEE maps the buffers of a call into its own address space, each as a whole
// however little of it is passed, and has few translation tables for that: when they are used up,
// the core panics (optee_os core/kernel/pseudo_ta.c, core/mm/core_mmu.c core_mmu_map_pages,
// core/arch/arm/mm/core_mmu_lpae.c MAX_XLAT_TABLES). Trusted applications proper have tables of
// their own. Who is a pseudo-TA the ABI does not tell: those of OP-TEE's own sources are known, the
// policy names others.
// Threading: any thread. Counts bytes, in whole pages.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "mediator/policy.h"
#include "tee/session_tee.h"

namespace vtee::optee {

class PseudoMemory {
 public:
  explicit PseudoMemory(const mediator::Policy& policy);
  PseudoMemory(const PseudoMemory&) = delete;
  PseudoMemory& operator=(const PseudoMemory&) = delete;

  // What one call has mapped; until destruction. The PseudoMemory outlives it.
  class Use {
   public:
    Use(PseudoMemory* memory, std::uint64_t bytes) : memory_(memory), bytes_(bytes) {}
    Use(Use&& other) noexcept
        : memory_(std::exchange(other.memory_, nullptr)), bytes_(other.bytes_) {}
    Use& operator=(Use&&) = delete;
    ~Use() {
      if (memory_ != nullptr) memory_->GiveBack(bytes_);
    }

   private:
    PseudoMemory* memory_;
    std::uint64_t bytes_;
  };
  // For one call of `application` with these parameters. Nothing, and a line in the log: it would
  // be too much (the guest gets OUT_OF_MEMORY, as from an OP-TEE without addresses to map it at).
  std::optional<Use> Take(const tee::Uuid& application, const tee::Params& params);

 private:
  bool IsPseudo(const tee::Uuid& application) const;
  void GiveBack(std::uint64_t bytes);

  const mediator::Policy& policy_;
  std::set<tee::Uuid> known_;
  std::mutex mutex_;
  std::uint64_t bytes_ = 0;    // mapped by calls that run
  std::uint64_t refused_ = 0;  // calls, so far
};

}  // namespace vtee::optee
