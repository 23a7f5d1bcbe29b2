// SPDX-License-Identifier: BSD-3-Clause
// InternalApplication: a pseudo-TA that the mediator answers itself, without the backend.
// Threading: any thread, concurrently. One object per VM, owned by Commands.
#pragma once

#include <cstdint>

#include "dialect/optee/ta_params.h"
#include "tee/session_tee.h"

namespace vtee::optee {

class InternalApplication {
 public:
  virtual ~InternalApplication() = default;
  // Is it this one, and not the backend, that answers for its UUID? May ask the backend.
  virtual bool Answers(tee::CallContext& context) = 0;
  virtual tee::Outcome Invoke(tee::CallContext& context, std::uint32_t command,
                              TaParams& params) = 0;
};

}  // namespace vtee::optee
