// SPDX-License-Identifier: BSD-3-Clause
// What a scripted TA of the fake backend can see and do, and the ready-made scripts.
//
// Threading: a handler runs on the thread of its call, handlers of different calls side by side;
// FakeCall belongs to that thread, FakeGate to any. A FakeApplication is a value; its functions
// are shared by all its sessions.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tee/session_tee.h"
#include "tee/types.h"
#include "tee/upcalls.h"

namespace vtee::backend {

class FakeCancellation;

// One open, invocation or close, as the TA sees it.
class FakeCall {
 public:
  FakeCall(tee::CallContext& context, tee::SessionId session, std::uint32_t command,
           tee::Params& params, FakeCancellation& cancellation)
      : context_(context),
        session_(session),
        command_(command),
        params_(params),
        cancellation_(cancellation) {}

  tee::SessionId session() const { return session_; }
  std::uint32_t command() const { return command_; }
  tee::Params& params() { return params_; }
  tee::Param& param(std::size_t index) { return params_[index]; }
  bool Is(std::size_t index, tee::Param::Kind kind, tee::Direction direction) const {
    return params_[index].kind == kind && params_[index].direction == direction;
  }

  // The bytes of memory parameter `index`. Nothing: it is no memory, NULL, or has vanished.
  std::optional<std::vector<std::byte>> Read(std::size_t index) const;
  // Answers memory parameter `index` the way TAs do: sets its size; if the bytes do not fit (or
  // it is NULL), writes none and returns SHORT_BUFFER.
  tee::Outcome Write(std::size_t index, std::span<const std::byte> bytes);

  bool cancelled() const;
  // Sleeps. True: cut short, because the operation was cancelled.
  bool WaitCancelled(std::chrono::milliseconds duration) const;
  // BAD_STATE (origin API) when the caller serves no upcalls.
  tee::Outcome Upcall(tee::Upcall& upcall);

 private:
  tee::CallContext& context_;
  tee::SessionId session_;
  std::uint32_t command_;
  tee::Params& params_;
  FakeCancellation& cancellation_;
};

using FakeHandler = std::function<tee::Outcome(FakeCall&)>;

struct FakeApplication {
  std::string name{};
  FakeHandler open{};    // empty: success
  FakeHandler invoke{};  // empty: NOT_IMPLEMENTED
  FakeHandler close{};   // empty: nothing
};

// Set once when an operation is cancelled; wakes who waits.
class FakeCancellation {
 public:
  void Cancel();
  bool cancelled() const;
  bool WaitFor(std::chrono::milliseconds duration) const;

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool cancelled_ = false;
};

// Holds calls until a test lets them go.
class FakeGate {
 public:
  void Release();  // for good: later calls pass
  std::size_t waiting() const;
  // False: fewer than `count` calls waited in time.
  bool WaitForCalls(std::size_t count, std::chrono::milliseconds timeout) const;
  // For scripts. True: released; false: cancelled (only when `honour_cancel`).
  bool Hold(const FakeCall& call, bool honour_cancel);

 private:
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  bool released_ = false;
  std::size_t waiting_ = 0;
};

// A reply without code: what happens, in this order.
struct FakeReply {
  std::chrono::milliseconds delay{0};
  std::shared_ptr<FakeGate> gate{};    // hold until released
  bool honour_cancel = true;           // delay and gate end early with CANCEL, origin TRUSTED_APP
  std::vector<tee::Upcall> upcalls{};  // made in turn; the first that fails is the outcome
  bool echo = false;                   // each INOUT memory comes back reversed, each value doubled
  tee::Outcome outcome{tee::code::kSuccess, tee::Origin::kTrustedApp};
};
FakeHandler Scripted(FakeReply reply);

// The ready-made applications. Command numbers and parameters are those of the real ones.
namespace fake {

// optee_os core/pta/device.c: commands 0 (early), 1 (needs a supplicant), 2 (RPMB).
inline constexpr tee::Uuid kEnumerationUuid{{0x70, 0x11, 0xa6, 0x88, 0xdd, 0xde, 0x40, 0x53, 0xa5,
                                             0xa9, 0x7b, 0x3c, 0x4d, 0xdf, 0x13, 0xb8}};
struct DeviceLists {
  std::vector<tee::Uuid> early{};
  std::vector<tee::Uuid> with_supplicant{};
  std::vector<tee::Uuid> with_rpmb{};
};
FakeApplication Enumeration(DeviceLists lists);

// lib/libutee/include/pta_rng.h: 0 entropy into memref 0 (INOUT), 1 info (VALUE_OUTPUT).
inline constexpr tee::Uuid kRngUuid{{0xab, 0x7a, 0x61, 0x7c, 0xb8, 0xe7, 0x4d, 0x8f, 0x83, 0x01,
                                     0xd0, 0x9b, 0x61, 0x03, 0x6b, 0x64}};
FakeApplication Rng();

// optee_examples hello_world: 0 increments, 1 decrements value 0 (INOUT).
inline constexpr tee::Uuid kHelloUuid{{0x8a, 0xaa, 0xf2, 0x00, 0x24, 0x50, 0x11, 0xe4, 0xab, 0xe2,
                                       0x00, 0x02, 0xa5, 0xd5, 0xc5, 0x1b}};
FakeApplication Hello();

// vtee's own: 0 copies memory 0 (IN) to memory 1 (OUT); 1 reverses memory 0 (INOUT) in place;
// 2 copies value 0 (IN) to value 1 (OUT); 3 asks the guest for its time (VALUE_OUTPUT 0).
inline constexpr tee::Uuid kEchoUuid{{0x5c, 0x1d, 0x3f, 0x70, 0x9e, 0x6b, 0x4b, 0x0a, 0x8d, 0x52,
                                      0x3a, 0xc1, 0x94, 0x27, 0xe8, 0x01}};
FakeApplication Echo();

// vtee's own: 0 sleeps value 0's `a` milliseconds (IN, at most a minute), 1 the same without
// listening to cancellation.
inline constexpr tee::Uuid kSlowUuid{{0x5c, 0x1d, 0x3f, 0x70, 0x9e, 0x6b, 0x4b, 0x0a, 0x8d, 0x52,
                                      0x3a, 0xc1, 0x94, 0x27, 0xe8, 0x02}};
FakeApplication Slow();

}  // namespace fake
}  // namespace vtee::backend
