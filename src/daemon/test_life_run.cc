// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/test_life_run.h"

#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>
#include <new>

#include "base/socket.h"

namespace vtee::daemon {
namespace {

constexpr int kSeconds = VTEED_SLOW_BUILD ? 60 : 20;

// The leak sanitizer does not work in a process that is traced.
constexpr const char* kNoLeakCheck = "LSAN_OPTIONS=detect_leaks=0";

std::string Setting(const char* name, const char* otherwise) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : otherwise;
}

struct SharedPage {
  UniqueFd file{memfd_create("life-shared", MFD_CLOEXEC)};
  void* base = nullptr;
  SharedPage() {
    if (ftruncate(file.get(), sizeof(LifeShared)) != 0) std::abort();
    base = mmap(nullptr, sizeof(LifeShared), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
    if (base == MAP_FAILED) std::abort();
  }
};

SharedPage& Page() {
  static SharedPage page;
  return page;
}

std::string ReadAll(const UniqueFd& file) {
  std::string text;
  std::array<char, 4096> piece{};
  ssize_t got = 0;
  while ((got = pread(file.get(), piece.data(), piece.size(), static_cast<off_t>(text.size()))) >
         0) {
    text.append(piece.data(), static_cast<std::size_t>(got));
  }
  return text;
}

}  // namespace

std::uint64_t LifeStride() {
  return std::strtoull(Setting("LIFE_STRIDE", VTEED_SLOW_BUILD ? "23" : "1").c_str(), nullptr, 10);
}

const LifeShared& LifeRun::shared() { return *static_cast<const LifeShared*>(Page().base); }

void LifeRun::Run() {
  std::memset(Page().base, 0, sizeof(LifeShared));
  auto* life = new (Page().base) LifeShared{};
  const std::string backend = Setting("LIFE_BACKEND", "fake");
  life->real_tee = backend != "fake";
  life->judge = life->real_tee ? LifeJudge::kAnswered : judge;
  auto sockets = MakeSocketPair();
  if (!sockets.ok()) std::abort();
  const UniqueFd vteed_says(memfd_create("said", MFD_CLOEXEC));
  const UniqueFd vmm_says(memfd_create("said", MFD_CLOEXEC));

  TestProgram daemon{{Setting("LIFE_VTEED", VTEED_PATH), "--fd=3", "--backend=" + backend},
                     vteed_kept,
                     vteed_environment};
  daemon.environment.emplace_back(kNoLeakCheck);
  daemon.kept.insert(daemon.kept.end(), {{sockets->second.get(), 3}, {vteed_says.get(), 2}});
  const TestProgram monitor{
      {Setting("LIFE_VMM", LIFE_VMM_PATH)},
      {{sockets->first.get(), 3}, {Page().file.get(), 4}, {vmm_says.get(), 2}},
      {kNoLeakCheck}};
  TestStepper stepper(plan);
  const pid_t vteed = stepper.Start(daemon, victim == Victim::kVteed);
  if (victim != Victim::kVmm) life->look_at_vteed = static_cast<std::uint32_t>(vteed);
  const pid_t vmm_pid = stepper.Start(monitor, victim == Victim::kVmm);
  sockets->first.Reset();
  sockets->second.Reset();
  in_time = stepper.RunAll(kSeconds);
  reached = stepper.reached();
  steps = stepper.steps();
  error = stepper.error();
  if (in_time) {
    vteed_status = stepper.end(vteed).status;
    vmm_status = stepper.end(vmm_pid).status;
    vteed_outlived_vmm = std::chrono::nanoseconds(stepper.end(vteed).when) -
                         std::chrono::nanoseconds(stepper.end(vmm_pid).when);
  }
  vteed_said = ReadAll(vteed_says);
  vmm = life;
}

std::string LifeRun::Describe() const {
  const auto end = [](int status) {
    return WIFSIGNALED(status) ? "signal " + std::to_string(WTERMSIG(status))
                               : "status " + std::to_string(WEXITSTATUS(status));
  };
  const std::string call =
      plan.at != 0 && plan.at <= steps.size() ? std::to_string(steps[plan.at - 1]) : "?";
  std::string text = "step " + std::to_string(plan.at) + " (system call " + call + "), errno " +
                     std::to_string(error) + ": ";
  text += in_time ? "VMM ended with " + end(vmm_status) + ", vteed with " + end(vteed_status)
                  : "not all processes ended in time";
  return text + "; wrong: '" + vmm->failure + "'; vteed said:\n" + vteed_said;
}

}  // namespace vtee::daemon
