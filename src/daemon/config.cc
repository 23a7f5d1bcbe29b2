// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/config.h"

#include <charconv>
#include <filesystem>
#include <fstream>
#include <functional>
#include <limits>
#include <map>
#include <sstream>

#define TOML_EXCEPTIONS 0
#include <toml++/toml.h>

namespace vtee::daemon {
namespace {

using Handlers = std::map<std::string_view, std::function<Status(const toml::node&)>>;

class Reader {
 public:
  explicit Reader(std::string_view name) : name_(name) {}

  Error At(const toml::source_region& where, std::string_view what) const {
    std::ostringstream text;
    text << name_ << ':' << where.begin.line << ':' << where.begin.column << ": " << what;
    return Error{ErrorCode::kInvalidArgument, text.str()};
  }

  Status Table(const toml::table& table, const Handlers& handlers) const {
    for (const auto& [key, value] : table) {
      const auto handler = handlers.find(key.str());
      if (handler == handlers.end()) {
        std::string known;
        for (const auto& [name, unused] : handlers)
          known += (known.empty() ? "" : ", ") + std::string(name);
        return At(key.source(),
                  "unknown key '" + std::string(key.str()) + "'; known here: " + known);
      }
      VTEE_TRY(handler->second(value));
    }
    return {};
  }

  std::function<Status(const toml::node&)> String(std::string& out) const {
    return [this, &out](const toml::node& node) -> Status {
      const auto value = node.value_exact<std::string>();
      if (!value) return At(node.source(), "must be a string in quotes");
      out = *value;
      return {};
    };
  }

  std::function<Status(const toml::node&)> Bool(bool& out) const {
    return [this, &out](const toml::node& node) -> Status {
      const auto value = node.value_exact<bool>();
      if (!value) return At(node.source(), "must be true or false");
      out = *value;
      return {};
    };
  }

  template <typename T>
  std::function<Status(const toml::node&)> Number(T& out, std::int64_t min,
                                                  std::int64_t max) const {
    return [this, &out, min, max](const toml::node& node) -> Status {
      const auto value = node.value_exact<std::int64_t>();
      if (!value || *value < min || *value > max) {
        return At(node.source(), "must be a whole number from " + std::to_string(min) + " to " +
                                     std::to_string(max));
      }
      out = static_cast<T>(*value);
      return {};
    };
  }

  std::function<Status(const toml::node&)> Uuids(std::set<tee::Uuid>& out) const {
    return [this, &out](const toml::node& node) -> Status {
      const toml::array* array = node.as_array();
      if (array == nullptr) return At(node.source(), "must be an array of UUIDs");
      for (const toml::node& item : *array) {
        const auto text = item.value_exact<std::string>();
        tee::Uuid uuid;
        if (!text || !tee::ParseUuid(*text, uuid)) {
          return At(item.source(), "must be a UUID like 7011a688-ddde-4053-a5a9-7b3c4ddf13b8");
        }
        out.insert(uuid);
      }
      return {};
    };
  }

  std::function<Status(const toml::node&)> Sub(Handlers handlers) const {
    return [this, handlers = std::move(handlers)](const toml::node& node) -> Status {
      const toml::table* table = node.as_table();
      if (table == nullptr) return At(node.source(), "must be a table");
      return Table(*table, handlers);
    };
  }

 private:
  std::string_view name_;
};

}  // namespace

namespace {

// One "name=value" of a host backend; false: there is no such setting or value.
bool ParseHostSetting(std::string_view item, BackendSpec& spec) {
  const std::size_t equals = item.find('=');
  if (equals == std::string_view::npos || equals + 1 == item.size()) return false;
  const std::string_view name = item.substr(0, equals);
  const std::string_view value = item.substr(equals + 1);
  if (name == "device") {
    spec.device = std::string(value);
    return true;
  }
  if (name != "copy") return false;
  if (value == "small") spec.copy = BackendSpec::Copy::kSmall;
  if (value == "never") spec.copy = BackendSpec::Copy::kNever;
  if (value == "always") spec.copy = BackendSpec::Copy::kAlways;
  return value == "small" || value == "never" || value == "always";
}

}  // namespace

Status ParseBackend(std::string_view option, BackendSpec& spec) {
  const std::size_t comma = option.find(',');
  spec.kind = std::string(option.substr(0, comma));
  if (spec.kind != "host" && spec.kind != "fake") {
    return Error{ErrorCode::kInvalidArgument,
                 "unknown backend '" + spec.kind + "'; this version has host and fake"};
  }
  while (comma != std::string_view::npos && !option.empty()) {
    const std::size_t start = option.find(',');
    if (start == std::string_view::npos) break;
    option.remove_prefix(start + 1);
    const std::string_view item = option.substr(0, option.find(','));
    if (spec.kind == "host" && ParseHostSetting(item, spec)) continue;
    return Error{ErrorCode::kInvalidArgument,
                 "backend " + spec.kind + ": unknown setting '" + std::string(item) +
                     "'; host takes device=/dev/teeN and copy=small, never or always"};
  }
  return {};
}

Status ParseConfig(std::string_view text, std::string_view name, Config& config) {
  const Reader reader(name);
  const toml::parse_result parsed = toml::parse(text, name);
  if (!parsed) return reader.At(parsed.error().source(), parsed.error().description());

  constexpr std::int64_t kMax32 = std::numeric_limits<std::int32_t>::max();
  constexpr std::int64_t kMax64 = std::numeric_limits<std::int64_t>::max();
  mediator::Policy& policy = config.policy;
  const auto uuid = [&](const toml::node& node) -> Status {
    const auto value = node.value_exact<std::string>();
    if (!value || !tee::ParseUuid(*value, config.uuid))
      return reader.At(node.source(), "must be a UUID");
    return {};
  };
  const auto backend = [&](const toml::node& node) -> Status {
    const auto value = node.value_exact<std::string>();
    if (!value) return reader.At(node.source(), "must be a string in quotes");
    const Status parsed_spec = ParseBackend(*value, config.backend);
    if (!parsed_spec.ok()) return reader.At(node.source(), parsed_spec.error().message);
    return {};
  };
  const auto level = [&](const toml::node& node) -> Status {
    auto value = ParseLogLevel(node.value_exact<std::string>().value_or(""));
    if (!value.ok()) return reader.At(node.source(), value.error().message);
    config.log_level = *value;
    return {};
  };
  const Handlers top = {
      {"name", reader.String(config.name)},
      {"uuid", uuid},
      {"backend", backend},
      {"interrupt", reader.Number(config.interrupt, -1, 987)},
      {"log", reader.Sub({{"level", level}, {"file", reader.String(config.log_file)}})},
      {"policy", reader.Sub({
                     {"allow", reader.Uuids(policy.allowed_applications)},
                     {"deny", reader.Uuids(policy.denied_applications)},
                     {"rng", reader.Bool(policy.rng)},
                     {"max_calls", reader.Number(policy.max_calls, 1, 254)},
                     {"max_sessions", reader.Number(policy.max_sessions, 1, kMax32)},
                     {"max_shm_objects", reader.Number(policy.max_shm_objects, 1, kMax32)},
                     {"max_shm_bytes", reader.Number(policy.max_shm_bytes, 4096, kMax64)},
                     {"park_after_us", reader.Number(policy.park_after_us, 1, 1'000'000)},
                 })},
  };
  return reader.Table(parsed.table(), top);
}

Status LoadConfig(const std::string& path, Config& config) {
  std::error_code ignored;
  if (std::filesystem::is_directory(path, ignored)) {
    return ErrnoError(EISDIR, "cannot read the configuration " + path);
  }
  std::ifstream file(path, std::ios::binary);
  if (!file) return ErrnoError(errno, "cannot read the configuration " + path);
  std::ostringstream text;
  text << file.rdbuf();
  return ParseConfig(text.str(), path, config);
}

}  // namespace vtee::daemon
