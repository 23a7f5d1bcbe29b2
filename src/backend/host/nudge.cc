// SPDX-License-Identifier: BSD-3-Clause
#include "backend/host/nudge.h"

#include <csignal>

namespace vtee::backend {
namespace {

// Ignored unless handled, should one ever come too early.
constexpr int kSignal = SIGURG;

}  // namespace

void PrepareForNudges() {
  struct sigaction action {};
  action.sa_handler = [](int) {};
  action.sa_flags = SA_RESTART;  // whatever else the thread does goes on
  sigaction(kSignal, &action, nullptr);
}

void Nudge(pthread_t thread) { pthread_kill(thread, kSignal); }

}  // namespace vtee::backend
