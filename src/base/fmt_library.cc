// SPDX-License-Identifier: BSD-3-Clause
// fmt, compiled once: everybody else sees declarations only, which compile four times as fast.
//
// Debian's shared libfmt changes its name with every release, and there is no static one. So fmt's
// implementation is taken from its headers here, and the function under fmt::format() is kept for
// the others to link to. Other parts of fmt (fmt::join, fmt::print) are not to be had.
#define FMT_HEADER_ONLY 1
#include <fmt/format.h>

namespace {

using Vformat = std::string (*)(fmt::string_view, fmt::format_args);
[[gnu::used]] constexpr Vformat kVformat = &fmt::vformat;

}  // namespace
