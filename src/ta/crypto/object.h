// SPDX-License-Identifier: BSD-3-Clause
// CryptoObject: the key, or the parts of a key pair, behind an object handle of a TA.
//
// Attributes are kept as big-endian bytes (numbers without leading zeros) or as two values. Key
// material never leaves the TEE but through what its usage allows. Results are TEE codes.
// Threading: one thread at a time. Copyable.
#pragma once

#include <cstdint>
#include <map>
#include <span>

#include "ta/crypto/object_types.h"
#include "ta/crypto/secret.h"

namespace vtee::ta {

// An attribute as a system call brings it.
struct Attribute {
  std::uint32_t id = 0;
  ConstBytes bytes;  // of references
  std::uint32_t a = 0, b = 0;

  bool is_value() const { return (id & attr::kValueFlag) != 0; }
};
using Attributes = std::span<const Attribute>;

const Attribute* FindAttribute(Attributes attributes, std::uint32_t id);

class CryptoObject {
 public:
  // NOT_SUPPORTED: no such type, or not of this size.
  static std::uint32_t Check(std::uint32_t type, std::uint64_t max_bits);

  CryptoObject() = default;
  CryptoObject(std::uint32_t type, std::uint32_t max_bits) : type_(type), max_bits_(max_bits) {}

  std::uint32_t type() const { return type_; }
  std::uint32_t max_bits() const { return max_bits_; }
  std::uint32_t bits() const { return bits_; }
  bool initialized() const { return initialized_; }

  void Reset();
  std::uint32_t Populate(Attributes attributes);
  std::uint32_t CopyFrom(const CryptoObject& other);
  // The result of GenerateKey() or a derivation, which fits the type.
  void Fill(std::uint32_t bits) {
    bits_ = bits;
    initialized_ = true;
  }
  // TEE_ERROR_ITEM_NOT_FOUND unless they are what generating a key of this type takes.
  std::uint32_t CheckGenerate(Attributes attributes) const;

  bool Has(std::uint32_t id) const { return bytes_.contains(id) || values_.contains(id); }
  ConstBytes Bytes(std::uint32_t id) const;  // empty: it has none
  std::uint32_t Value(std::uint32_t id) const;
  std::uint32_t ValueB(std::uint32_t id) const;
  // Numbers lose their leading zeros.
  void SetBytes(std::uint32_t id, ConstBytes bytes);
  void SetValue(std::uint32_t id, std::uint32_t a, std::uint32_t b = 0) { values_[id] = {a, b}; }
  // The only attribute of symmetric keys.
  ConstBytes secret() const;
  void SetSecret(ConstBytes bytes);

  // For storage: everything but the handle's state. False: not what Serialize() wrote.
  SecretBytes Serialize() const;
  bool Deserialize(ConstBytes bytes);

 private:
  struct Pair {
    std::uint32_t a;
    std::uint32_t b;
  };
  static std::uint32_t CheckAttributes(const ObjectType& type, Attributes attributes,
                                       std::uint32_t required, std::uint32_t optional,
                                       bool all_optional);
  std::uint32_t SizeOf(const ObjectType& type, const Attribute& attribute,
                       std::uint64_t& bits) const;

  std::uint32_t type_ = 0;
  std::uint32_t max_bits_ = 0;
  std::uint32_t bits_ = 0;
  bool initialized_ = false;
  std::map<std::uint32_t, SecretBytes> bytes_;
  std::map<std::uint32_t, Pair> values_;
};

}  // namespace vtee::ta
