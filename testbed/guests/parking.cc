// SPDX-License-Identifier: BSD-3-Clause
// A TA that takes long does not hold the vCPU: its timer goes on, by notification and by the
// foreign-interrupt return, and who comes back for the result may be another vCPU.
#include <initializer_list>

#include "optee.h"
#include "text.h"

using namespace guest;         // NOLINT(google-build-using-namespace)
using namespace guest::optee;  // NOLINT(google-build-using-namespace)

namespace {

constexpr std::uint64_t kTickUs = 10000;
constexpr std::uint32_t kWaitMs = 2000;
// Of the 200 ticks of 2 s; the rest may be lost to a loaded machine.
constexpr std::uint64_t kEnoughTicks = 40;

// Leaves a call where it is when the TEE says "not yet".
class Leaves : public NormalWorld {
 public:
  bool OnForeignInterrupt() override { return false; }
  bool OnWait(std::uint32_t value, std::uint32_t&) override {
    value_ = value;
    return false;
  }
  std::uint32_t value() const { return value_; }

 private:
  std::uint32_t value_ = 0;
};

// Refuses to sleep, so that the TEE must have it come back by itself.
class Sleepless : public NormalWorld {
 public:
  bool OnWait(std::uint32_t, std::uint32_t& result) override {
    result = kGeneric;
    return true;
  }
};

void BeginWait(Message& message, std::uint32_t session, std::uint32_t ms) {
  message.Begin(kInvoke, session, kOsTestWait);
  message.Add(kValueIn, ms);
}

void CheckTicks(const char* name, Client& client, std::uint32_t session, NormalWorld& world) {
  Message message;
  BeginWait(message, session, kWaitMs);
  const std::uint64_t ticks = Ticks(0);
  const std::uint64_t start = Microseconds();
  const std::uint32_t result = client.Do(message, world);
  const std::uint64_t taken = Microseconds() - start;
  const std::uint64_t counted = Ticks(0) - ticks;
  Print("%s: %lu ticks in %lu ms; waits %u, foreign %u\n", name, counted, taken / 1000, world.waits,
        world.foreign);
  Check(name, result == kSuccess && counted >= kEnoughTicks && taken >= kWaitMs * 1000,
        "%x, %lu ticks in %lu us", result, counted, taken);
}

struct Other {
  Client client{99};
  Message message;
  Leaves world;
  std::uint32_t session = 0;
  std::uint32_t token = 0;
  std::uint32_t a0 = 0;
};

void LeaveACall(void* argument) {
  Other& other = *static_cast<Other*>(argument);
  BeginWait(other.message, other.session, kWaitMs / 2);
  const std::uint32_t a0 = other.client.Pass(other.message, other.world);
  other.token = other.client.token();
  __atomic_store_n(&other.a0, a0, __ATOMIC_RELEASE);
}

bool AwaitOff(unsigned cpu) {
  const std::uint64_t end = Microseconds() + 20'000'000;
  while (!CpuIsOff(cpu)) {
    if (Microseconds() > end) return false;
  }
  return true;
}

// vCPU 1 begins a call and turns itself off; vCPU 0 gets the result, then vCPU 1 does it again.
void CheckOtherVcpu(std::uint32_t session) {
  Other other;
  other.session = session;
  for (const char* name : {"resumed by another vCPU", "and after CPU_ON again"}) {
    Check(name, StartCpu(1, LeaveACall, &other) == 0 && AwaitOff(1), "vCPU 1");
    if (other.a0 != kRpcCommand) {
      Check(name, false, "not parked: a0 %x", other.a0);
      return;
    }
    Client client(5);
    NormalWorld world;
    std::uint32_t answer = kGeneric;
    world.OnWait(other.world.value(), answer);
    other.message.Rpc().header().result = answer;
    const std::uint32_t a0 = client.Resume(other.token, other.message, world);
    const std::uint32_t again =
        static_cast<std::uint32_t>(client.Secure(kReturnFromRpc, 0, 0, other.token).x[0]);
    Check(name, a0 == kOk && other.message.header().result == kSuccess && again == kResume,
          "a0 %x, result %x, again %x", a0, other.message.header().result, again);
  }
}

// The call ends inside the TEE, and nobody comes for it, ever.
void CheckNeverResumed(Client& client, std::uint32_t session) {
  Message left;
  Leaves world;
  BeginWait(left, session, 200);
  const std::uint32_t a0 = client.Pass(left, world);
  Check("a call is left", a0 == kRpcCommand, "a0 %x", a0);
  std::uint32_t other = 0;
  Check("others go on", Open(client, kCrypt, other) == kSuccess && Close(client, other) == kSuccess,
        "no");
}

}  // namespace

void GuestMain() {
  Client client(3);
  EnableInterrupts(kTickUs);
  std::uint32_t session = 0;
  const bool notifies = EnableNotifications(client);  // begins a driver's life: before sessions
  if (!Check("TA opens", Open(client, kOsTest, session) == kSuccess, "no")) return;
  if (HasArgument("no-interrupt")) {
    Check("no notifications", !notifies, "there are");
  } else {
    Check("notifications", notifies, "none");
    NormalWorld world;
    CheckTicks("the timer goes on while the guest sleeps", client, session, world);
    Check("it was asked to sleep", world.waits > 0 && SpisTaken() > 0, "waits %u, interrupts %lu",
          world.waits, SpisTaken());
    Sleepless sleepless;
    CheckTicks("a guest that does not sleep", client, session, sleepless);
    Check("it was asked once, then came by itself", sleepless.waits == 1 && sleepless.foreign > 0,
          "waits %u, foreign %u", sleepless.waits, sleepless.foreign);
    if (TheMachine().cpus > 1) CheckOtherVcpu(session);
  }
  client.way = kCallWithArg;
  NormalWorld world;
  CheckTicks("a message without room for the TEE's", client, session, world);
  Check("it came by itself", world.waits == 0 && world.foreign > 0, "waits %u, foreign %u",
        world.waits, world.foreign);
  client.way = kCallWithRpcArg;
  if (notifies) CheckNeverResumed(client, session);
  DisableInterrupts();
}
