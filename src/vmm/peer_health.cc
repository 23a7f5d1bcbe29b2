// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/peer_health.h"

#include <poll.h>
#include <unistd.h>

#include <cerrno>

namespace vtee::vmm {

void MessageSink::Say(const char* sentence) const {
  if (write != nullptr) {
    write(context, sentence);
    return;
  }
  char line[600];
  const int length = std::snprintf(line, sizeof line, "vtee: %s\n", sentence);
  if (length <= 0) return;
  // One write keeps the line whole beside the VMM's own output.
  const ssize_t written = ::write(STDERR_FILENO, line, static_cast<std::size_t>(length));
  static_cast<void>(written);
}

bool PeerHealth::Check() {
  if (dead()) return false;
  pollfd control{control_fd_, POLLRDHUP, 0};
  if (poll(&control, 1, 0) > 0 &&
      (control.revents & (POLLHUP | POLLRDHUP | POLLERR | POLLNVAL)) != 0) {
    Fail("ended");
    return false;
  }
  return true;
}

void PeerHealth::Fail(const char* what) {
  {
    const MutexLock lock(mutex_);
    if (dead()) return;
    sentence_.Format(
        "vteed (pid %u) %s, so this VM has lost its TEE and its guest's secure calls are refused; "
        "look at vteed's log, then shut the VM down and start it again to get the TEE back",
        vteed_pid_, what);
    dead_.store(true, std::memory_order_release);
  }
  sink_.Say(sentence_.bytes);
}

}  // namespace vtee::vmm
