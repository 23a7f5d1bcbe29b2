// SPDX-License-Identifier: BSD-3-Clause
// Attributes that a TA passes (struct utee_attribute): copied, since what they refer to is the
// TA's or even the guest's memory. The thread of the call.
#pragma once

#include <cstdint>
#include <vector>

#include "ta/crypto/object.h"

namespace vtee::ta {

class TaInstance;

class AttributesIn {
 public:
  // TEE_SUCCESS, or what the system call answers.
  std::uint32_t Take(const TaInstance& ta, std::uint64_t address, std::uint64_t count);
  Attributes get() const { return attributes_; }
  // Where the TA has an attribute's bytes; 0: it has not passed it.
  std::uint64_t AddressOf(std::uint32_t id) const;

 private:
  std::vector<Attribute> attributes_;
  std::vector<std::uint64_t> addresses_;
  std::vector<SecretBytes> copies_;
};

}  // namespace vtee::ta
