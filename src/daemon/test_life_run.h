// SPDX-License-Identifier: BSD-3-Clause
// One life (test_life.h) of two real processes, a VMM and its vteed, one of which is stepped.
//
// On a machine with a TEE these variables give another setting: LIFE_BACKEND (vteed's --backend),
// LIFE_VTEED, LIFE_VMM (the programs), LIFE_STRIDE (every so-many-th step).
//
// Threading: see test_stepper.h. Ownership: what it starts has ended when Run() returns.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "daemon/test_life.h"
#include "daemon/test_stepper.h"

namespace vtee::daemon {

struct LifeRun {
  enum class Victim { kNobody, kVteed, kVmm };
  // In:
  Victim victim = Victim::kNobody;
  LifeJudge judge = LifeJudge::kStrict;
  StepPlan plan = {};
  std::vector<std::string> vteed_environment = {};
  std::vector<std::pair<int, int>> vteed_kept = {};
  // Out:
  bool in_time = false;
  bool reached = false;  // the planned step was there
  int error = 0;         // with which it failed
  int vmm_status = 0;    // as of waitpid()
  int vteed_status = 0;
  std::chrono::nanoseconds vteed_outlived_vmm{0};
  std::string vteed_said = {};
  std::vector<long> steps = {};
  const LifeShared* vmm = nullptr;  // valid until the next run

  void Run();
  // The interruptions of calls, and whether one is waiting, now: for StepPlan::while_stopped.
  static const LifeShared& shared();
  std::string Describe() const;
};

// Every so-many-th step is taken: each one, unless sanitizers or an emulated machine are slow.
std::uint64_t LifeStride();

}  // namespace vtee::daemon
