// SPDX-License-Identifier: BSD-3-Clause
#include "dialect/optee/random_numbers.h"

#include <sys/random.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "dialect/optee/device_enumeration.h"

namespace vtee::optee {
namespace {

constexpr std::uint32_t kGetEntropy = 0;
constexpr std::uint32_t kGetInfo = 1;
constexpr std::size_t kMaxEntropy = 4096;  // what the PTA gives at a time
constexpr std::uint64_t kBytesPerSecond = 1 << 20;
constexpr std::uint64_t kQuality = 1024;  // of 1024: the kernel's own CSPRNG

tee::Outcome GetEntropy(TaParams& ta) {
  tee::Param& out = ta.params()[0];
  if (out.kind != tee::Param::Kind::kMemory || out.direction == tee::Direction::kIn ||
      out.memory == nullptr) {
    return {tee::code::kBadParameters, tee::Origin::kTrustedApp};
  }
  std::array<std::byte, kMaxEntropy> bytes{};
  const std::size_t wanted = std::min<std::uint64_t>(out.size, bytes.size());
  const ssize_t got = getrandom(bytes.data(), wanted, 0);
  if (got < 0) return {tee::code::kGeneric, tee::Origin::kTrustedApp};
  out.size = static_cast<std::uint64_t>(got);
  const bool written = ta.WriteMemory(0, std::span(bytes).first(out.size));
  explicit_bzero(bytes.data(), bytes.size());
  if (!written) return {tee::code::kCommunication, tee::Origin::kComms};
  return {};
}

tee::Outcome GetInfo(TaParams& ta) {
  tee::Param& out = ta.params()[0];
  if (out.kind != tee::Param::Kind::kValue || out.direction != tee::Direction::kOut) {
    return {tee::code::kBadParameters, tee::Origin::kTrustedApp};
  }
  out.a = kBytesPerSecond;
  out.b = kQuality;
  return {};
}

}  // namespace

bool RandomNumbers::Answers(tee::CallContext& context) {
  return enumeration_.OffersOwnRng(context);
}

tee::Outcome RandomNumbers::Invoke(tee::CallContext&, std::uint32_t command, TaParams& params) {
  switch (command) {
    case kGetEntropy:
      return GetEntropy(params);
    case kGetInfo:
      return GetInfo(params);
    default:
      return {tee::code::kNotImplemented, tee::Origin::kTrustedApp};
  }
}

}  // namespace vtee::optee
