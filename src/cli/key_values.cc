// SPDX-License-Identifier: BSD-3-Clause
#include "cli/key_values.h"

#include <nlohmann/json.hpp>

namespace vtee::cli {
namespace {

// Splits at single commas and undoes the doubling.
std::vector<std::string> SplitElements(std::string_view text) {
  std::vector<std::string> elements(1);
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != ',') {
      elements.back() += text[i];
    } else if (i + 1 < text.size() && text[i + 1] == ',') {
      elements.back() += ',';
      ++i;
    } else {
      elements.emplace_back();
    }
  }
  return elements;
}

KeyValues ParseJson(std::string_view text) {
  KeyValues values;
  const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return values;
  for (const auto& [key, value] : json.items()) {
    std::string plain;
    if (value.is_string()) {
      plain = value.get<std::string>();
    } else if (value.is_boolean()) {
      plain = value.get<bool>() ? "on" : "off";
    } else {
      plain = value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    }
    values.push_back({key, std::move(plain)});
  }
  return values;
}

}  // namespace

KeyValues ParseKeyValues(std::string_view text, std::string_view implied_key) {
  if (!text.empty() && text.front() == '{') return ParseJson(text);
  KeyValues values;
  bool first = true;
  for (std::string& element : SplitElements(text)) {
    const std::size_t equals = element.find('=');
    if (equals != std::string::npos) {
      values.push_back({element.substr(0, equals), element.substr(equals + 1)});
    } else if (first && !implied_key.empty()) {
      values.push_back({std::string(implied_key), std::move(element)});
    } else if (!element.empty()) {
      values.push_back({std::move(element), "on"});
    }
    first = false;
  }
  return values;
}

std::string FormatKeyValues(const KeyValues& values, std::string_view implied_key) {
  std::string text;
  for (const KeyValue& pair : values) {
    const bool implied = text.empty() && pair.key == implied_key && !pair.value.empty();
    if (!text.empty()) text += ',';
    if (!implied) text += pair.key + '=';
    for (const char c : pair.value) text.append(c == ',' ? 2 : 1, c);
  }
  return text;
}

std::optional<std::string> Find(const KeyValues& values, std::string_view key) {
  for (auto it = values.rbegin(); it != values.rend(); ++it) {
    if (it->key == key) return it->value;
  }
  return std::nullopt;
}

std::optional<bool> ParseSwitch(std::string_view text) {
  if (text == "on" || text == "yes" || text == "true" || text == "y") return true;
  if (text == "off" || text == "no" || text == "false" || text == "n") return false;
  return std::nullopt;
}

}  // namespace vtee::cli
