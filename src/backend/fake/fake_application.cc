// SPDX-License-Identifier: BSD-3-Clause
#include "backend/fake/fake_application.h"

#include <algorithm>

#include "backend/fake/fake_memory.h"
#include "backend/fake/outcomes.h"
#include "base/checked.h"

namespace vtee::backend {
namespace {

using tee::Origin;
using tee::Outcome;
using tee::Param;

constexpr Outcome kCancelled{tee::code::kCancel, Origin::kTrustedApp};

// Answers INOUT parameters so that a test can tell that they went through.
Outcome EchoParams(FakeCall& call) {
  for (std::size_t i = 0; i < call.params().size(); ++i) {
    Param& param = call.param(i);
    if (param.kind == Param::Kind::kNone || param.direction != tee::Direction::kInOut) continue;
    if (param.kind == Param::Kind::kValue) {
      param.a *= 2;
      param.b *= 2;
      param.c *= 2;
      continue;
    }
    if (param.memory == nullptr) continue;
    auto bytes = call.Read(i);
    if (!bytes) return kBadParameters;
    std::reverse(bytes->begin(), bytes->end());
    const Outcome written = call.Write(i, *bytes);
    if (!written.ok()) return written;
  }
  return kSuccess;
}

}  // namespace

std::optional<std::vector<std::byte>> FakeCall::Read(std::size_t index) const {
  const Param& param = params_[index];
  if (param.kind != Param::Kind::kMemory || param.memory == nullptr) return std::nullopt;
  const FakeMemory& memory = static_cast<const FakeMemory&>(*param.memory);
  std::vector<std::byte> bytes(static_cast<std::size_t>(param.size));
  if (!memory.guest().Read(param.offset, bytes)) return std::nullopt;
  return bytes;
}

Outcome FakeCall::Write(std::size_t index, std::span<const std::byte> bytes) {
  Param& param = params_[index];
  if (param.kind != Param::Kind::kMemory || param.direction == tee::Direction::kIn) {
    return kBadParameters;
  }
  const std::uint64_t room = param.memory == nullptr ? 0 : param.size;
  param.size = bytes.size();
  if (bytes.size() > room) return {tee::code::kShortBuffer, Origin::kTrustedApp};
  if (bytes.empty()) return kSuccess;
  const FakeMemory& memory = static_cast<const FakeMemory&>(*param.memory);
  return memory.guest().Write(param.offset, bytes) ? kSuccess : kBadParameters;
}

bool FakeCall::cancelled() const { return cancellation_.cancelled(); }

bool FakeCall::WaitCancelled(std::chrono::milliseconds duration) const {
  return cancellation_.WaitFor(duration);
}

Outcome FakeCall::Upcall(tee::Upcall& upcall) {
  if (context_.upcalls == nullptr) return {tee::code::kBadState, Origin::kApi};
  return context_.upcalls->Call(upcall);
}

void FakeCancellation::Cancel() {
  const std::lock_guard lock(mutex_);
  cancelled_ = true;
  changed_.notify_all();
}

bool FakeCancellation::cancelled() const {
  const std::lock_guard lock(mutex_);
  return cancelled_;
}

bool FakeCancellation::WaitFor(std::chrono::milliseconds duration) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, duration, [this] { return cancelled_; });
}

void FakeGate::Release() {
  const std::lock_guard lock(mutex_);
  released_ = true;
  changed_.notify_all();
}

std::size_t FakeGate::waiting() const {
  const std::lock_guard lock(mutex_);
  return waiting_;
}

bool FakeGate::WaitForCalls(std::size_t count, std::chrono::milliseconds timeout) const {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, timeout, [&] { return waiting_ >= count; });
}

bool FakeGate::Hold(const FakeCall& call, bool honour_cancel) {
  // A cancellation wakes no gate: it is looked for often enough for a test.
  constexpr auto kLook = std::chrono::milliseconds(1);
  std::unique_lock lock(mutex_);
  ++waiting_;
  changed_.notify_all();
  while (!released_ && !(honour_cancel && call.cancelled())) changed_.wait_for(lock, kLook);
  --waiting_;
  return released_;
}

FakeHandler Scripted(FakeReply reply) {
  return [reply = std::move(reply)](FakeCall& call) -> Outcome {
    if (reply.delay.count() > 0) {
      if (reply.honour_cancel) {
        if (call.WaitCancelled(reply.delay)) return kCancelled;
      } else {
        FakeCancellation deaf;
        deaf.WaitFor(reply.delay);
      }
    }
    if (reply.gate != nullptr && !reply.gate->Hold(call, reply.honour_cancel)) return kCancelled;
    for (tee::Upcall upcall : reply.upcalls) {
      const Outcome answer = call.Upcall(upcall);
      if (!answer.ok()) return answer;
    }
    if (reply.echo) {
      const Outcome echoed = EchoParams(call);
      if (!echoed.ok()) return echoed;
    }
    return reply.outcome;
  };
}

}  // namespace vtee::backend
