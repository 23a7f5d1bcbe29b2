// SPDX-License-Identifier: BSD-3-Clause
// A guest that does its worst to the TEE: every vCPU but the first issues random and half-sensible
// secure calls, the first one rewrites the memory they use, turns vCPUs off and on, restarts the
// machine, and says each second that all of them get on.
//
// Command line: seed=N seconds=N. The same seed gives each vCPU the same stream of choices; how
// the vCPUs meet is up to the machine.
#include "fuzz_worker.h"
#include "text.h"

using namespace guest;         // NOLINT(google-build-using-namespace)
using namespace guest::optee;  // NOLINT(google-build-using-namespace)
using namespace guest::fuzz;   // NOLINT(google-build-using-namespace)

namespace {

constexpr std::uint64_t kMagic = 0x76746565'66757a7a;
constexpr std::uint64_t kStalledUs = 20'000'000;

// What a restart must not lose: memory in front of the image, that QEMU loads nothing into.
struct Past {
  std::uint64_t magic;
  std::uint64_t microseconds;  // of all lives
  std::uint32_t lives;
  Counts counts;
};
Past& ThePast() { return *reinterpret_cast<Past*>(TheMachine().ram + 0x100000); }

Arena g_arena;
Worker* g_workers[kMaxCpus];

void Work(void* worker) { static_cast<Worker*>(worker)->Run(); }

void Report(const Counts& counts) {
  const Past& past = ThePast();
  Print(
      "progress life %u second %lu calls %lu opened %lu invoked %lu registered %lu parked %lu "
      "resumed %lu refused %lu\n",
      past.lives, past.microseconds / 1000000, counts.calls, counts.opened, counts.invoked,
      counts.registered, counts.parked, counts.resumed, counts.refused);
}

Counts Sum() {
  Counts sum = ThePast().counts;
  for (unsigned cpu = 1; cpu < TheMachine().cpus; ++cpu) sum.Add(g_workers[cpu]->counts());
  return sum;
}

// Whether every vCPU has come back from its secure call lately.
bool AllGetOn(std::uint64_t now) {
  for (unsigned cpu = 1; cpu < TheMachine().cpus; ++cpu) {
    Worker& worker = *g_workers[cpu];
    if (worker.Stalled(now, kStalledUs)) {
      Check("vCPUs get on", false, "vCPU %u is in a call (x0 %lx x1 %lx x2 %lx x3 %lx)", cpu,
            worker.last(0), worker.last(1), worker.last(2), worker.last(3));
      return false;
    }
  }
  return true;
}

// Flips and writes in the memory that calls are reading.
void Scribble(Random& random) {
  for (unsigned i = 0; i < 64; ++i) {
    std::uint64_t* word = g_arena.Word(random.Next());
    switch (random.Below(4)) {
      case 0:
        *word ^= std::uint64_t{1} << random.Below(64);
        break;
      case 1:
        *word = g_arena.Address(random);
        break;
      case 2:
        *word = random.Below(16);
        break;
      default:
        *word = random.Next();
        break;
    }
  }
}

// Until the time is over or a restart is due; false when a vCPU has stalled.
bool Live(Random& random, std::uint64_t end) {
  Past& past = ThePast();
  const std::uint64_t restart = 4'000'000 + random.Below(8'000'000);
  const std::uint64_t start = Microseconds();
  const std::uint64_t before = past.microseconds;
  std::uint64_t said = start;
  for (;;) {
    const std::uint64_t now = Microseconds();
    past.microseconds = before + (now - start);
    if (now - said >= 1'000'000) {
      said = now;
      Report(Sum());
      if (!AllGetOn(now)) return false;
    }
    if (past.microseconds >= end) return true;
    if (now - start >= restart) {
      past.counts = Sum();
      Reset();
    }
    Scribble(random);
    const unsigned cpu = 1 + static_cast<unsigned>(random.Below(TheMachine().cpus - 1));
    if (CpuIsOff(cpu)) StartCpu(cpu, Work, g_workers[cpu]);
    WaitForInterrupt();
  }
}

bool StopWorkers() {
  for (unsigned cpu = 1; cpu < TheMachine().cpus; ++cpu) g_workers[cpu]->Stop();
  const std::uint64_t end = Microseconds() + kStalledUs;
  for (unsigned cpu = 1; cpu < TheMachine().cpus;) {
    if (CpuIsOff(cpu)) ++cpu;
    if (Microseconds() > end) return false;
  }
  return true;
}

// After all that an honest caller is served: a new driver, for which the sessions that fill the
// TEE's memory are closed.
void CheckStillWorks() {
  Client client(1);
  EnableNotifications(client);
  std::uint32_t session = 0;
  std::uint32_t result = kNoAnswer;
  const std::uint64_t end = Microseconds() + kStalledUs;
  do {
    // Calls that were left parked give their places back once somebody comes for them.
    Message none;
    NormalWorld world;
    for (std::uint32_t token = 0; token < 16; ++token) {
      client.Resume(token, none, world);
    }
    result = Open(client, HasArgument("fake") ? kEcho : kCrypt, session);
  } while ((client.last() == kThreadLimit || result == kOutOfMemory) && Microseconds() < end);
  Check("the TEE still serves", result == kSuccess && Close(client, session) == kSuccess,
        "%x, a0 %x", result, client.last());
}

}  // namespace

void GuestMain() {
  Past& past = ThePast();
  if (past.magic != kMagic) {
    past = Past{};
    past.magic = kMagic;
  }
  ++past.lives;
  const std::uint64_t seed = Argument("seed", 1);
  const std::uint64_t life_seed = seed * 1000 + past.lives;
  Print("life %u of seed %lu\n", past.lives, seed);
  Random random(life_seed);
  g_arena.Prepare(random);
  EnableInterrupts(2000);
  Client client(life_seed);
  EnableNotifications(client);
  for (unsigned cpu = 1; cpu < TheMachine().cpus; ++cpu) {
    g_workers[cpu] = new (TakePages(1)) Worker(g_arena, cpu, life_seed * kMaxCpus + cpu);
    StartCpu(cpu, Work, g_workers[cpu]);
  }
  if (!Live(random, Argument("seconds", 60) * 1000000)) return;
  Check("vCPUs stop when told", StopWorkers(), "one does not");
  const Counts counts = Sum();
  Report(counts);
  // Loading a TA takes the emulated OP-TEE a second, so in a short run few sessions are there to be
  // invoked.
  const bool invoked = counts.invoked > 0 || !HasArgument("fake");
  Check("the calls went deep",
        counts.opened > 0 && invoked && counts.registered > 0 && counts.resumed > 0 &&
            counts.refused > 0,
        "see the last line of progress");
  CheckStillWorks();
}
