// SPDX-License-Identifier: BSD-3-Clause
// MacState: one MAC operation of a trusted application: HMAC, CMAC and CBC-MAC.
//
// Init, then Update any number of times, then Final; Init begins anew at any time. Calls out of
// that order return BAD_STATE, and so does the end of a CBC-MAC without padding whose data is not
// whole blocks, or is none.
//
// Threading: an object belongs to one thread at a time. Ownership: the key is copied, and wiped
// with the state; other memory given is used during the call only. Not supported: comparing with
// an expected MAC, which the TA's own library does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace vtee::ta {

class MacState {
 public:
  // Null: not a MAC that is supported, or the key's length does not fit it.
  static std::unique_ptr<MacState> Create(std::uint32_t algorithm, std::span<const std::byte> key);
  virtual ~MacState() = default;
  MacState& operator=(const MacState&) = delete;

  // The length of the MAC.
  virtual std::size_t size() const = 0;
  virtual std::uint32_t Init() = 0;
  virtual std::uint32_t Update(std::span<const std::byte> data) = 0;
  // `out_length`: the room in `out`, no more than its size; afterwards the length of the MAC.
  // SHORT_BUFFER leaves the state as it was.
  virtual std::uint32_t Final(std::span<std::byte> out, std::size_t& out_length) = 0;
  // An independent copy that goes on from here.
  virtual std::unique_ptr<MacState> Clone() const = 0;

 protected:
  MacState() = default;
  MacState(const MacState&) = default;
};

}  // namespace vtee::ta
