// SPDX-License-Identifier: BSD-3-Clause
#include "cli/process.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

namespace vtee::cli {
namespace {

constexpr auto kHandled =
    std::to_array({SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH, SIGCHLD});

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// Everything exec needs, prepared before fork.
struct Prepared {
  std::vector<std::string> words;
  std::vector<char*> arguments;
  std::vector<char*> environment;
};

void Redirect(int from, int to) {
  if (from >= 0) dup2(from, to);
}

// In the child. Returns only when something failed, with errno set.
void Become(const SpawnSpec& spec, const Prepared& prepared, const sigset_t& mask, pid_t parent) {
  if (spec.death_signal != 0) {
    if (prctl(PR_SET_PDEATHSIG, spec.death_signal) != 0) return;
    if (getppid() != parent) _exit(127);  // the parent died before prctl
  }
  if (spec.own_group && setpgid(0, 0) != 0) return;
  Redirect(spec.stdin_fd, STDIN_FILENO);
  Redirect(spec.stdout_fd, STDOUT_FILENO);
  Redirect(spec.stderr_fd, STDERR_FILENO);
  for (const int fd : spec.inherited) {
    if (fcntl(fd, F_SETFD, 0) != 0) return;
  }
  if (sigprocmask(SIG_SETMASK, &mask, nullptr) != 0) return;
  execve(spec.program.c_str(), prepared.arguments.data(), prepared.environment.data());
}

// Reads what is there; false at the end of the stream.
bool Drain(int fd, std::string& output) {
  std::array<char, 4096> buffer{};
  const ssize_t got = read(fd, buffer.data(), buffer.size());
  if (got <= 0) return got < 0 && (errno == EINTR || errno == EAGAIN);
  const std::size_t room = kMaxCaptured - output.size();
  output.append(buffer.data(), std::min(room, static_cast<std::size_t>(got)));
  return true;
}

int KillAndWait(pid_t pid) {
  kill(pid, SIGKILL);
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

}  // namespace

Result<SignalQueue> SignalQueue::Create() {
  sigset_t set, original;
  sigemptyset(&set);
  for (const int signal : kHandled) sigaddset(&set, signal);
  UniqueFd fd(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) return ErrnoError(errno, "signalfd");
  // Blocked but not read: a closed stderr must not end the process while its VM runs.
  sigaddset(&set, SIGPIPE);
  if (sigprocmask(SIG_BLOCK, &set, &original) != 0) return ErrnoError(errno, "sigprocmask");
  return SignalQueue(std::move(fd), original);
}

SignalQueue::~SignalQueue() {
  if (fd_) sigprocmask(SIG_SETMASK, &original_, nullptr);
}

std::optional<signalfd_siginfo> SignalQueue::Next() {
  signalfd_siginfo info{};
  if (read(fd_.get(), &info, sizeof info) != static_cast<ssize_t>(sizeof info)) return std::nullopt;
  return info;
}

Result<pid_t> Spawn(const SpawnSpec& spec, const SignalQueue& signals) {
  Prepared prepared;
  prepared.words.push_back(spec.program);
  prepared.words.insert(prepared.words.end(), spec.arguments.begin(), spec.arguments.end());
  prepared.arguments = Pointers(prepared.words);
  prepared.environment = Pointers(spec.environment);
  std::array<int, 2> report{};
  if (pipe2(report.data(), O_CLOEXEC) != 0) return ErrnoError(errno, "pipe");
  const UniqueFd read_end(report[0]);
  UniqueFd write_end(report[1]);
  const pid_t parent = getpid();
  const pid_t pid = fork();
  if (pid < 0) return ErrnoError(errno, "fork");
  if (pid == 0) {
    Become(spec, prepared, signals.original_mask(), parent);
    const int failure = errno;
    const ssize_t ignored = write(write_end.get(), &failure, sizeof failure);
    static_cast<void>(ignored);
    _exit(127);
  }
  write_end.Reset();
  int failure = 0;
  ssize_t got = 0;
  do {
    got = read(read_end.get(), &failure, sizeof failure);
  } while (got < 0 && errno == EINTR);
  if (got == 0) return pid;  // closed by exec
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return ErrnoError(failure, "cannot run " + spec.program);
}

Result<Captured> RunCaptured(SpawnSpec spec, SignalQueue& signals, std::chrono::seconds limit) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return ErrnoError(errno, "pipe");
  const UniqueFd read_end(ends[0]);
  UniqueFd write_end(ends[1]);
  const UniqueFd nothing(open("/dev/null", O_RDONLY | O_CLOEXEC));
  spec.stdin_fd = nothing.get();
  spec.stdout_fd = write_end.get();
  spec.stderr_fd = write_end.get();
  VTEE_ASSIGN_OR_RETURN(const pid_t pid, Spawn(spec, signals));
  write_end.Reset();

  Captured captured;
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) {
      KillAndWait(pid);
      return Error{ErrorCode::kUnavailable,
                   fmt::format("{} did not end within {} seconds", spec.program, limit.count())};
    }
    std::array<pollfd, 2> fds{{{read_end.get(), POLLIN, 0}, {signals.fd(), POLLIN, 0}}};
    if (poll(fds.data(), fds.size(), static_cast<int>(left.count())) < 0) continue;
    while (const auto signal = signals.Next()) {
      const int number = static_cast<int>(signal->ssi_signo);
      if (number == SIGCHLD || number == SIGWINCH) continue;
      captured.wait_status = KillAndWait(pid);
      captured.interrupted_by = number;
      return captured;
    }
    if (fds[0].revents != 0 && !Drain(read_end.get(), captured.output)) break;
  }
  while (waitpid(pid, &captured.wait_status, 0) < 0 && errno == EINTR) {
  }
  return captured;
}

std::string DescribeEnd(int wait_status) {
  if (WIFEXITED(wait_status)) return fmt::format("ended with status {}", WEXITSTATUS(wait_status));
  const int signal = WTERMSIG(wait_status);
  return fmt::format("was ended by signal {} ({})", signal, strsignal(signal));
}

std::vector<std::string> ChangedEnvironment(const std::vector<std::string>& changes) {
  const auto name = [](std::string_view text) { return text.substr(0, text.find('=')); };
  std::vector<std::string> environment;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    bool changed = false;
    for (const std::string& change : changes) changed |= name(change) == name(*variable);
    if (!changed) environment.emplace_back(*variable);
  }
  for (const std::string& change : changes) {
    if (change.find('=') != std::string::npos) environment.push_back(change);
  }
  return environment;
}

}  // namespace vtee::cli
