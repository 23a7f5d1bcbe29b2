// SPDX-License-Identifier: BSD-3-Clause
// What vteed adds to a guest's invoke, natively: decode, check and dispatch of four parameters, and
// the way of a call between two processes and back.
#include <benchmark/benchmark.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <vector>

#include "base/clock.h"
#include "base/socket.h"
#include "daemon/backends.h"
#include "daemon/invoke_path.h"
#include "daemon/vm.h"
#include "vtee/vmm.h"

namespace vtee::daemon {
namespace {

void BM_InvokeFourParameters(benchmark::State& state) {
  InvokePath path;
  for (auto _ : state) {
    if (path.Invoke() != optee::ret::kOk) std::abort();
  }
}
BENCHMARK(BM_InvokeFourParameters);

// vteed's side, until the peer leaves.
[[noreturn]] void ServeFake(UniqueFd socket) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  Config config;
  config.backend.kind = "fake";
  auto backend = MakeBackend(config);
  if (!backend.ok()) _exit(1);
  const WaitTimes times{.spin_us = 2000, .park_after_us = 1'000'000};
  Vm vm(config, times, std::move(backend).value());
  for (;;) {
    auto packet = ReceivePacket(socket.get(), sizeof(vmm::ControlMessage));
    if (!packet.ok() || !vm.HandlePacket(socket.get(), std::move(packet).value()).ok()) _exit(0);
  }
}

// A fast call (GET_OS_UUID) through libvtee-vmm to another process and back. Both sides spin, so
// it wants two processors of its own; the median stands the noise of a machine that has others.
void BM_RingRoundTrip(benchmark::State& state) {
  auto sockets = MakeSocketPair();
  if (!sockets.ok()) std::abort();
  const pid_t child = fork();
  if (child == 0) {
    sockets->first.Reset();
    ServeFake(std::move(sockets->second));
  }
  sockets->second.Reset();
  vtee_attach attach{};
  attach.size = sizeof attach;
  attach.vcpus = 1;
  attach.control_fd = sockets->first.Release();
  vtee_vm* vm = nullptr;
  if (vtee_vm_attach(&attach, &vm) != 0) std::abort();
  std::vector<std::uint64_t> times;
  vtee_call call{};
  call.size = sizeof call;
  call.conduit = VTEE_CONDUIT_SMC;
  for (auto _ : state) {
    call.x[0] = optee::smc::kGetOsUuid;
    const std::uint64_t start = MonotonicNanos();
    if (vtee_vm_call(vm, 0, &call) != 0 || call.x[0] != optee::kOsUuid[0]) std::abort();
    times.push_back(MonotonicNanos() - start);
  }
  vtee_vm_detach(vm);
  waitpid(child, nullptr, 0);
  std::sort(times.begin(), times.end());
  state.counters["p50_ns"] = static_cast<double>(times[times.size() / 2]);
  state.counters["p99_ns"] = static_cast<double>(times[times.size() * 99 / 100]);
}
BENCHMARK(BM_RingRoundTrip);

}  // namespace
}  // namespace vtee::daemon

BENCHMARK_MAIN();
