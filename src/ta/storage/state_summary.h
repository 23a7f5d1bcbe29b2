// SPDX-License-Identifier: BSD-3-Clause
// What can be seen of a VM's state without its key, for people: none of it is to be relied on.
//
// Threading: any thread. Changes nothing in the state. While it counts (some milliseconds) it has
// the state's lock, for which a vteed waits. Not supported: counting in a state that is in use.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "tee/types.h"

namespace vtee::ta {

struct StateCounts {
  std::uint64_t applications = 0;  // that keep objects; one that uses two storages counts twice
  std::uint64_t objects = 0;
  std::uint64_t bytes = 0;  // as they count against the quota
};

struct StateSummary {
  std::string folder;
  std::optional<tee::Uuid> vm;
  std::string vm_name;  // as its last vteed had it
  std::optional<std::uint32_t> format;
  std::optional<StateCounts> counts;
  std::optional<std::chrono::system_clock::time_point> last_used;
  bool in_use = false;
  int process = 0;      // that uses it, if known
  std::string problem;  // a sentence, when something is wrong with it
};

StateSummary Summarize(const std::string& folder);

// `folder`, if it is a state; else the states in it, sorted. kNotFound: there is no such folder.
Result<std::vector<std::string>> FindStates(const std::string& folder);

}  // namespace vtee::ta
