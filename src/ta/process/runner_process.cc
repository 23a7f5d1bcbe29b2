// SPDX-License-Identifier: BSD-3-Clause
#include "ta/process/runner_process.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "base/clock.h"
#include "base/futex.h"
#include "base/log.h"
#include "base/processors.h"
#include "ta/process/emulator_filter.h"
#include "ta/process/spawn.h"

namespace vtee::ta {
namespace {

constexpr auto kCore = static_cast<std::uint32_t>(runner::Turn::kCore);
constexpr auto kRunner = static_cast<std::uint32_t>(runner::Turn::kRunner);

std::string OwnFolder() {
  char path[4096];
  const ssize_t size = readlink("/proc/self/exe", path, sizeof(path));
  if (size <= 0) return ".";
  const std::string whole(path, static_cast<std::size_t>(size));
  return whole.substr(0, whole.rfind('/'));
}

// How long the two sides of a channel spin before they sleep. Three take part in a guest's call:
// its vCPU's thread waits by spinning, too. With fewer processors a runner that has nothing to do
// keeps one from the others: with two, emulated, the median of an invoke was half as long again.
struct Spins {
  std::uint32_t answer_looks = 20'000;
  std::uint32_t entry_looks = 20'000;
  std::uint64_t core_ns = 200'000;
};

Spins FitSpins() {
  const std::uint32_t processors = UsableProcessors();
  if (processors < 2) return {.answer_looks = 0, .entry_looks = 0, .core_ns = 0};
  if (processors < 3) return {.entry_looks = 1'000};
  return {};
}

bool Executable(const std::string& path) { return access(path.c_str(), X_OK) == 0; }

}  // namespace

Result<RunnerProgram> RunnerProgram::Find(std::uint16_t debug_port) {
  if (sysconf(_SC_PAGESIZE) != static_cast<long>(runner::kPage)) {
    return Error{ErrorCode::kUnsupported,
                 "TAs are built for pages of 4 KiB, and this host's kernel has larger ones; boot "
                 "one with 4 KiB"};
  }
  RunnerProgram program;
  const std::string folder = OwnFolder();
  const char* given = getenv("VTEE_TA");
  for (const std::string& path :
       {given != nullptr ? std::string(given) : std::string(), folder + "/vtee-ta",
        folder + "/../libexec/vtee/vtee-ta", folder + "/../runner/vtee-ta"}) {
    if (!path.empty() && Executable(path)) {
      program.path = path;
      break;
    }
  }
  if (program.path.empty()) {
    return Error{ErrorCode::kNotFound,
                 "vtee-ta, which runs TAs, is not beside vteed; install it, or name it in the "
                 "environment variable VTEE_TA"};
  }
  program.debug_port = debug_port;
#ifdef __aarch64__
  if (debug_port == 0) return program;
#endif
  for (const char* path : {"/usr/bin/qemu-aarch64-static", "/usr/bin/qemu-aarch64"}) {
    if (Executable(path)) {
      program.emulator = path;
      return program;
    }
  }
  return Error{ErrorCode::kNotFound,
               debug_port != 0
                   ? "a TA is debugged in an emulator; install qemu-user-static"
                   : "this machine does not execute AArch64 code; install qemu-user-static"};
}

Result<std::unique_ptr<RunnerProcess>> RunnerProcess::Start(const RunnerProgram& program,
                                                            Arena arena, std::uint32_t ready_ms) {
  std::vector<std::string> words;
  std::unique_ptr<DebugPort> debug;
  if (program.debug_port != 0) {
    VTEE_ASSIGN_OR_RETURN(debug, DebugPort::Open(program.debug_port));
  }
  if (!program.emulator.empty()) {
    // Pointer authentication by emulation costs more than everything else an entry does.
    words = {program.emulator, "-cpu", "max,pauth=off"};
    if (debug != nullptr) words.insert(words.end(), {"-g", debug->path()});
  }
  words.push_back(program.path);
  const bool emulated = !program.emulator.empty();
  words.push_back(std::to_string(arena.size()));
  // An emulator cannot confine itself, and is confined from outside.
  words.push_back(emulated ? "emulated" : "native");
  std::unique_ptr<RunnerProcess> process(new RunnerProcess(std::move(arena)));
  runner::Channel& channel = process->arena_.channel();
  channel.turn.store(kRunner, std::memory_order_seq_cst);
  const Spins spins = FitSpins();
  channel.answer_looks = spins.answer_looks;
  channel.entry_looks = spins.entry_looks;
  process->spin_ = AdaptiveSpin(spins.core_ns);
  VTEE_ASSIGN_OR_RETURN(auto spawned,
                        SpawnConfined(words, process->arena_.fd(), emulated && debug == nullptr));
  process->pid_ = spawned.pid;
  process->pidfd_ = std::move(spawned.pidfd);
  if (!spawned.namespaces) {
    LogGuest(LogLevel::kWarning, "ta.namespaces",
             {{"what", "this host gives the processes of TAs no namespaces of their own"},
              {"remedy",
               "allow user namespaces to vteed's user (sysctl user.max_user_namespaces, "
               "kernel.unprivileged_userns_clone); the filter of system calls holds"}});
  }
  if (debug != nullptr) {
    // It is not ready before a debugger lets it: Exchange() waits for that.
    process->debug_ = std::move(debug);
    return process;
  }
  if (emulated) {
    const auto ready = [&] { return channel.turn.load(std::memory_order_acquire) == kCore; };
    VTEE_TRY(SuperviseStart(std::move(spawned.listener), process->pidfd_.get(), ready,
                            static_cast<int>(ready_ms)));
  }
  const bool began = process->AwaitReady(std::uint64_t{ready_ms} * 1'000'000);
  process->GiveTime(0);
  if (!began) {
    return Error{ErrorCode::kUnavailable, "the process for a TA (" + program.path +
                                              ") does not start; run it by hand to "
                                              "see why"};
  }
  return process;
}

std::unique_ptr<RunnerProcess> RunnerProcess::NotStarted(Arena arena) {
  std::unique_ptr<RunnerProcess> process(new RunnerProcess(std::move(arena)));
  process->dead_.store(true, std::memory_order_release);
  return process;
}

RunnerProcess::~RunnerProcess() {
  if (pid_ <= 0) return;
  Kill();
  siginfo_t info{};
  while (waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED) != 0 && errno == EINTR) {
  }
}

void RunnerProcess::Kill() {
  dead_.store(true, std::memory_order_release);
  if (pidfd_.valid()) syscall(SYS_pidfd_send_signal, pidfd_.get(), SIGKILL, nullptr, 0);
  FutexWakeShared(arena_.channel().turn, 1);
}

std::string RunnerProcess::DescribeEnd() const {
  siginfo_t info{};
  if (pid_ <= 0 ||
      waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOHANG | WNOWAIT) != 0 ||
      info.si_pid == 0) {
    return "not ended";
  }
  if (info.si_code == CLD_EXITED) return "status " + std::to_string(info.si_status);
  const char* name = sigdescr_np(info.si_status);
  return "signal " + std::to_string(info.si_status) +
         (name != nullptr ? std::string(" (") + name + ")" : "");
}

bool RunnerProcess::HasEnded() {
  if (dead()) return true;
  pollfd ended{pidfd_.get(), POLLIN, 0};
  if (poll(&ended, 1, 0) <= 0) return false;
  dead_.store(true, std::memory_order_release);
  return true;
}

bool RunnerProcess::AwaitTurn(std::uint64_t limit_ns) {
  runner::Channel& channel = arena_.channel();
  const auto ours = [&] { return channel.turn.load(std::memory_order_acquire) == kCore; };
  const std::uint64_t start = MonotonicNanos();
  if (!SpinUntil(start + spin_.budget_ns(), ours)) {
    // The end of the process wakes nobody: look for it now and then.
    constexpr std::uint64_t kSliceNs = 20'000'000;
    channel.core_sleeps.store(1, std::memory_order_seq_cst);
    while (!ours()) {
      if (HasEnded()) break;
      if (limit_ns != 0 && MonotonicNanos() - start >= limit_ns) break;
      FutexWaitShared(channel.turn, kRunner, kSliceNs);
    }
    channel.core_sleeps.store(0, std::memory_order_seq_cst);
  }
  const std::uint64_t waited = MonotonicNanos() - start;
  spin_.Waited(waited);
  if (limit_ns != 0 && waited >= limit_ns) {
    overran_ = true;
    Kill();
  } else if (limit_ns != 0) {
    time_left_ns_ = limit_ns - waited;
  }
  return ours() && !dead();
}

bool RunnerProcess::AwaitReady(std::uint64_t limit_ns) {
  ready_ = AwaitTurn(limit_ns) &&
           arena_.channel().event == static_cast<std::uint32_t>(runner::Event::kReady);
  return ready_;
}

void RunnerProcess::GiveTime(std::uint64_t nanos) {
  // A person with a debugger takes the time that it takes.
  time_left_ns_ = debug_ == nullptr ? nanos : 0;
}

bool RunnerProcess::Exchange(runner::Request request) {
  if (dead() || (!ready_ && !AwaitReady(0))) return false;
  runner::Channel& channel = arena_.channel();
  channel.request = static_cast<std::uint32_t>(request);
  channel.turn.store(kRunner, std::memory_order_seq_cst);
  if (channel.runner_sleeps.load(std::memory_order_seq_cst) != 0) {
    FutexWakeShared(channel.turn, 1);
  }
  return AwaitTurn(time_left_ns_);
}

}  // namespace vtee::ta
