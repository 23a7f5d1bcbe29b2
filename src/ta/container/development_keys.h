// SPDX-License-Identifier: BSD-3-Clause
// The public halves of the keys that OP-TEE publishes for development, as PEM texts.
#pragma once

#include <span>
#include <string_view>

namespace vtee::ta {

std::span<const std::string_view> DevelopmentKeys();

}  // namespace vtee::ta
