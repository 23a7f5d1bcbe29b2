// SPDX-License-Identifier: BSD-3-Clause
#include "cli/supervisor.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "base/socket.h"
#include "vmm/protocol.h"

namespace vtee::cli {
namespace {

// The kernel itself sent it, that is the terminal: the whole foreground group has it.
bool FromTerminal(const signalfd_siginfo& signal) { return signal.ssi_code == SI_KERNEL; }

bool IsNewVm(const Packet& packet) {
  if (packet.bytes.size() != sizeof(vmm::ControlMessage) || packet.fds.size() != 1) return false;
  vmm::ControlMessage message{};
  std::memcpy(&message, packet.bytes.data(), sizeof message);
  return message.magic == vmm::kProtocolMagic && message.major == vmm::kProtocolMajor &&
         message.type == vmm::ControlType::kNewVm;
}

}  // namespace

std::vector<std::string> ShimEnvironment(const std::string& shim, int broker_fd) {
  const char* preloaded = std::getenv("LD_PRELOAD");
  const bool others = preloaded != nullptr && preloaded[0] != '\0';
  return {fmt::format("LD_PRELOAD={}{}{}", others ? preloaded : "", others ? ":" : "", shim),
          fmt::format("VTEE_FD={}", broker_fd), "VTEE_SOCKET"};
}

Result<int> Supervisor::Run() {
  VTEE_ASSIGN_OR_RETURN(SocketPair broker, MakeSocketPair());
  SpawnSpec vmm = spec_.vmm;
  vmm.environment = ChangedEnvironment(ShimEnvironment(spec_.shim, broker.second.get()));
  vmm.inherited.push_back(broker.second.get());
  VTEE_ASSIGN_OR_RETURN(vmm_, Spawn(vmm, signals_));
  broker.second.Reset();
  broker_ = std::move(broker.first);

  while (!vmm_ended_) {
    // A closed broker is -1, which poll() skips.
    std::array<pollfd, 2> fds{{{signals_.fd(), POLLIN, 0}, {broker_.get(), POLLIN, 0}}};
    if (poll(fds.data(), fds.size(), -1) < 0) continue;
    if (fds[1].revents != 0) HandleBroker();
    if (fds[0].revents != 0) HandleSignals();
  }
  EndVteeds();
  return vmm_status_;
}

void Supervisor::HandleSignals() {
  bool child_ended = false;
  while (const auto signal = signals_.Next()) {
    const int number = static_cast<int>(signal->ssi_signo);
    if (number == SIGCHLD) {
      child_ended = true;
    } else if (!vmm_ended_ && !FromTerminal(*signal)) {
      kill(vmm_, number);  // not yet waited for, so the pid is still its own
    }
  }
  if (!child_ended) return;
  if (!vmm_ended_ && waitpid(vmm_, &vmm_status_, WNOHANG) == vmm_) {
    vmm_ended_ = true;
    // Signals that people and service managers end programs with need no comment.
    const int signal = WIFSIGNALED(vmm_status_) ? WTERMSIG(vmm_status_) : SIGTERM;
    if (signal != SIGTERM && signal != SIGINT && signal != SIGHUP) {
      say_(fmt::format("the VMM (process {}) {}; its TEE sessions are being closed", vmm_,
                       DescribeEnd(vmm_status_)));
    }
  }
  ReapVteeds();
}

void Supervisor::HandleBroker() {
  auto packet = ReceivePacket(broker_.get(), sizeof(vmm::ControlMessage));
  if (!packet.ok() && packet.error().code == ErrorCode::kUnavailable) {
    broker_.Reset();  // the VMM closed its end: it will make no more VMs
    return;
  }
  if (!packet.ok() || !IsNewVm(*packet)) {
    say_("the VMM sent something that is no message of the shim; it gets no further TEE");
    broker_.Reset();
    return;
  }
  StartVteed(std::move(packet->fds.front()));
}

void Supervisor::StartVteed(UniqueFd connection) {
  if (vteeds_.size() >= kMaxVms) {
    say_(fmt::format("the VMM has {} VMs with a TEE already; the new one gets none", kMaxVms));
    return;
  }
  SpawnSpec vteed = spec_.vteed;
  vteed.arguments.push_back(fmt::format("--fd={}", connection.get()));
  vteed.inherited.push_back(connection.get());
  vteed.own_group = true;
  vteed.death_signal = SIGTERM;
  const auto pid = Spawn(vteed, signals_);
  if (!pid.ok()) {
    say_(pid.error().message + "; the VM gets no TEE");
    return;
  }
  vteeds_.push_back(pid.value());
}

void Supervisor::ReapVteeds() {
  std::erase_if(vteeds_, [this](pid_t pid) {
    int status = 0;
    if (waitpid(pid, &status, WNOHANG) != pid) return false;
    const bool orderly = WIFEXITED(status) && WEXITSTATUS(status) == 0;
    if (!orderly && !stopping_vteeds_) {
      const std::string log = spec_.vteed_log.empty() ? "" : "; see " + spec_.vteed_log;
      say_(fmt::format("vteed (process {}) {}{}{}", pid, DescribeEnd(status),
                       vmm_ended_ ? "" : ", and its VM goes on without a TEE", log));
    }
    return true;
  });
}

bool Supervisor::WaitForVteeds(std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  for (;;) {
    ReapVteeds();
    if (vteeds_.empty()) return true;
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(
        deadline - std::chrono::steady_clock::now());
    if (left.count() <= 0) return false;
    pollfd fd{signals_.fd(), POLLIN, 0};
    poll(&fd, 1, static_cast<int>(left.count()));
    while (signals_.Next()) {
    }
  }
}

void Supervisor::EndVteeds() {
  broker_.Reset();
  if (WaitForVteeds(spec_.grace)) return;
  stopping_vteeds_ = true;
  for (const int signal : {SIGTERM, SIGKILL}) {
    for (const pid_t pid : vteeds_) {
      say_(fmt::format("vteed (process {}) did not end with its VM; sending it {}", pid,
                       signal == SIGTERM ? "SIGTERM" : "SIGKILL"));
      kill(pid, signal);
    }
    if (WaitForVteeds(spec_.grace)) return;
  }
}

void EndLike(int wait_status) {
  if (WIFEXITED(wait_status)) std::exit(WEXITSTATUS(wait_status));
  const int number = WTERMSIG(wait_status);
  std::fflush(nullptr);
  prctl(PR_SET_DUMPABLE, 0);  // the VMM has left its core, ours would overwrite it
  std::signal(number, SIG_DFL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, number);
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
  std::raise(number);
  std::exit(128 + number);
}

}  // namespace vtee::cli
