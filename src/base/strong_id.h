// SPDX-License-Identifier: BSD-3-Clause
// StrongId: a number that cannot be mistaken for another kind of number.
//   using SessionId = StrongId<struct SessionIdTag, std::uint32_t>;
// Compares and hashes as its number; there is no implicit conversion and no arithmetic.
#pragma once

#include <compare>
#include <cstddef>
#include <functional>

namespace vtee {

template <typename Tag, typename Rep>
class StrongId {
 public:
  constexpr StrongId() = default;
  constexpr explicit StrongId(Rep value) : value_(value) {}
  constexpr Rep value() const { return value_; }
  friend constexpr auto operator<=>(StrongId, StrongId) = default;

 private:
  Rep value_{};
};

}  // namespace vtee

template <typename Tag, typename Rep>
struct std::hash<vtee::StrongId<Tag, Rep>> {
  std::size_t operator()(vtee::StrongId<Tag, Rep> id) const noexcept {
    return std::hash<Rep>{}(id.value());
  }
};
