// SPDX-License-Identifier: BSD-3-Clause
// DigestState: one digest operation of a trusted application.
//
// Init, then Update any number of times, then Final; Init begins anew at any time. A SHAKE may be
// asked by Final again and again, each time for as much of its output as is wanted. Calls out of
// that order return BAD_STATE.
//
// Threading: an object belongs to one thread at a time. Memory given is used during the call only.
// Not supported: the MD5-SHA1 pair; telling OpenSSL's lack of memory apart (it may be GENERIC).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace vtee::ta {

class DigestState {
 public:
  // Null: not a digest that is supported.
  static std::unique_ptr<DigestState> Create(std::uint32_t algorithm);
  virtual ~DigestState() = default;
  DigestState& operator=(const DigestState&) = delete;

  // The length of the digest; 0 for SHAKE, which has none.
  virtual std::size_t size() const = 0;
  virtual std::uint32_t Init() = 0;
  virtual std::uint32_t Update(std::span<const std::byte> data) = 0;
  // `out_length`: the room in `out`, no more than its size; afterwards the length of the digest.
  // SHORT_BUFFER leaves the state as it was. A SHAKE fills the room.
  virtual std::uint32_t Final(std::span<std::byte> out, std::size_t& out_length) = 0;
  // An independent copy that goes on from here.
  virtual std::unique_ptr<DigestState> Clone() const = 0;

 protected:
  DigestState() = default;
  DigestState(const DigestState&) = default;
};

// OpenSSL's name of a digest, for its parameters; null for any other algorithm and for SHAKE.
const char* DigestName(std::uint32_t digest);

}  // namespace vtee::ta
