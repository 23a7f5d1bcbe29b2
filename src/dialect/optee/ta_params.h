// SPDX-License-Identifier: BSD-3-Clause
// Parameters of a TA call: from the guest's message to neutral ones, and results back.
//
// Decoding follows OP-TEE's copy_in_params (core/tee/entry_std.c) in what is refused and with
// which code. Threading: a value on the worker's stack; holds the memory the parameters name.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "dialect/optee/arg_memory.h"
#include "dialect/optee/profile.h"
#include "dialect/optee/shm_registry.h"
#include "dialect/optee/wire.h"
#include "tee/session_tee.h"

namespace vtee::optee {

class TaParams {
 public:
  // Decodes at most four parameters. Returns a TEEC code; on failure nothing is held.
  std::uint32_t Decode(std::span<const MsgParam> message, const guest::GuestMemory& memory,
                       const GuestSetup& setup, ShmRegistry& registry, tee::SessionTee& tee);

  tee::Params& params() { return params_; }

  // Writes values and sizes of the output parameters back; the first parameter is at `arg`.
  // False when the guest's memory has gone.
  bool WriteBack(const ArgMemory& arg) const;

  // Writes `bytes` into memory parameter `index` (for calls the mediator answers itself).
  bool WriteMemory(std::size_t index, std::span<const std::byte> bytes) const;

 private:
  struct Hold {
    ShmRegistry::Use use;
    // Of a temporary reference:
    ShmRegistry::Charge charge;
    std::shared_ptr<const guest::GuestBuffer> buffer;
    std::unique_ptr<tee::RegisteredMemory> registered;
  };

  std::uint32_t DecodeRmem(const MsgParam& from, ShmRegistry& registry, tee::SessionTee& tee,
                           tee::Param& to, Hold& hold);
  std::uint32_t DecodeTmem(const MsgParam& from, const guest::GuestMemory& memory,
                           const GuestSetup& setup, ShmRegistry& registry, tee::SessionTee& tee,
                           tee::Param& to, Hold& hold);

  tee::Params params_{};
  std::array<Hold, tee::kMaxParams> holds_;
  std::size_t count_ = 0;
};

}  // namespace vtee::optee
