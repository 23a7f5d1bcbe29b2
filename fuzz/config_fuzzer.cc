// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes what a person writes: vteed's configuration file and the --backend option.
//
// What must hold: a text is either taken, and then every value is within its bounds, or refused
// with one sentence that begins with the file's name, a line and a column.
#include <cstdint>
#include <string_view>

#include "daemon/config.h"
#include "fuzz_input.h"

namespace vtee::daemon {
namespace {

void RunOne(std::string_view text) {
  Config config;
  const Status status = ParseConfig(text, "f", config);
  if (status.ok()) {
    Require(config.interrupt >= -1 && config.interrupt <= 987);
    Require(config.policy.max_calls >= 1 && config.policy.max_calls <= 254);
    Require(config.policy.max_sessions >= 1 && config.policy.max_shm_bytes >= 4096);
    Require(config.policy.park_after_us <= 1'000'000);
  } else {
    Require(status.error().message.starts_with("f:"));
  }
  BackendSpec spec;
  const Status backend = ParseBackend(text, spec);
  Require(!backend.ok() || spec.kind == "host" || spec.kind == "user" || spec.kind == "fake");
  Require(!backend.ok() || !spec.device.empty());
}

}  // namespace
}  // namespace vtee::daemon

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vtee::daemon::RunOne({reinterpret_cast<const char*>(data), size});
  return 0;
}
