// SPDX-License-Identifier: BSD-3-Clause
// The parameters of one entry into a TA or pseudo-TA, wherever the caller is.
//
// Memory is reached through MemorySource: the guest's, or another TA's. What a source gives is
// copied before it is decided on. Threading: the thread of the call.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tee/session_tee.h"

namespace vtee::ta {

class MemorySource {
 public:
  virtual ~MemorySource() = default;
  // False: out of range, or the memory is gone.
  [[nodiscard]] virtual bool Read(std::uint64_t offset, std::span<std::byte> out) const = 0;
  [[nodiscard]] virtual bool Write(std::uint64_t offset,
                                   std::span<const std::byte> bytes) const = 0;
  // Memory of this TEE rather than the guest's.
  virtual bool secure() const { return false; }
};

struct EntryParam {
  using Kind = tee::Param::Kind;
  Kind kind = Kind::kNone;
  tee::Direction direction = tee::Direction::kIn;
  std::uint64_t a = 0, b = 0;
  const MemorySource* memory = nullptr;  // null: a NULL pointer
  std::uint64_t offset = 0;
  // In: bytes there. Out: what the TA reports, which may be more (short buffer).
  std::uint64_t size = 0;

  bool is_memory() const { return kind == Kind::kMemory; }
  bool is_value() const { return kind == Kind::kValue; }
  bool goes_in() const { return direction != tee::Direction::kOut; }
  bool comes_out() const { return direction != tee::Direction::kIn; }
};

inline constexpr std::size_t kParams = tee::kMaxParams;
using EntryParams = std::array<EntryParam, kParams>;

// TEE_PARAM_TYPE_*, four bits for each parameter.
std::uint32_t ParamTypes(const EntryParams& params);
// Sets kinds and directions; false: not a combination of known types.
bool SetParamTypes(std::uint64_t types, EntryParams& params);

// struct utee_params of libutee: what a TA's entry and its calls of other TAs carry.
struct UteeParams {
  std::uint64_t types;
  std::uint64_t values[kParams * 2];  // a and b, or address and size
};
static_assert(sizeof(UteeParams) == 72);

}  // namespace vtee::ta
