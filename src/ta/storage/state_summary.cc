// SPDX-License-Identifier: BSD-3-Clause
#include "ta/storage/state_summary.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "ta/storage/database.h"
#include "ta/storage/durable_file.h"
#include "ta/storage/state_key.h"
#include "ta/storage/state_lock.h"
#include "ta/storage/state_paths.h"

namespace vtee::ta {
namespace {

namespace fs = std::filesystem;
using std::chrono::system_clock;

bool LooksLikeState(const std::string& folder) {
  const StatePaths paths(folder);
  return Exists(paths.root()) || Exists(paths.database());
}

std::optional<system_clock::time_point> LastChange(const StatePaths& paths) {
  time_t latest = 0;
  // Written when a vteed starts, and with every change; not by who only looks.
  for (const std::string& file : {paths.root(), paths.lock(), paths.anchor()}) {
    struct stat status {};
    if (::stat(file.c_str(), &status) == 0) latest = std::max(latest, status.st_mtime);
  }
  if (latest == 0) return std::nullopt;
  return system_clock::from_time_t(latest);
}

Result<StateCounts> Count(const StatePaths& paths, StateSummary& summary) {
  VTEE_ASSIGN_OR_RETURN(const auto database, Database::Open(paths.database(), nullptr));
  database->KeepLog();
  const Error damaged{ErrorCode::kInvalidArgument,
                      paths.database() +
                          " is damaged or no store of vtee: put back the newest "
                          "copy of it"};
  Statement meta = database->Use("SELECT format FROM meta WHERE id = 1");
  if (meta.Step() != SQLITE_ROW) return damaged;
  summary.format = static_cast<std::uint32_t>(meta.Unsigned(0));
  StateCounts counts;
  Statement sums =
      database->Use("SELECT count(*), count(DISTINCT owner), total(charge) FROM objects");
  if (sums.Step() != SQLITE_ROW) return damaged;
  counts.objects = sums.Unsigned(0);
  counts.applications = sums.Unsigned(1);
  counts.bytes = sums.Unsigned(2);
  return counts;
}

}  // namespace

StateSummary Summarize(const std::string& folder) {
  const StatePaths paths(folder);
  StateSummary summary;
  summary.folder = paths.folder();
  summary.last_used = LastChange(paths);
  const auto root = ReadSmallFile(paths.root());
  if (!root.ok()) {
    summary.problem = root.error().message;
  } else if (!*root) {
    summary.problem = paths.root() + " is missing: put it back from a backup";
  } else if (summary.vm = OwnerOfRoot(**root); !summary.vm) {
    summary.problem = paths.root() + " is damaged or no root key of vtee: put back a backup";
  }
  const LockNote note = ReadLockNote(paths.folder());
  summary.vm_name = note.vm_name;
  if (!Exists(paths.database())) return summary;
  const auto lock = LockState(paths.folder(), nullptr);
  if (!lock.ok()) {
    summary.in_use = lock.error().code == ErrorCode::kUnavailable;
    if (summary.in_use) summary.process = note.process;
    if (!summary.in_use && summary.problem.empty()) summary.problem = lock.error().message;
    return summary;
  }
  const auto counts = Count(paths, summary);
  if (counts.ok()) {
    summary.counts = *counts;
  } else if (summary.problem.empty()) {
    summary.problem = counts.error().message;
  }
  return summary;
}

Result<std::vector<std::string>> FindStates(const std::string& folder) {
  if (LooksLikeState(folder)) return std::vector<std::string>{folder};
  std::vector<std::string> states;
  std::error_code error;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (LooksLikeState(entry->path())) states.push_back(entry->path());
  }
  if (error) return ErrnoError(error.value(), "cannot look into " + folder);
  std::ranges::sort(states);
  return states;
}

}  // namespace vtee::ta
