// SPDX-License-Identifier: BSD-3-Clause
// The invoke-tests pseudo-TA, which xtest uses: parameters, locks, and tests that the TEE makes of
// itself (optee_os core/pta/tests/, lib/libutee/include/pta_invoke_tests.h).
//
// Where OP-TEE tests its kernel, this tests what vtee has in that place: self_tests.h says which,
// and for drivers of the device tree it is the list of devices that the guest's kernel gets.
// Nothing answers for what vtee does not have: NOT_SUPPORTED are the secure data path, lock
// dependencies and transfer lists. How much one call computes is limited, since nobody can stop it.
// Threading: PseudoTa's.
#pragma once

#include <atomic>
#include <shared_mutex>

#include "ta/core/pseudo_ta.h"

namespace vtee::ta {

inline constexpr tee::Uuid kInvokeTestsPta{{0xd9, 0x6a, 0x5b, 0x40, 0xc3, 0xe5, 0x21, 0xe3, 0x87,
                                            0x94, 0x10, 0x02, 0xa5, 0xd5, 0xc6, 0x1b}};

class TeeCore;

class InvokeTestsPta : public PseudoTa {
 public:
  explicit InvokeTestsPta(TeeCore& core) : core_(core) {}
  std::uint32_t Invoke(Call& call, TaInstance* caller, std::uint32_t session, std::uint32_t command,
                       EntryParams& params) override;

 private:
  std::uint32_t TestLock(EntryParams& params);
  std::uint32_t WriteUnderLock(std::uint32_t rounds, EntryParam& seen);
  std::uint32_t ReadUnderLock(std::uint32_t rounds, EntryParam& seen);
  std::uint32_t TestDevices(Call& call);

  TeeCore& core_;
  std::shared_mutex lock_;
  // Who waits for the lock, and who has it.
  struct Crowd {
    std::atomic<std::uint32_t> before{0};
    std::atomic<std::uint32_t> during{0};
  };
  Crowd writers_;
  Crowd readers_;
  // Under the lock the second is twice the first. Atomic only so that every step of it is made.
  std::atomic<std::uint64_t> once_{0};
  std::atomic<std::uint64_t> twice_{0};
};

}  // namespace vtee::ta
