// SPDX-License-Identifier: BSD-3-Clause
// What pseudo-TAs do with buffers of their parameters. Bytes are copied before they are decided
// on: the caller may change them meanwhile.
//
// Threading: the thread of the call.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "ta/core/entry_params.h"
#include "tee/types.h"

namespace vtee::ta {

// Nothing: a NULL pointer with a size, more than `most` bytes, or memory that is gone.
inline std::optional<std::vector<std::byte>> ReadBuffer(const EntryParam& in, std::uint64_t most) {
  if (in.size > most || (in.memory == nullptr && in.size != 0)) return std::nullopt;
  std::vector<std::byte> bytes(in.size);
  if (in.size != 0 && !in.memory->Read(in.offset, bytes)) return std::nullopt;
  return bytes;
}

// Sets the size; SHORT_BUFFER where there is less room, and nothing is written then.
inline std::uint32_t WriteBuffer(EntryParam& out, std::span<const std::byte> bytes) {
  const std::uint64_t room = out.memory == nullptr ? 0 : out.size;
  out.size = bytes.size();
  if (room < bytes.size()) return tee::code::kShortBuffer;
  if (bytes.empty() || out.memory == nullptr) return tee::code::kSuccess;  // there is none to write
  return out.memory->Write(out.offset, bytes) ? tee::code::kSuccess : tee::code::kAccessDenied;
}

}  // namespace vtee::ta
