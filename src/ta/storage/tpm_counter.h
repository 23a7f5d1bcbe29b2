// SPDX-License-Identifier: BSD-3-Clause
// TpmCounter: the counter of one VM's state in the host's TPM.
//
// The state's root key says at which indices it may be, of which the first free one is taken, and
// is what reading and counting need: who can use the TPM, but has no key, can but remove it.
// Threading: one call at a time.
#pragma once

#include <array>
#include <optional>

#include "ta/storage/rollback_counter.h"
#include "ta/storage/tpm.h"

namespace vtee::ta {

class TpmCounter final : public RollbackCounter {
 public:
  static constexpr std::size_t kKeyBytes = 64;
  // `key`: kKeyBytes, derived from the state's root, for this only.
  TpmCounter(Tpm tpm, ConstBytes key);

  Result<std::uint64_t> Read() override;
  Result<std::uint64_t> Make() override;
  Result<std::uint64_t> Increment() override;
  Status Remove() override;
  std::string name() const override { return "the counter in the TPM (" + tpm_.tcti() + ")"; }

 private:
  Status Find();

  const Tpm tpm_;
  const SecretBytes authorization_;
  std::array<std::uint32_t, 4> places_{};
  std::optional<std::uint32_t> index_;  // once it is known
};

}  // namespace vtee::ta
