// SPDX-License-Identifier: BSD-3-Clause
// CipherState: one operation of a trusted application with a symmetric cipher.
//
// Init, then Update any number of times, then Final once; Init begins anew at any time. Output is
// always as long as the input. `destination` must have that room (else SHORT_BUFFER: the length
// needed is that of the source) and is the same memory as the source, or has none in common with
// it. SHORT_BUFFER and BAD_PARAMETERS leave the state as it was.
//   Update  takes whole blocks, CTR anything (else BAD_PARAMETERS).
//   Final   takes what is left, nothing too: whole blocks; CTR any length; XTS no length under a
//           block; CTS more than a block. XTS and CTS answer others with BAD_STATE, as OP-TEE does.
//
// Threading: an object belongs to one thread at a time. Ownership: the keys are copied, and wiped
// with the state; other memory given is used during the call only. Not supported: padding, which
// trusted applications' own library adds nowhere either.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace vtee::ta {

class CipherState {
 public:
  // `key2`: of XTS, the key for the tweak; else empty. Null: not a cipher that is supported, or
  // the keys' lengths do not fit it.
  static std::unique_ptr<CipherState> Create(std::uint32_t algorithm, bool encrypt,
                                             std::span<const std::byte> key1,
                                             std::span<const std::byte> key2);
  virtual ~CipherState() = default;
  CipherState& operator=(const CipherState&) = delete;

  // `iv`: one block (else BAD_PARAMETERS); ECB takes no notice of it.
  std::uint32_t Init(std::span<const std::byte> iv);
  std::uint32_t Update(std::span<const std::byte> source, std::span<std::byte> destination);
  std::uint32_t Final(std::span<const std::byte> source, std::span<std::byte> destination);
  // An independent copy that goes on from here.
  virtual std::unique_ptr<CipherState> Clone() const = 0;

 protected:
  struct Shape {
    std::size_t iv;    // the length of the IV; 0: none is looked at
    std::size_t step;  // Update takes multiples of this
    std::size_t end;   // Final takes multiples of this, if Finish has nothing against it
  };
  explicit CipherState(Shape shape) : shape_(shape) {}
  CipherState(const CipherState&) = default;

 private:
  virtual bool Start(std::span<const std::byte> iv) = 0;
  // `destination` has room for as much as `source`.
  virtual bool Run(std::span<const std::byte> source, std::byte* destination) = 0;
  virtual std::uint32_t Finish(std::span<const std::byte> source, std::byte* destination) = 0;

  std::uint32_t Check(std::span<const std::byte> source, std::span<std::byte> destination,
                      std::size_t multiple) const;

  Shape shape_;
  bool active_ = false;  // between Init and Final
};

}  // namespace vtee::ta
