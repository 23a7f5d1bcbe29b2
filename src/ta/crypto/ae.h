// SPDX-License-Identifier: BSD-3-Clause
// AeState: one operation of a trusted application with authenticated encryption: AES-GCM, AES-CCM.
//
// Init, then UpdateAad and Update any number of times, then EncFinal or DecFinal once; Init begins
// anew at any time. Output is always as long as the input.
//   SHORT_BUFFER    not enough room; all lengths are set to what is needed, the state stays.
//   NOT_SUPPORTED   from Init: a tag length that the mode does not have (GCM 4, 8, 12..16; CCM the
//                   even ones of 4..16), a payload too long for the nonce (CCM), no nonce or one
//                   longer than OpenSSL takes (GCM, 128 octets).
//   BAD_PARAMETERS  from Init: a nonce that the mode does not have (CCM 7..13); the final of the
//                   other direction; additional data after payload; more than GCM can have.
//   BAD_STATE       out of order; CCM: more or less data than Init was told.
//   MAC_INVALID     the tag is not the right one. The last piece of output is wiped.
//
// Sources and destinations may be memory that somebody else is writing: every octet of a source is
// read once, and the destination is not read, so that what is output is what was authenticated.
// A destination is the same memory as its source, or has none in common with it.
//
// Threading: an object belongs to one thread at a time. Ownership: the key is copied, and wiped
// with the state; other memory given is used during the call only. Not supported: keeping back
// plaintext until the tag has been checked, which the API of trusted applications does not allow.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

namespace vtee::ta {

class AeState {
 public:
  // Null: not an AE that is supported, or the key's length does not fit it.
  static std::unique_ptr<AeState> Create(std::uint32_t algorithm, bool encrypt,
                                         std::span<const std::byte> key);
  virtual ~AeState() = default;
  AeState& operator=(const AeState&) = delete;

  // Lengths in octets; those of additional data and payload matter to CCM only.
  std::uint32_t Init(std::span<const std::byte> nonce, std::size_t tag_length,
                     std::size_t aad_length, std::size_t payload_length);
  std::uint32_t UpdateAad(std::span<const std::byte> aad);
  // `length`: what has been written to `destination`, or the room needed.
  std::uint32_t Update(std::span<const std::byte> source, std::span<std::byte> destination,
                       std::size_t& length);
  // Also `tag_length`: what has been written to `tag`, or the room needed.
  std::uint32_t EncFinal(std::span<const std::byte> source, std::span<std::byte> destination,
                         std::size_t& length, std::span<std::byte> tag, std::size_t& tag_length);
  std::uint32_t DecFinal(std::span<const std::byte> source, std::span<std::byte> destination,
                         std::size_t& length, std::span<const std::byte> tag);
  // An independent copy that goes on from here.
  virtual std::unique_ptr<AeState> Clone() const = 0;

 protected:
  explicit AeState(bool encrypt) : encrypt_(encrypt) {}
  AeState(const AeState&) = default;

  struct Lengths {
    std::size_t tag = 0;
    std::size_t aad = 0;
    std::size_t payload = 0;
  };
  bool encrypt() const { return encrypt_; }

 private:
  virtual std::uint32_t Start(std::span<const std::byte> nonce, const Lengths& announced) = 0;
  // Whether the totals, with what is about to come, are right; `end`: nothing comes after it.
  virtual std::uint32_t CheckTotals(const Lengths& total, bool end) const = 0;
  virtual bool Authenticate(std::span<const std::byte> aad) = 0;
  virtual bool Run(std::span<const std::byte> source, std::span<std::byte> destination) = 0;
  // The tag of an encryption.
  virtual bool MakeTag(std::span<std::byte> tag) = 0;
  // Of a decryption: whether `tag` is right.
  virtual bool CheckTag(std::span<const std::byte> tag) = 0;

  std::uint32_t RunAll(std::span<const std::byte> source, std::span<std::byte> destination,
                       bool end);

  bool encrypt_;
  bool active_ = false;  // between Init and a final
  Lengths done_;         // since Init; `tag`: its length
};

}  // namespace vtee::ta
