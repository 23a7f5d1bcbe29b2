// SPDX-License-Identifier: BSD-3-Clause
// The session model: open a trusted application by UUID, invoke commands, cancel, close.
//
// The neutral verbs of OP-TEE and of every GlobalPlatform TEE. A dialect calls them; a backend
// implements them. Calls block the calling thread until the TEE has answered: the caller is
// responsible for running them where blocking is fine (mediator/parked_call.h).
// Threading: every method, any thread, concurrently. Ids are the backend's own; callers never
// show them to a guest.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>

#include "base/result.h"
#include "base/strong_id.h"
#include "tee/shared_memory.h"
#include "tee/types.h"
#include "tee/upcalls.h"

namespace vtee::tee {

using SessionId = StrongId<struct TeeSessionIdTag, std::uint32_t>;
// Names an operation for RequestCancel; unique per VM while the operation runs.
using OperationId = StrongId<struct TeeOperationIdTag, std::uint32_t>;

enum class Direction : std::uint8_t { kIn = 1, kOut = 2, kInOut = 3 };

// Guest memory that the backend has taken in (pinned, mapped, or just remembered). Dropping the
// object gives it back. A backend only ever receives objects it made itself.
class RegisteredMemory {
 public:
  virtual ~RegisteredMemory() = default;
  virtual std::uint64_t size() const = 0;
};

struct Param {
  enum class Kind : std::uint8_t { kNone, kValue, kMemory };
  Kind kind = Kind::kNone;
  Direction direction = Direction::kIn;
  // kValue. `c` is carried for those TEEs that use it (tee.h has it); OP-TEE TAs see a and b.
  std::uint64_t a = 0, b = 0, c = 0;
  // kMemory: `memory` null means a NULL memref: the TA sees a NULL pointer with `size`.
  // On return `size` is the size the TEE reports, which may exceed the input (short buffer).
  RegisteredMemory* memory = nullptr;
  std::uint64_t offset = 0;
  std::uint64_t size = 0;
};

inline constexpr std::size_t kMaxParams = 4;
using Params = std::array<Param, kMaxParams>;

struct OpenRequest {
  Uuid application;
  Login login = Login::kPublic;
  Uuid client;  // meaningful for the logins that carry an identity
};

// What a running call may ask of its caller.
struct CallContext {
  Upcalls* upcalls = nullptr;  // null: this caller cannot serve upcalls
  OperationId operation{};     // for RequestCancel
};

class SessionTee {
 public:
  virtual ~SessionTee() = default;

  virtual Outcome OpenSession(CallContext& context, const OpenRequest& request, Params& params,
                              SessionId& session) = 0;
  virtual Outcome Invoke(CallContext& context, SessionId session, std::uint32_t command,
                         Params& params) = 0;
  virtual Outcome CloseSession(CallContext& context, SessionId session) = 0;
  // Asks the operation to stop; it still ends through its own call.
  virtual Outcome RequestCancel(SessionId session, OperationId operation) = 0;
  // The operation is an OpenSession that has not returned. kNotSupported when the TEE cannot.
  virtual Outcome RequestCancelOpen(OperationId operation) = 0;

  virtual Result<std::unique_ptr<RegisteredMemory>> RegisterMemory(
      std::shared_ptr<const SharedMemory> memory) = 0;
};

}  // namespace vtee::tee
