// SPDX-License-Identifier: BSD-3-Clause
// PseudoTa: an application that is part of the TEE rather than a process (OP-TEE's PTAs).
//
// Threading: every method, any thread, concurrently. Results are the application's own
// (origin TRUSTED_APP).
#pragma once

#include <cstdint>
#include <memory>

#include "ta/core/call.h"
#include "ta/core/entry_params.h"
#include "tee/types.h"

namespace vtee::ta {

class TaInstance;
struct ClientIdentity;

class PseudoTa {
 public:
  virtual ~PseudoTa() = default;
  // `caller`: the TA that calls; null: the guest.
  virtual std::uint32_t Open(Call& call, TaInstance* caller, const ClientIdentity& client,
                             EntryParams& params);
  virtual std::uint32_t Invoke(Call& call, TaInstance* caller, std::uint32_t session,
                               std::uint32_t command, EntryParams& params) = 0;
  virtual void Close(Call& call, std::uint32_t session);
  // The guest's kernel has a driver for it (OP-TEE's TA_FLAG_DEVICE_ENUM).
  virtual bool is_device() const { return false; }
};

}  // namespace vtee::ta
