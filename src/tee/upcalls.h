// SPDX-License-Identifier: BSD-3-Clause
// Upcalls: what a TEE asks of the guest it works for, while one of the guest's calls runs.
//
// Modelled on OP-TEE's RPC commands to the normal world (optee_os core/include/optee_rpc_cmd.h):
// a command number and up to four parameters. Buffers are the TEE's own bytes; the dialect moves
// them through memory the guest lends. Threading: only from the thread that runs the call the
// CallContext belongs to. Blocks until the guest has answered.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tee/types.h"

namespace vtee::tee {

enum class UpcallKind : std::uint32_t {
  kLoadTa = 0,
  kRpmb = 1,
  kFileSystem = 2,
  kGetTime = 3,
  kSuspend = 5,
  kGprof = 9,
  kSocket = 10,
  kFtrace = 11,
  kPlugin = 12,
};

struct UpcallParam {
  enum class Kind : std::uint8_t {
    kNone,
    kValueIn,
    kValueOut,
    kValueInOut,
    kBytesIn,
    kBytesOut,
    kBytesInOut
  };
  Kind kind = Kind::kNone;
  std::uint64_t a = 0, b = 0, c = 0;  // values; written back for kValueOut and kValueInOut
  std::span<std::byte> bytes;         // buffers; may be empty with size > 0 for a size query
  std::uint64_t size = 0;             // buffers: in: bytes used; out: what the guest reported
};

struct Upcall {
  UpcallKind kind = UpcallKind::kGetTime;
  std::array<UpcallParam, 4> params{};
};

class Upcalls {
 public:
  virtual ~Upcalls() = default;
  // The guest's answer; kCommunication (origin kComms) when the guest cannot or did not answer.
  virtual Outcome Call(Upcall& upcall) = 0;
};

}  // namespace vtee::tee
