// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes vteed's mailboxes as a hostile VMM reaches them: any word of the ring at any time,
// sequence numbers out of order, parks and doorbells that nobody needs, guest memory that changes.
//
// Input: actions on two vCPUs, see Action; those with the top bit set are done by a second thread
// at the same time. What must hold: a third vCPU, whose mailbox nobody spoils, is served as if
// nothing was; and at the end all threads end, and the TEE holds nothing.
#include <unistd.h>

#include <array>
#include <optional>
#include <thread>
#include <vector>

#include "backend/fake/fake_backend.h"
#include "base/log.h"
#include "daemon/mailbox_server.h"
#include "daemon/test_vmm.h"
#include "dialect/optee/optee_dialect.h"
#include "dialect/optee/wire.h"
#include "fuzz_input.h"
#include "guest/test_memory.h"

namespace vtee::daemon {
namespace {

namespace smc = optee::smc;

enum class Kind : std::uint8_t {
  kWord,        // any word of the vCPU's mailbox
  kHeaderWord,  // any word of the ring's first cache lines
  kSubmit,      // a call, as the protocol wants it
  kDoorbell,
  kPark,
  kMemory,  // a word of guest memory
  kAwait,   // a moment for the answer
  kReset,
  kWake,
  kKinds,
};

struct Action {
  std::uint8_t kind;  // Kind; top bit: by the second thread
  std::uint8_t vcpu;
  std::uint8_t index;
  std::uint8_t function;
  std::uint32_t value;
  std::uint64_t x1;
  std::uint64_t x2;
};
static_assert(sizeof(Action) == 24);

Kind KindOf(const Action& action) {
  return static_cast<Kind>((action.kind & 0x7F) % static_cast<std::uint8_t>(Kind::kKinds));
}

constexpr std::array<std::uint32_t, 8> kFunctions = {
    smc::kCallWithRpcArg, smc::kCallWithArg,      smc::kReturnFromRpc,        smc::kCallWithRegdArg,
    smc::kCallsUid,       smc::kEnableAsyncNotif, smc::kExchangeCapabilities, 0x3200BEEF,
};
constexpr std::uint32_t kHostileVcpus = 2;
constexpr std::uint32_t kHonestVcpu = 2;
constexpr std::size_t kMaxActions = 48;
constexpr std::uint64_t kRam = 0x10000;
constexpr std::uint64_t kRamBytes = 8 * guest::kPageSize;

guest::TestMemory& Memory() {
  static auto& memory = *new guest::TestMemory(kRam, kRamBytes);
  return memory;
}

template <typename T>
void StoreWord(void* base, std::size_t index, T value) {
  std::atomic_ref(static_cast<T*>(base)[index]).store(value);
}

class HostileVmm {
 public:
  HostileVmm(TestVmm& vmm, optee::OpteeDialect& dialect) : vmm_(vmm), dialect_(dialect) {}

  void Do(const Action& action) {
    const std::uint32_t vcpu = action.vcpu % kHostileVcpus;
    vmm::Mailbox& box = vmm_.box(vcpu);
    switch (KindOf(action)) {
      case Kind::kWord:
        return StoreWord(&box, action.index % (sizeof box / 4), action.value);
      case Kind::kHeaderWord:
        return StoreWord(&vmm_.header(), action.index % (sizeof(vmm::RingHeader) / 4),
                         action.value);
      case Kind::kSubmit:
        StoreWord(box.x, 0, std::uint64_t{kFunctions[action.function % kFunctions.size()]});
        StoreWord(box.x, 1, action.x1);
        StoreWord(box.x, 2, action.x2);
        StoreWord(box.x, 3, std::uint64_t{action.value});
        box.request.fetch_add(1);
        if (box.vteed_sleeping.load() != 0) FutexWakeShared(box.request, 1);
        if (box.served.load() == 0) vmm_.RingDoorbell();
        return;
      case Kind::kDoorbell:
        return vmm_.RingDoorbell();
      case Kind::kPark:
        box.park.store(box.request.load() + action.value % 3);
        return vmm_.RingDoorbell();
      case Kind::kMemory: {
        const std::uint64_t at = action.x1 % (kRamBytes / 8) * 8;
        return Memory().Put64(kRam + at, action.x2);
      }
      case Kind::kAwait:
        for (int i = 0; i < 200 && box.reply.load() != box.request.load(); ++i) {
          std::this_thread::yield();
        }
        return;
      case Kind::kReset:
        return dialect_.Reset();
      case Kind::kWake:
        FutexWakeShared(box.request, 1);
        FutexWakeShared(box.reply, 1);
        return;
      case Kind::kKinds:
        return;
    }
  }

 private:
  TestVmm& vmm_;
  optee::OpteeDialect& dialect_;
};

// The honest vCPU's call; rings again for as long as there is no reply, as a call port does.
void RequireService(TestVmm& vmm) {
  vmm.Submit(kHonestVcpu, {smc::kCallsUid});
  const std::uint64_t start = MonotonicNanos();
  while (!vmm.Replied(kHonestVcpu)) {
    std::this_thread::yield();
    const std::uint64_t waited = MonotonicNanos() - start;
    if (waited > 1'000'000) vmm.RingDoorbell();
    Require(waited < 20'000'000'000);
  }
  const vmm::Mailbox& box = vmm.box(kHonestVcpu);
  Require(box.reply_count == 4 && box.reply_x[0] == optee::kApiUid[0]);
}

void RunOne(Input input) {
  std::vector<Action> actions, beside;
  while (!input.empty() && actions.size() + beside.size() < kMaxActions) {
    const auto action = input.Take<Action>();
    ((action.kind & 0x80) != 0 ? beside : actions).push_back(action);
    // The rest of the input, from a mark on, is the guest's memory.
    if ((action.kind & 0x7F) == 0x7F) break;
  }
  std::vector<std::byte> ram(kRamBytes);
  const auto given = input.TakeBytes(kRamBytes);
  std::copy(given.begin(), given.end(), ram.begin());
  Memory().Put(kRam, ram);

  mediator::Policy policy;
  policy.max_calls = 3;
  policy.max_sessions = 4;
  const auto tee = backend::FakeBackend::WithDefaultScript();
  {
    TestVmm vmm(kHostileVcpus + 1);
    optee::OpteeDialect dialect(Memory().memory(), *tee, policy);
    auto server = MailboxServer::Create(vmm.ring(), kHostileVcpus + 1, dialect, {0, 1000});
    Require(server.ok() && (*server)->Start().ok());
    HostileVmm hostile(vmm, dialect);
    std::optional<std::thread> second;
    if (!beside.empty()) {
      second.emplace([&] {
        for (const Action& action : beside) {
          // Life events come from the control thread alone.
          if (KindOf(action) != Kind::kReset) hostile.Do(action);
        }
      });
    }
    for (const Action& action : actions) hostile.Do(action);
    if (second) second->join();
    RequireService(vmm);
    // As ~Vm does.
    (*server)->Stop();
    dialect.Reset();
    server->reset();
    Require(dialect.session_count() == 0 && dialect.shm_count() == 0);
  }
  const backend::FakeCounters counters = tee->counters();
  Require(counters.open_sessions == 0 && counters.registered_memories == 0);
  Require(counters.calls_in_flight == 0);
}

}  // namespace
}  // namespace vtee::daemon

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vtee::SetLogLevel(vtee::LogLevel::kError);
  vtee::daemon::RunOne({data, size});
  return 0;
}
