// SPDX-License-Identifier: BSD-3-Clause
#include "cli/state_command.h"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "cli/options.h"
#include "cli/say.h"
#include "ta/storage/state_backup.h"
#include "ta/storage/state_destroy.h"
#include "ta/storage/state_paths.h"
#include "ta/storage/state_summary.h"

namespace vtee::cli {
namespace {

// A refusal has changed nothing; after other failures somebody should look.
int Fail(const Error& error) {
  Say(error.message);
  return error.code == ErrorCode::kSystem || error.code == ErrorCode::kResourceExhausted
             ? kTroubleStatus
             : kUsageStatus;
}

using Row = std::array<std::string, 9>;
constexpr std::array kHeads = {"FOLDER",  "VM",    "NAME",      "FORMAT", "TAS",
                               "OBJECTS", "BYTES", "LAST USED", "USE"};

template <typename T>
std::string OrDash(const std::optional<T>& value) {
  return value ? fmt::format("{}", *value) : "-";
}

Row Describe(const ta::StateSummary& state) {
  Row row = {state.folder,
             state.vm ? tee::ToString(*state.vm) : "-",
             state.vm_name.empty() ? "-" : state.vm_name,
             OrDash(state.format),
             "-",
             "-",
             "-",
             "-",
             "free"};
  if (state.counts) {
    row[4] = std::to_string(state.counts->applications);
    row[5] = std::to_string(state.counts->objects);
    row[6] = std::to_string(state.counts->bytes);
  }
  if (state.last_used) {
    const time_t seconds = std::chrono::system_clock::to_time_t(*state.last_used);
    tm local{};
    std::array<char, 32> text{};
    localtime_r(&seconds, &local);
    row[7].assign(text.data(), std::strftime(text.data(), text.size(), "%Y-%m-%d %H:%M", &local));
  }
  if (state.in_use) row[8] = fmt::format("process {}", state.process);
  return row;
}

void Print(const std::vector<Row>& rows) {
  std::array<std::size_t, kHeads.size()> widths{};
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  for (const Row& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) {
      line += i + 1 < row.size() ? fmt::format("{:<{}}  ", row[i], widths[i]) : row[i];
    }
    std::printf("%s\n", line.c_str());
  }
}

int List(const StateOptions& options, const Person& person) {
  const bool by_default = options.folders.empty();
  std::vector<std::string> folders = options.folders;
  if (by_default) folders.push_back(person.default_folder);
  std::vector<Row> rows(1);
  std::copy(kHeads.begin(), kHeads.end(), rows.front().begin());
  int status = 0;
  for (const std::string& folder : folders) {
    const auto states = ta::FindStates(folder);
    if (!states.ok()) {
      // Nobody has to use the default folder.
      if (by_default && states.error().code == ErrorCode::kNotFound) continue;
      status = Fail(states.error());
      continue;
    }
    if (states->empty() && !by_default) Say(folder + " has no state of vtee in it");
    for (const std::string& path : *states) {
      const ta::StateSummary state = ta::Summarize(path);
      rows.push_back(Describe(state));
      if (state.problem.empty()) continue;
      Say(state.problem);
      status = kTroubleStatus;
    }
  }
  if (rows.size() > 1) Print(rows);
  if (rows.size() == 1 && by_default) {
    Say("there is no state in " + person.default_folder + "; name the folders that state= has");
  }
  return status;
}

int Backup(const StateOptions& options) {
  const auto done = ta::BackUpState(
      {options.folder, options.file, options.state_key, /*with_key=*/!options.without_key});
  if (!done.ok()) return Fail(done.error());
  std::printf("%s has state %llu of the VM %s, %s\n", options.file.c_str(),
              static_cast<unsigned long long>(done->epoch), tee::ToString(done->vm).c_str(),
              options.without_key ? "without the host's key" : "with the host's key: keep it safe");
  return 0;
}

int Restore(const StateOptions& options) {
  const auto done =
      ta::RestoreState({options.file, options.folder, options.state_key, options.accept_rollback});
  if (!done.ok()) return Fail(done.error());
  std::printf(
      "%s has state %llu of the VM %s, %s\n", options.folder.c_str(),
      static_cast<unsigned long long>(done->epoch), tee::ToString(done->vm).c_str(),
      done->checked ? "checked with the host's key" : "not checked for want of the host's key");
  return 0;
}

bool Confirmed(const StateOptions& options, const Person& person) {
  const ta::StateSummary state = ta::Summarize(options.folder);
  std::printf("This ends all that the TEE of the VM %s%s has stored in %s%s.\nType yes to do it: ",
              state.vm ? tee::ToString(*state.vm).c_str() : "(unknown)",
              state.vm_name.empty() ? "" : (" (" + state.vm_name + ")").c_str(),
              state.folder.c_str(),
              state.counts ? fmt::format(", {} objects", state.counts->objects).c_str() : "");
  std::fflush(stdout);
  std::array<char, 8> answer{};
  return std::fgets(answer.data(), answer.size(), person.answers) != nullptr &&
         std::strcmp(answer.data(), "yes\n") == 0;
}

int Destroy(const StateOptions& options, const Person& person) {
  if (!options.yes && !person.present) {
    Say("there is nobody to ask whether " + options.folder + " may be destroyed; add --yes");
    return kUsageStatus;
  }
  if (!options.yes && !Confirmed(options, person)) {
    Say("nothing was destroyed");
    return kUsageStatus;
  }
  const Status done = ta::DestroyState(options.folder, options.state_key);
  if (!done.ok()) return Fail(done.error());
  std::printf("%s is destroyed\n", options.folder.c_str());
  return 0;
}

}  // namespace

Person Terminal() {
  const char* state = std::getenv("XDG_STATE_HOME");
  const char* home = std::getenv("HOME");
  std::string folder = "/var/lib/vtee";
  if (geteuid() != 0 && state != nullptr && state[0] == '/') {
    folder = std::string(state) + "/vtee";
  } else if (geteuid() != 0 && home != nullptr) {
    folder = std::string(home) + "/.local/state/vtee";
  }
  return {stdin, isatty(STDIN_FILENO) == 1, folder};
}

int StateCommand(const StateOptions& options, const Person& person) {
  switch (options.action) {
    case StateOptions::Action::kBackup:
      return Backup(options);
    case StateOptions::Action::kRestore:
      return Restore(options);
    case StateOptions::Action::kDestroy:
      return Destroy(options, person);
    default:
      return List(options, person);
  }
}

}  // namespace vtee::cli
