// SPDX-License-Identifier: BSD-3-Clause
// Refusal: why a TA's file is not run. One enumerator for each thing that can be wrong with it.
//
// A value; any thread. `code` is what OP-TEE answers to the session that wanted the TA.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace vtee::ta {

enum class Fault : std::uint8_t {
  kTruncated,     // ends before what its header announces
  kOversized,     // has bytes after what its header announces
  kNotSigned,     // not a signed TA at all (no magic)
  kUnknownType,   // an image type of another OP-TEE
  kAlgorithm,     // a signature algorithm that is unknown, or too weak
  kHash,          // contents and hash differ
  kKey,           // no trusted key has made the signature, or the key is too weak
  kUuid,          // signed, but another TA
  kDowngrade,     // older than one that has run here
  kSubkey,        // the chain of keys does not lead to this TA
  kNoKey,         // encrypted, and there is no key for it
  kDecryption,    // encrypted with another key, or tampered with
  kVersionStore,  // the versions seen so far cannot be read or kept
};

struct Refusal {
  Fault fault = Fault::kTruncated;
  std::string message;  // a sentence with the remedy

  std::uint32_t code() const;  // TEE_ERROR_*
};

std::string_view ToString(Fault fault);

// A value or why there is none.
template <typename T>
class [[nodiscard]] Verdict {
 public:
  Verdict(T value) : state_(std::in_place_index<0>, std::move(value)) {}            // NOLINT
  Verdict(Refusal refusal) : state_(std::in_place_index<1>, std::move(refusal)) {}  // NOLINT

  bool ok() const { return state_.index() == 0; }
  T& value() & { return std::get<0>(state_); }
  const T& value() const& { return std::get<0>(state_); }
  T&& value() && { return std::get<0>(std::move(state_)); }
  const Refusal& refusal() const { return std::get<1>(state_); }

 private:
  std::variant<T, Refusal> state_;
};

}  // namespace vtee::ta
