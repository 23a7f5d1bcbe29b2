// SPDX-License-Identifier: BSD-3-Clause
#include "ta/loader/svc_patch.h"

#include <cstring>
#include <optional>

namespace vtee::ta {
namespace {

constexpr std::uint32_t kSvc0 = 0xD4000001;
constexpr std::uint32_t kRet = 0xD65F03C0;
constexpr std::uint32_t kBranch = 0x14000000;
constexpr std::int64_t kReach = std::int64_t{1} << 27;

bool SetsX8(std::uint32_t word) {
  constexpr std::uint32_t kMask = 0x7FE0001F;  // movz of x8 or w8, without shift
  return (word & kMask) == 0x52800008;
}

std::uint32_t Word(std::span<const std::byte> code, std::size_t offset) {
  std::uint32_t word = 0;
  std::memcpy(&word, code.data() + offset, sizeof(word));
  return word;
}

// The branch that takes the place of the svc at `address`; nothing: it is too far.
std::optional<std::uint32_t> BranchTo(std::uint64_t thunk, std::uint64_t address) {
  const auto distance = static_cast<std::int64_t>(thunk - address);
  if (distance >= kReach || distance < -kReach) return std::nullopt;
  return kBranch | (static_cast<std::uint32_t>(distance >> 2) & 0x03FFFFFF);
}

}  // namespace

std::size_t PatchSvcWrappers(std::span<std::byte> code, std::uint64_t address,
                             std::uint64_t thunk) {
  std::size_t patched = 0;
  for (std::size_t at = 4; at + 8 <= code.size(); at += 4) {
    if (Word(code, at) != kSvc0 || !SetsX8(Word(code, at - 4)) || Word(code, at + 4) != kRet) {
      continue;
    }
    const auto branch = BranchTo(thunk, address + at);
    if (!branch) continue;
    std::memcpy(code.data() + at, &*branch, sizeof(*branch));
    ++patched;
  }
  return patched;
}

void RestoreSvcWrappers(std::span<std::byte> code, std::uint64_t address, std::uint64_t thunk) {
  for (std::size_t at = 4; at + 8 <= code.size(); at += 4) {
    const auto branch = BranchTo(thunk, address + at);
    if (!branch || Word(code, at) != *branch || !SetsX8(Word(code, at - 4)) ||
        Word(code, at + 4) != kRet) {
      continue;
    }
    std::memcpy(code.data() + at, &kSvc0, sizeof(kSvc0));
  }
}

}  // namespace vtee::ta
