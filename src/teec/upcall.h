// SPDX-License-Identifier: BSD-3-Clause
// Upcall: one request of the TEE with its buffers as this process's bytes.
// A value; errors are those of vector.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "program/protocol.h"

namespace vtee::teec {

// Kinds of parameters, tee::UpcallParam's.
enum class Kind : std::uint32_t {
  kNone,
  kValueIn,
  kValueOut,
  kValueInOut,
  kBytesIn,
  kBytesOut,
  kBytesInOut
};

class Upcall {
 public:
  // Takes the buffers out of `memory`. False: it does not hold them.
  bool Take(const program::Message& asked, int memory);
  // Puts back what comes out.
  bool PutBack(int memory);

  Kind kind(std::size_t i) const { return static_cast<Kind>(message_.params[i].kind); }
  bool Is(Kind first, Kind second = Kind::kNone, Kind third = Kind::kNone,
          Kind fourth = Kind::kNone) const;
  program::ParamBody& value(std::size_t i) { return message_.params[i]; }
  std::vector<std::byte>& bytes(std::size_t i) { return bytes_[i]; }
  // The size that is reported; may differ from the buffer's.
  void set_size(std::size_t i, std::uint64_t size) { message_.params[i].b = size; }
  program::Message& message() { return message_; }

 private:
  program::Message message_;
  std::array<std::vector<std::byte>, 4> bytes_;
  std::array<std::uint64_t, 4> offsets_{};
};

}  // namespace vtee::teec
