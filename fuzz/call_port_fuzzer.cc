// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes one vCPU's call port, in the VMM, against a vteed that does what it likes with the ring.
//
// Input: what the VMM does with the port; while it waits, each look at whether to stop lets the
// vteed take its next step (hostile_vteed.h), so both sides interleave the same way each time.
// What must hold: every wait ends; a reply has at most 18 registers; a call that nobody answered
// stays pending; once vteed is lost, calls end at once with NOT_SUPPORTED.
#include <sys/mman.h>

#include "fuzz_input.h"
#include "hostile_vteed.h"
#include "vmm/call_port.h"
#include "vmm/peer_health.h"

namespace vtee::vmm {
namespace {

enum class Action : std::uint8_t { kSubmit, kWait, kAbandon, kVteedStep, kLoseVteed, kActions };

constexpr std::size_t kMaxActions = 64;

struct Said {
  int sentences = 0;
};

void Wait(CallPort& port, const PeerHealth& health, HostileVteed& vteed) {
  const bool was_pending = port.pending();
  const bool was_dead = health.dead();
  CallRegisters reply;
  reply.count = ~0u;
  switch (port.Wait(vteed.stop_check(), reply)) {
    case CallPort::Outcome::kReplied:
      Require(was_pending && !port.pending());
      Require(reply.count <= kCallRegisters);
      if (health.dead() && !was_dead) {
        Require(reply.count == 1 && reply.x[0] == kSmcccNotSupported);
      }
      break;
    case CallPort::Outcome::kStopped:
      Require(!was_dead && port.pending() == was_pending);
      break;
    case CallPort::Outcome::kIdle:
      Require(!was_pending);
      break;
  }
  if (was_dead) Require(!port.pending());
}

void RunOne(const std::uint8_t* data, std::size_t size) {
  static void* const ring =
      mmap(nullptr, RingBytes(1), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  Require(ring != MAP_FAILED);
  std::memset(ring, 0, RingBytes(1));
  auto* header = static_cast<RingHeader*>(ring);
  auto* mailbox = reinterpret_cast<Mailbox*>(static_cast<std::byte*>(ring) + 4096);

  Said said;
  const MessageSink sink{[](void* context, const char* sentence) {
                           Require(sentence[0] != '\0');
                           ++static_cast<Said*>(context)->sentences;
                         },
                         &said};
  PeerHealth health(sink);
  Input input(data, size);
  HostileVteed vteed(*header, *mailbox, input);
  CallPort port;
  SpinLimit spinners(1);
  port.Init(header, mailbox, &health, &spinners);
  for (std::size_t i = 0; i < kMaxActions && !input.empty(); ++i) {
    switch (static_cast<Action>(input.Take<std::uint8_t>() %
                                static_cast<std::uint8_t>(Action::kActions))) {
      case Action::kSubmit: {
        const std::uint64_t x[kCallRegisters] = {0x32000004, input.Take<std::uint8_t>()};
        const bool was_pending = port.pending();
        Require(port.Submit(kConduitSmc, x, input.Take<std::uint8_t>()) == !was_pending);
        Require(port.pending());
        break;
      }
      case Action::kWait:
        Wait(port, health, vteed);
        break;
      case Action::kAbandon:
        port.Abandon();
        Require(!port.pending());
        break;
      case Action::kVteedStep:
        static_cast<void>(vteed.Step());
        break;
      case Action::kLoseVteed:
        health.Fail("ended");
        break;
      case Action::kActions:
        break;
    }
  }
  health.Fail("ended");
  Wait(port, health, vteed);
  Require(said.sentences == 1 && health.sentence()[0] != '\0');
}

}  // namespace
}  // namespace vtee::vmm

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vtee::vmm::RunOne(data, size);
  return 0;
}
