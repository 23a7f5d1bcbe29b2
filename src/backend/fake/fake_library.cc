// SPDX-License-Identifier: BSD-3-Clause
// The ready-made applications of fake_application.h.
#include <sys/random.h>

#include <algorithm>
#include <cerrno>

#include "backend/fake/fake_application.h"
#include "backend/fake/outcomes.h"

namespace vtee::backend::fake {
namespace {

using tee::Direction;
using tee::Origin;
using tee::Outcome;
using tee::Param;

constexpr Outcome kNotImplemented{tee::code::kNotImplemented, Origin::kTrustedApp};
constexpr std::uint64_t kMaxEntropy = std::uint64_t{64} * 1024;
constexpr std::uint64_t kMaxSleepMs = 60'000;

// True: parameter 0 is as given and the others are not used.
bool OnlyFirst(const FakeCall& call, tee::Params& params, Param::Kind kind, Direction direction) {
  return call.Is(0, kind, direction) &&
         std::all_of(params.begin() + 1, params.end(),
                     [](const Param& param) { return param.kind == Param::Kind::kNone; });
}

Outcome ListDevices(FakeCall& call, const std::vector<tee::Uuid>& list) {
  if (!OnlyFirst(call, call.params(), Param::Kind::kMemory, Direction::kOut)) {
    return kBadParameters;
  }
  if (call.param(0).memory == nullptr && call.param(0).size > 0) return kBadParameters;
  std::vector<std::byte> bytes;
  for (const tee::Uuid& uuid : list) {
    for (const std::uint8_t octet : uuid.octets) bytes.push_back(std::byte{octet});
  }
  return call.Write(0, bytes);
}

Outcome Entropy(FakeCall& call) {
  const Param& param = call.param(0);
  if (!OnlyFirst(call, call.params(), Param::Kind::kMemory, Direction::kInOut) ||
      param.memory == nullptr) {
    return kBadParameters;
  }
  if (param.size > kMaxEntropy) return {tee::code::kNotSupported, Origin::kTrustedApp};
  std::vector<std::byte> bytes(static_cast<std::size_t>(param.size));
  std::size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = ::getrandom(bytes.data() + done, bytes.size() - done, 0);
    if (got < 0 && errno != EINTR) return {tee::code::kGeneric, Origin::kTrustedApp};
    if (got > 0) done += static_cast<std::size_t>(got);
  }
  return call.Write(0, bytes);
}

Outcome AskTime(FakeCall& call) {
  if (!call.Is(0, Param::Kind::kValue, Direction::kOut)) return kBadParameters;
  tee::Upcall upcall;
  upcall.kind = tee::UpcallKind::kGetTime;
  upcall.params[0].kind = tee::UpcallParam::Kind::kValueOut;
  const Outcome answer = call.Upcall(upcall);
  if (!answer.ok()) return answer;
  call.param(0).a = upcall.params[0].a;
  call.param(0).b = upcall.params[0].b;
  return kSuccess;
}

Outcome Reverse(FakeCall& call) {
  if (!call.Is(0, Param::Kind::kMemory, Direction::kInOut)) return kBadParameters;
  auto bytes = call.Read(0);
  if (!bytes) return kBadParameters;
  std::reverse(bytes->begin(), bytes->end());
  return call.Write(0, *bytes);
}

Outcome CopyMemory(FakeCall& call) {
  if (!call.Is(0, Param::Kind::kMemory, Direction::kIn) ||
      !call.Is(1, Param::Kind::kMemory, Direction::kOut)) {
    return kBadParameters;
  }
  const auto bytes = call.Read(0);
  return bytes ? call.Write(1, *bytes) : kBadParameters;
}

Outcome CopyValue(FakeCall& call) {
  if (!call.Is(0, Param::Kind::kValue, Direction::kIn) ||
      !call.Is(1, Param::Kind::kValue, Direction::kOut)) {
    return kBadParameters;
  }
  call.param(1).a = call.param(0).a;
  call.param(1).b = call.param(0).b;
  call.param(1).c = call.param(0).c;
  return kSuccess;
}

}  // namespace

FakeApplication Enumeration(DeviceLists lists) {
  return {.name = "device.pta",
          .open = {},
          .invoke =
              [lists = std::move(lists)](FakeCall& call) {
                switch (call.command()) {
                  case 0:
                    return ListDevices(call, lists.early);
                  case 1:
                    return ListDevices(call, lists.with_supplicant);
                  case 2:
                    return ListDevices(call, lists.with_rpmb);
                  default:
                    return kNotImplemented;
                }
              },
          .close = {}};
}

FakeApplication Rng() {
  return {.name = "rng.pta",
          .open = {},
          .invoke =
              [](FakeCall& call) {
                if (call.command() == 0) return Entropy(call);
                if (call.command() != 1) return kNotImplemented;
                if (!OnlyFirst(call, call.params(), Param::Kind::kValue, Direction::kOut)) {
                  return kBadParameters;
                }
                call.param(0).a = 1'000'000;  // bytes per second
                call.param(0).b = 1024;       // bits of entropy per 1024 bits
                return kSuccess;
              },
          .close = {}};
}

FakeApplication Hello() {
  return {.name = "hello",
          .open = {},
          .invoke =
              [](FakeCall& call) {
                if (call.command() > 1) return kBadParameters;
                if (!OnlyFirst(call, call.params(), Param::Kind::kValue, Direction::kInOut)) {
                  return kBadParameters;
                }
                // TAs see 32-bit values.
                auto value = static_cast<std::uint32_t>(call.param(0).a);
                value = call.command() == 0 ? value + 1 : value - 1;
                call.param(0).a = value;
                return kSuccess;
              },
          .close = {}};
}

FakeApplication Echo() {
  return {.name = "echo",
          .open = {},
          .invoke =
              [](FakeCall& call) {
                switch (call.command()) {
                  case 0:
                    return CopyMemory(call);
                  case 1:
                    return Reverse(call);
                  case 2:
                    return CopyValue(call);
                  case 3:
                    return AskTime(call);
                  default:
                    return kNotImplemented;
                }
              },
          .close = {}};
}

FakeApplication Slow() {
  return {.name = "slow",
          .open = {},
          .invoke = [](FakeCall& call) -> Outcome {
            if (call.command() > 1) return kNotImplemented;
            if (!call.Is(0, Param::Kind::kValue, Direction::kIn)) return kBadParameters;
            FakeReply reply;
            reply.delay = std::chrono::milliseconds(std::min(call.param(0).a, kMaxSleepMs));
            reply.honour_cancel = call.command() == 0;
            return Scripted(std::move(reply))(call);
          },
          .close = {}};
}

}  // namespace vtee::backend::fake
