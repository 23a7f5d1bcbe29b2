// SPDX-License-Identifier: BSD-3-Clause
#include "cli/ta_run_command.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "base/socket.h"
#include "cli/executable.h"
#include "cli/install_paths.h"
#include "cli/say.h"
#include "cli/supervisor.h"
#include "cli/temp_dir.h"
#include "program/protocol.h"

namespace vtee::cli {
namespace {

constexpr const char* kOpteeFolders[] = {"/lib/optee_armtz", "/usr/lib/optee_armtz"};
constexpr const char* kEmulator = "qemu-aarch64-static";
constexpr auto kStartPatience = std::chrono::seconds(10);
constexpr auto kEndPatience = std::chrono::seconds(5);

// Empty: what the configuration says.
Result<std::string> BackendOf(const TaRunOptions& options) {
  std::string backend = options.backend;
  if (backend.empty() && options.config.empty()) backend = "user,keys=development";
  if (backend != "user" && !backend.starts_with("user,")) {
    if (options.ta_folders.empty() && options.gdb_port == 0) return backend;
    return Error{
        ErrorCode::kInvalidArgument,
        "--ta-dir and --gdb are settings of the backend user; give --backend user,... too"};
  }
  if (options.ta_folders.empty() && backend.find("ta_dir=") == std::string::npos) {
    for (const char* folder : kOpteeFolders) {
      if (access(folder, R_OK) != 0) continue;
      backend += std::string(",ta_dir=") + folder;
      break;
    }
  }
  for (const std::string& folder : options.ta_folders) backend += ",ta_dir=" + folder;
  if (options.gdb_port != 0) backend += fmt::format(",gdb={}", options.gdb_port);
  return backend;
}

// One run: the processes and the folder with the socket between them.
class TaRun {
 public:
  TaRun(const TaRunOptions& options, const Surroundings& surroundings, SignalQueue& signals,
        TempDir folder)
      : options_(options),
        surroundings_(surroundings),
        signals_(signals),
        folder_(std::move(folder)) {}

  // Fills in the specifications of both processes; nothing is started.
  Status Prepare();
  // The program's wait status.
  Result<int> Run();

 private:
  std::string socket() const { return folder_.File("programs.sock"); }
  Status PrepareVteed();
  Status StartVteed();
  int AwaitProgram(pid_t program);
  // Has the child ended, by then? Signals are forwarded to `program` (-1: dropped).
  bool AwaitChild(pid_t child, int& status, std::chrono::steady_clock::time_point until,
                  pid_t program);
  void EndVteed();

  const TaRunOptions& options_;
  const Surroundings& surroundings_;
  SignalQueue& signals_;
  TempDir folder_;
  SpawnSpec program_;
  SpawnSpec vteed_;
  pid_t vteed_pid_ = -1;
};

Status TaRun::Prepare() {
  VTEE_TRY(PrepareVteed());
  VTEE_ASSIGN_OR_RETURN(std::string libraries, LocateTeec(surroundings_.own_folder));
  VTEE_ASSIGN_OR_RETURN(program_.program,
                        FindProgram(options_.program.front(), surroundings_.path));
  program_.arguments.assign(options_.program.begin() + 1, options_.program.end());
  if (NeedsArm64Emulator(program_.program)) {
    auto emulator = FindProgram(kEmulator, surroundings_.path);
    if (!emulator.ok()) {
      return Error{ErrorCode::kNotFound,
                   program_.program + " is built for arm64; install qemu-user-static"};
    }
    program_.arguments.insert(program_.arguments.begin(), program_.program);
    program_.program = std::move(emulator).value();
  }
  if (const char* others = std::getenv("LD_LIBRARY_PATH"); others != nullptr && *others != '\0') {
    libraries += std::string(":") + others;
  }
  program_.environment = ChangedEnvironment(
      {"LD_LIBRARY_PATH=" + libraries, std::string(program::kSocketVariable) + "=" + socket()});
  program_.death_signal = SIGTERM;
  return {};
}

Status TaRun::PrepareVteed() {
  VTEE_ASSIGN_OR_RETURN(vteed_.program, LocateVteed(options_.vteed, surroundings_.own_folder));
  VTEE_ASSIGN_OR_RETURN(const std::string backend, BackendOf(options_));
  vteed_.arguments = {"--program-socket", socket()};
  const auto add = [this](const char* name, const std::string& value) {
    if (value.empty()) return;
    vteed_.arguments.emplace_back(name);
    vteed_.arguments.push_back(value);
  };
  add("--backend", backend);
  add("--config", options_.config);
  add("--log-level", options_.log_level.empty() ? "warning" : options_.log_level);
  add("--log-file", options_.log_file);
  vteed_.environment = ChangedEnvironment({});
  vteed_.death_signal = SIGTERM;
  vteed_.own_group = true;
  return {};
}

Status TaRun::StartVteed() {
  VTEE_ASSIGN_OR_RETURN(vteed_pid_, Spawn(vteed_, signals_));
  const auto until = std::chrono::steady_clock::now() + kStartPatience;
  while (std::chrono::steady_clock::now() < until) {
    if (ConnectUnix(socket()).ok()) return {};
    int status = 0;
    const auto soon = std::chrono::steady_clock::now() + std::chrono::milliseconds(5);
    if (!AwaitChild(vteed_pid_, status, soon, -1)) continue;
    vteed_pid_ = -1;
    // It has said why.
    return Error{ErrorCode::kUnavailable, "vteed " + DescribeEnd(status)};
  }
  return Error{ErrorCode::kUnavailable, "vteed does not start; see its log"};
}

bool TaRun::AwaitChild(pid_t child, int& status, std::chrono::steady_clock::time_point until,
                       pid_t program) {
  for (;;) {
    while (const auto signal = signals_.Next()) {
      const int number = static_cast<int>(signal->ssi_signo);
      const bool from_terminal = signal->ssi_code == SI_KERNEL;
      if (number != SIGCHLD && !from_terminal && program > 0) kill(program, number);
    }
    if (waitpid(child, &status, WNOHANG) == child) return true;
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd waiting{signals_.fd(), POLLIN, 0};
    poll(&waiting, 1, static_cast<int>(std::min<std::int64_t>(left.count(), 1000)));
  }
}

int TaRun::AwaitProgram(pid_t program) {
  int status = 0;
  while (!AwaitChild(program, status, std::chrono::steady_clock::now() + std::chrono::hours(1),
                     program)) {
  }
  return status;
}

void TaRun::EndVteed() {
  if (vteed_pid_ <= 0) return;
  for (const int signal : {SIGTERM, SIGKILL}) {
    kill(vteed_pid_, signal);
    int status = 0;
    if (AwaitChild(vteed_pid_, status, std::chrono::steady_clock::now() + kEndPatience, -1)) return;
  }
}

Result<int> TaRun::Run() {
  const Status started = StartVteed();
  if (!started.ok()) {
    EndVteed();
    return Error(started.error());
  }
  const auto program = Spawn(program_, signals_);
  if (!program.ok()) {
    EndVteed();
    return Error(program.error());
  }
  const int status = AwaitProgram(program.value());
  EndVteed();
  return status;
}

}  // namespace

RunOutcome TaRunCommand(const TaRunOptions& options, const Surroundings& surroundings) {
  const auto fail = [](const Error& error, int status) {
    Say(error.message);
    return RunOutcome{false, 0, status};
  };
  auto signals = SignalQueue::Create();
  if (!signals.ok()) return fail(signals.error(), kTroubleStatus);
  auto folder = TempDir::Create();
  if (!folder.ok()) return fail(folder.error(), kTroubleStatus);
  TaRun run(options, surroundings, signals.value(), std::move(folder).value());
  if (const Status ready = run.Prepare(); !ready.ok()) return fail(ready.error(), kUsageStatus);
  const auto ended = run.Run();
  if (!ended.ok()) return fail(ended.error(), kUsageStatus);
  return RunOutcome{true, ended.value(), 0};
}

}  // namespace vtee::cli
