// SPDX-License-Identifier: BSD-3-Clause
// What this VM may do with its TEE: which applications, and how much of everything.
//
// Loaded once from configuration, then constant: any thread. Quotas bound what a guest can make
// the host hold; each refusal has the ABI's own code and one (rate-limited) log line.
#pragma once

#include <cstdint>
#include <set>
#include <vector>

#include "tee/types.h"

namespace vtee::mediator {

struct Policy {
  // Applications (by UUID) the guest may open. Empty allow-list: all but the denied ones.
  std::set<tee::Uuid> allowed_applications;
  std::set<tee::Uuid> denied_applications;

  std::uint32_t max_calls = 16;  // yielding calls in flight ("threads" to the guest)
  std::uint32_t max_sessions = 1024;
  std::uint32_t max_shm_objects = 65536;     // registered buffers
  std::uint64_t max_shm_bytes = 4ull << 30;  // all registered buffers together
  // Pseudo-TAs beside those that are known (dialect/optee/pseudo_memory.h), and the bytes of
  // buffers that the guest's calls of any of them may involve at one time; at most 1 GiB.
  std::set<tee::Uuid> pseudo_applications;
  std::uint64_t max_pseudo_bytes = 1ull << 20;
  std::uint32_t park_after_us = 0;  // how long a call may hold its vCPU; 0: as fits the machine

  // A driver that starts ends what the one before it left (sessions, buffers, calls).
  bool one_driver = true;
  // Find out whether the process of a parked call was killed, and then cancel the call. Not for
  // every guest's kernel (docs/optee-abi.md, "A killed process").
  bool notice_kill = false;

  // Offer the guest a hwrng from the host kernel's generator where the TEE has none.
  bool rng = true;

  bool MayOpen(const tee::Uuid& application) const {
    if (denied_applications.contains(application)) return false;
    return allowed_applications.empty() || allowed_applications.contains(application);
  }
};

}  // namespace vtee::mediator
