// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/object.h"

#include <algorithm>
#include <cstring>

#include "ta/crypto/curves.h"
#include "tee/types.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

ConstBytes WithoutZeros(ConstBytes number) {
  const auto first = std::ranges::find_if(number, [](std::byte b) { return b != std::byte{0}; });
  return number.subspan(static_cast<std::size_t>(first - number.begin()));
}

std::uint64_t NumberBits(ConstBytes number) {
  const ConstBytes rest = WithoutZeros(number);
  if (rest.empty()) return 0;
  std::uint64_t bits = (rest.size() - 1) * 8;
  for (auto top = static_cast<unsigned>(rest[0]); top != 0; top >>= 1) ++bits;
  return bits;
}

// Keys of the 25519 and 448 curves are of one size.
std::size_t FixedSize(std::uint32_t id) {
  switch (id) {
    case attr::kEd25519Public:
    case attr::kEd25519Private:
    case attr::kX25519Public:
    case attr::kX25519Private:
      return 32;
    case attr::kX448Public:
    case attr::kX448Private:
      return 56;
    default:
      return 0;
  }
}

// A public key of this type can be made of a key pair of that.
bool IsPublicHalf(std::uint32_t type, std::uint32_t pair) {
  return (type & objtype::kKeypairFlag) == 0 && (type | objtype::kKeypairFlag) == pair &&
         FindObjectType(pair) != nullptr && !FindObjectType(type)->is_secret();
}

}  // namespace

const Attribute* FindAttribute(Attributes attributes, std::uint32_t id) {
  const auto found = std::ranges::find(attributes, id, &Attribute::id);
  return found == attributes.end() ? nullptr : &*found;
}

std::uint32_t CryptoObject::Check(std::uint32_t type, std::uint64_t max_bits) {
  if (type == objtype::kData) return max_bits == 0 ? code::kSuccess : code::kNotSupported;
  const ObjectType* known = FindObjectType(type);
  return known == nullptr ? code::kNotSupported : CheckKeySize(*known, max_bits);
}

void CryptoObject::Reset() {
  bytes_.clear();
  values_.clear();
  bits_ = 0;
  initialized_ = false;
}

std::uint32_t CryptoObject::CheckAttributes(const ObjectType& type, Attributes attributes,
                                            std::uint32_t required, std::uint32_t optional,
                                            bool all_optional) {
  std::size_t found_required = 0;
  std::size_t found_optional = 0;
  for (std::size_t i = 0; i < attributes.size(); ++i) {
    const AttributeRule* rule = type.Find(attributes[i].id);
    if (rule == nullptr || FindAttribute(attributes.first(i), attributes[i].id) != nullptr) {
      return code::kItemNotFound;
    }
    if ((rule->flags & required) != 0) {
      ++found_required;
    } else if ((rule->flags & optional) != 0) {
      ++found_optional;
    } else {
      return code::kItemNotFound;
    }
  }
  const auto count = [&](std::uint32_t flag) {
    return static_cast<std::size_t>(std::ranges::count_if(
        type.attributes, [&](const AttributeRule& rule) { return (rule.flags & flag) != 0; }));
  };
  if (found_required != count(required)) return code::kItemNotFound;
  if (all_optional && found_optional != 0 && found_optional != count(optional)) {
    return code::kItemNotFound;
  }
  return code::kSuccess;
}

std::uint32_t CryptoObject::CheckGenerate(Attributes attributes) const {
  const ObjectType* type = FindObjectType(type_);
  if (type == nullptr) return code::kNotSupported;
  return CheckAttributes(*type, attributes, kGenerateRequired, kGenerateOptional, false);
}

std::uint32_t CryptoObject::SizeOf(const ObjectType& type, const Attribute& attribute,
                                   std::uint64_t& bits) const {
  if (attribute.id == attr::kEccCurve) {
    const Curve* curve = FindCurve(attribute.a);
    if (curve == nullptr) return code::kNotSupported;
    bits = curve->bits;
  } else {
    bits = std::uint64_t{attribute.bytes.size()} * 8;
    // As they were asked for: without parity bits.
    if (IsLegacyDesSize(type_, max_bits_)) bits -= bits / 8;
  }
  if (bits > max_bits_) return code::kBadState;
  return CheckKeySize(type, bits) == code::kSuccess ? code::kSuccess : code::kBadParameters;
}

std::uint32_t CryptoObject::Populate(Attributes attributes) {
  const ObjectType* type = FindObjectType(type_);
  if (type == nullptr) return code::kNotImplemented;
  const std::uint32_t result = CheckAttributes(*type, attributes, kRequired, kOptionalGroup, true);
  if (result != code::kSuccess) return result;
  std::uint64_t bits = 0;
  for (const Attribute& attribute : attributes) {
    const AttributeRule& rule = *type->Find(attribute.id);
    const std::size_t fixed = FixedSize(attribute.id);
    if (fixed != 0 && attribute.bytes.size() != fixed) return code::kBadParameters;
    if ((rule.flags & kSizes) != 0) {
      const std::uint32_t sized = SizeOf(*type, attribute, bits);
      if (sized != code::kSuccess) return sized;
    }
    if ((rule.flags & kWithinSize) != 0 && NumberBits(attribute.bytes) > max_bits_) {
      return code::kBadState;
    }
    // No number of a key is longer than the longest modulus, with some zeros in front.
    constexpr std::size_t kMostBytes = 1024;
    if (attribute.bytes.size() > kMostBytes) return code::kBadParameters;
    if (attribute.is_value()) {
      SetValue(attribute.id, attribute.a, attribute.b);
    } else {
      SetBytes(attribute.id, attribute.bytes);
    }
  }
  Fill(static_cast<std::uint32_t>(bits));
  return code::kSuccess;
}

std::uint32_t CryptoObject::CopyFrom(const CryptoObject& other) {
  if (type_ == objtype::kData) return code::kSuccess;
  if (type_ == other.type_) {
    bytes_ = other.bytes_;
    values_ = other.values_;
  } else if (IsPublicHalf(type_, other.type_)) {
    for (const AttributeRule& rule : FindObjectType(type_)->attributes) {
      if (!other.Has(rule.id)) return code::kBadState;
      const auto bytes = other.bytes_.find(rule.id);
      if (bytes != other.bytes_.end()) {
        bytes_[rule.id] = bytes->second;
      } else {
        values_[rule.id] = other.values_.at(rule.id);
      }
    }
  } else {
    return code::kBadParameters;
  }
  Fill(other.bits_);
  return code::kSuccess;
}

ConstBytes CryptoObject::Bytes(std::uint32_t id) const {
  const auto found = bytes_.find(id);
  return found == bytes_.end() ? ConstBytes() : ConstBytes(found->second);
}

std::uint32_t CryptoObject::Value(std::uint32_t id) const {
  const auto found = values_.find(id);
  return found == values_.end() ? 0 : found->second.a;
}

std::uint32_t CryptoObject::ValueB(std::uint32_t id) const {
  const auto found = values_.find(id);
  return found == values_.end() ? 0 : found->second.b;
}

void CryptoObject::SetBytes(std::uint32_t id, ConstBytes bytes) {
  const ObjectType* type = FindObjectType(type_);
  const AttributeRule* rule = type == nullptr ? nullptr : type->Find(id);
  if (rule != nullptr && (rule->flags & kNumber) != 0) bytes = WithoutZeros(bytes);
  bytes_[id] = Secret(bytes);
}

ConstBytes CryptoObject::secret() const {
  const ObjectType* type = FindObjectType(type_);
  if (type == nullptr || !type->is_secret()) return {};
  return Bytes(type->attributes[0].id);
}

void CryptoObject::SetSecret(ConstBytes bytes) {
  const ObjectType* type = FindObjectType(type_);
  if (type != nullptr && type->is_secret()) SetBytes(type->attributes[0].id, bytes);
}

namespace {

void Put(SecretBytes& out, std::uint32_t number) {
  const auto bytes = std::as_bytes(std::span(&number, 1));
  out.insert(out.end(), bytes.begin(), bytes.end());
}
bool Take(ConstBytes& in, std::uint32_t& number) {
  if (in.size() < sizeof(number)) return false;
  std::memcpy(&number, in.data(), sizeof(number));
  in = in.subspan(sizeof(number));
  return true;
}

}  // namespace

SecretBytes CryptoObject::Serialize() const {
  SecretBytes out;
  for (const std::uint32_t number :
       {type_, max_bits_, bits_, static_cast<std::uint32_t>(initialized_),
        static_cast<std::uint32_t>(values_.size()), static_cast<std::uint32_t>(bytes_.size())}) {
    Put(out, number);
  }
  for (const auto& [id, pair] : values_) {
    Put(out, id);
    Put(out, pair.a);
    Put(out, pair.b);
  }
  for (const auto& [id, bytes] : bytes_) {
    Put(out, id);
    Put(out, static_cast<std::uint32_t>(bytes.size()));
    out.insert(out.end(), bytes.begin(), bytes.end());
  }
  return out;
}

bool CryptoObject::Deserialize(ConstBytes in) {
  std::uint32_t initialized = 0;
  std::uint32_t value_count = 0;
  std::uint32_t bytes_count = 0;
  Reset();
  if (!Take(in, type_) || !Take(in, max_bits_) || !Take(in, bits_) || !Take(in, initialized) ||
      !Take(in, value_count) || !Take(in, bytes_count)) {
    return false;
  }
  initialized_ = initialized != 0;
  for (; value_count != 0; --value_count) {
    std::uint32_t id = 0;
    Pair pair{};
    if (!Take(in, id) || !Take(in, pair.a) || !Take(in, pair.b)) return false;
    values_[id] = pair;
  }
  for (; bytes_count != 0; --bytes_count) {
    std::uint32_t id = 0;
    std::uint32_t size = 0;
    if (!Take(in, id) || !Take(in, size) || size > in.size()) return false;
    bytes_[id] = Secret(in.first(size));
    in = in.subspan(size);
  }
  return in.empty();
}

}  // namespace vtee::ta
