// SPDX-License-Identifier: BSD-3-Clause
// Restarts (PSCI SYSTEM_RESET) with sessions open, buffers registered, and calls in the middle:
// each life finds a TEE that knows nothing of the one before.
#include "optee.h"
#include "sha256.h"
#include "text.h"

using namespace guest;         // NOLINT(google-build-using-namespace)
using namespace guest::optee;  // NOLINT(google-build-using-namespace)

namespace {

constexpr unsigned kLives = 4;
constexpr unsigned kBuffers = 8;
constexpr unsigned kSessions = 3;
constexpr std::uint64_t kMagic = 0x76746565'6c696665;

// Memory that a restart leaves alone: QEMU loads image and tree again, and nothing else.
struct Past {
  std::uint64_t magic;
  std::uint32_t lives;
  std::uint32_t sessions[kSessions];
  std::uint32_t token;
};
Past& ThePast() { return *reinterpret_cast<Past*>(TheMachine().ram + 0x0C000000); }

class Leaves : public NormalWorld {
 public:
  bool OnForeignInterrupt() override { return false; }
  bool OnWait(std::uint32_t, std::uint32_t&) override { return false; }
};

// Nothing of the last life is left.
void CheckClean(Client& client) {
  Past& past = ThePast();
  Message message;
  for (const std::uint32_t session : past.sessions) {
    message.Begin(kInvoke, session, kOsTestWait);
    message.Add(kValueIn, 1);
    Check("an old session is unknown", client.Do(message) == kBadParameters, "%x",
          message.header().result);
  }
  const std::uint32_t resumed =
      static_cast<std::uint32_t>(client.Secure(kReturnFromRpc, 0, 0, past.token).x[0]);
  Check("an old call is unknown", resumed == kResume, "a0 %x", resumed);
  Check("no old notification", (client.Secure(kGetAsyncNotifValue).x[2] & 1) == 0, "there is");
  Check("an old buffer is unknown", Unregister(client, 1) == kBadParameters, "no");
}

// A call on vCPU 1 that is inside the TEE when the guest restarts.
void CallAndStay(void* session) {
  Client client(11);
  Message message;
  message.Begin(kInvoke, *static_cast<std::uint32_t*>(session), kOsTestWait);
  message.Add(kValueIn, 700);
  NormalWorld world;
  client.Do(message, world);
}

void Live(Client& client) {
  Past& past = ThePast();
  unsigned registered = 0;
  std::uint8_t* pages = TakePages(kBuffers);
  for (unsigned i = 0; i < kBuffers; ++i) {
    const std::uint64_t page = AddressOf(pages) + i * kPage;
    const std::uint64_t list = MakePageList(1, [&](std::uint64_t) { return page; });
    registered += Register(client, list, kPage, i + 1) == kSuccess ? 1 : 0;
  }
  Check("the same cookies again", registered == kBuffers, "%u of %u", registered, kBuffers);
  unsigned opened = 0;
  for (std::uint32_t& session : past.sessions) {
    opened += Open(client, kOsTest, session) == kSuccess ? 1 : 0;
  }
  Check("sessions open", opened == kSessions, "%u of %u", opened, kSessions);

  std::uint32_t crypt = 0;
  Open(client, kCrypt, crypt);
  Message message;
  std::memcpy(pages, "life", 4);
  message.Begin(kInvoke, crypt, kCryptSha256);
  message.Add(kRegisteredIn, 0, 4, 1).Add(kRegisteredOut, 64, 32, 2);
  const std::uint32_t result = client.Do(message);
  std::uint8_t expected[32];
  Sha256 sha;
  sha.Update(pages, 4);
  sha.Finish(expected);
  Check("a TA sees this life's memory",
        result == kSuccess && std::memcmp(expected, pages + kPage + 64, 32) == 0, "%x", result);
}

// Leaves a parked call, and on a second vCPU one that runs.
void BeInTheMiddle(Client& client) {
  Past& past = ThePast();
  Message message;
  message.Begin(kInvoke, past.sessions[0], kOsTestWait);
  message.Add(kValueIn, 900);
  Leaves world;
  const std::uint32_t a0 = client.Pass(message, world);
  past.token = client.token();
  Check("a call is parked", a0 == kRpcCommand || a0 == kRpcForeign, "a0 %x", a0);
  if (TheMachine().cpus > 1) {
    Check("vCPU 1 starts", StartCpu(1, CallAndStay, &past.sessions[1]) == 0, "no");
    Delay(100'000);
  }
}

}  // namespace

void GuestMain() {
  static const char* const kNames[] = {"life 1", "life 2", "life 3", "life 4"};
  Past& past = ThePast();
  if (past.magic != kMagic) {
    past = Past{};
    past.magic = kMagic;
  }
  const unsigned life = past.lives++;
  if (life >= kLives) return;
  Chapter(kNames[life]);
  Client client(life + 1);
  EnableInterrupts(10000);
  if (life > 0) CheckClean(client);
  Check("notifications", EnableNotifications(client), "no");
  Live(client);
  if (life + 1 == kLives) return;
  BeInTheMiddle(client);
  Reset();
}
