// SPDX-License-Identifier: BSD-3-Clause
// Dialect: the TEE ABI that one VM's guest speaks. One object per VM, wired in main().
//
// Threading: Handle() is called on the thread that serves the calling vCPU, for several vCPUs at
// once; it replies through the Responder, now or later, from any thread. Reset() comes from the
// control thread while vCPUs stand still. Ownership: a dialect borrows guest memory and backend.
// Want of memory: Handle() and Reset() do not throw. A call for which there is no
// memory is answered so, in the ABI's way.
#pragma once

#include <cstdint>
#include <span>

#include "base/unique_fd.h"
#include "mediator/secure_call.h"

namespace vtee::mediator {

// SMCCC function ids [base, base + count) that the dialect answers. Fetching a register of a vCPU
// costs the VMM a system call: `registers` says how many of x0, x1, ... these calls look at; the
// rest reads as 0.
struct FunctionRange {
  std::uint32_t base = 0;
  std::uint32_t count = 0;
  std::uint32_t registers = kMaxCallRegisters;
};

class Dialect {
 public:
  virtual ~Dialect() = default;
  virtual std::span<const FunctionRange> ranges() const = 0;
  virtual void Handle(const SecureCall& call, Responder responder) = 0;
  // An eventfd: each write of 1 raises the guest's notification interrupt once.
  virtual void SetInterrupt(UniqueFd eventfd) = 0;
  // The guest restarts or is gone: forget everything it set up, end its calls and sessions. Waits
  // for what is inside the TEE, but not for ever.
  virtual void Reset() = 0;
};

}  // namespace vtee::mediator
