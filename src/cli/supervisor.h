// SPDX-License-Identifier: BSD-3-Clause
// Supervisor: runs one VMM and a vteed for each VM that it creates.
//
// Signals. Those a terminal generates (Ctrl-C, Ctrl-\, hang-up, window size) reach the whole
// foreground process group, so the VMM, which stays in vtee's group, has them already; they are
// not sent twice. Those that a process sends to vtee are forwarded to the VMM: SIGINT, SIGTERM,
// SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH. Ctrl-Z stops both. vteeds are in groups of their
// own: they live as long as their VM, whatever the terminal does.
//
// Ends. The VMM's exit status is vtee's; if a signal ended it, vtee ends itself by the same one.
// A vteed that fails leaves the VM running without a TEE and is reported. After the VMM, vteeds
// get a second to end by themselves, then SIGTERM, then SIGKILL. If vtee is killed, the kernel
// sends SIGTERM to all of them: whoever kills `vtee run` means the VM.
//
// Threading: one. Not supported: more than kMaxVms VMs at a time.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/process.h"

namespace vtee::cli {

inline constexpr std::size_t kMaxVms = 16;

struct SupervisorSpec {
  SpawnSpec vmm;  // environment without the shim's variables
  std::string shim;
  SpawnSpec vteed;        // arguments without --fd
  std::string vteed_log;  // where a person finds vteed's log; empty: stderr
  std::chrono::milliseconds grace{1000};
};

// The variables that put the shim into the VMM; `broker_fd` is the number of the broker socket.
std::vector<std::string> ShimEnvironment(const std::string& shim, int broker_fd);

class Supervisor {
 public:
  using Say = std::function<void(const std::string& sentence)>;
  Supervisor(SupervisorSpec spec, SignalQueue& signals, Say say)
      : spec_(std::move(spec)), signals_(signals), say_(std::move(say)) {}

  // Returns the VMM's wait status once everything has ended.
  Result<int> Run();

 private:
  void HandleSignals();
  void HandleBroker();
  void StartVteed(UniqueFd connection);
  void ReapVteeds();
  void EndVteeds();
  bool WaitForVteeds(std::chrono::milliseconds limit);

  SupervisorSpec spec_;
  SignalQueue& signals_;
  Say say_;
  UniqueFd broker_;
  pid_t vmm_ = -1;
  bool vmm_ended_ = false;
  int vmm_status_ = 0;
  bool stopping_vteeds_ = false;
  std::vector<pid_t> vteeds_;
};

// Ends this process as its child ended: the exit status, or death by the same signal (128 + its
// number if that does not kill). Never returns.
[[noreturn]] void EndLike(int wait_status);

}  // namespace vtee::cli
