// SPDX-License-Identifier: BSD-3-Clause
#include "ta/crypto/curves.h"

#include <openssl/obj_mac.h>

#include <algorithm>
#include <iterator>

namespace vtee::ta {
namespace {

constexpr Curve kCurves[] = {
    {1, 192, 24, NID_X9_62_prime192v1, "P-192"}, {2, 224, 28, NID_secp224r1, "P-224"},
    {3, 256, 32, NID_X9_62_prime256v1, "P-256"}, {4, 384, 48, NID_secp384r1, "P-384"},
    {5, 521, 66, NID_secp521r1, "P-521"},        {kCurveSm2, 256, 32, NID_sm2, "SM2"},
};

}  // namespace

const Curve* FindCurve(std::uint32_t id) {
  const auto* found = std::ranges::find(kCurves, id, &Curve::id);
  return found == std::end(kCurves) ? nullptr : found;
}

}  // namespace vtee::ta
