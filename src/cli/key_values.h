// SPDX-License-Identifier: BSD-3-Clause
// QEMU's option strings: "virt,accel=kvm,gic-version=3" or, for some options, a JSON object.
//
// Grammar: elements separated by commas; ",," in a value stands for one comma. A first element
// without "=" is the value of the option's implied key; a later one is a switch ("on").
// Pure; any thread. Not supported: nested JSON values (only their presence is kept).
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vtee::cli {

struct KeyValue {
  std::string key;
  std::string value;
  friend bool operator==(const KeyValue&, const KeyValue&) = default;
};
using KeyValues = std::vector<KeyValue>;

KeyValues ParseKeyValues(std::string_view text, std::string_view implied_key);

// The inverse; the first element is written without its key when that is `implied_key`.
std::string FormatKeyValues(const KeyValues& values, std::string_view implied_key);

// The last value of `key`, as QEMU takes it.
std::optional<std::string> Find(const KeyValues& values, std::string_view key);

// QEMU's spellings of a boolean; nothing for anything else.
std::optional<bool> ParseSwitch(std::string_view text);

}  // namespace vtee::cli
