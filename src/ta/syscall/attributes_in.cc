// SPDX-License-Identifier: BSD-3-Clause
#include "ta/syscall/attributes_in.h"

#include "ta/core/ta_instance.h"

namespace vtee::ta {
namespace {

// struct utee_attribute
struct RawAttribute {
  std::uint64_t a;
  std::uint64_t b;
  std::uint32_t id;
  std::uint32_t pad;
};
static_assert(sizeof(RawAttribute) == 24);

}  // namespace

std::uint32_t AttributesIn::Take(const TaInstance& ta, std::uint64_t address, std::uint64_t count) {
  constexpr std::uint64_t kMostAttributes = 64;  // no call takes a dozen
  constexpr std::uint64_t kMostBytes = 1u << 20;
  if (count > kMostAttributes) return tee::code::kBadParameters;
  std::vector<RawAttribute> raw(count);
  if (!ta.space().Read(address, std::as_writable_bytes(std::span(raw)))) {
    return tee::code::kAccessDenied;
  }
  copies_.reserve(count);
  for (const RawAttribute& one : raw) {
    Attribute attribute;
    attribute.id = one.id;
    if (attribute.is_value()) {
      attribute.a = static_cast<std::uint32_t>(one.a);
      attribute.b = static_cast<std::uint32_t>(one.b);
    } else {
      if (one.b > kMostBytes) return tee::code::kBadParameters;
      SecretBytes& copy = copies_.emplace_back(one.b);
      if (!ta.space().Read(one.a, copy)) return tee::code::kAccessDenied;
      attribute.bytes = copy;
    }
    attributes_.push_back(attribute);
    addresses_.push_back(attribute.is_value() ? 0 : one.a);
  }
  return tee::code::kSuccess;
}

std::uint64_t AttributesIn::AddressOf(std::uint32_t id) const {
  for (std::size_t i = 0; i < attributes_.size(); ++i) {
    if (attributes_[i].id == id) return addresses_[i];
  }
  return 0;
}

}  // namespace vtee::ta
