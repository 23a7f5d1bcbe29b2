// SPDX-License-Identifier: BSD-3-Clause
// A guest as U-Boot's driver is one: every message has its page and no room for the TEE's, which
// asks for memory when it wants something (ALLOC) and gives it back (FREE). No interrupts.
// With the word `fake`, against the TA of the backend `fake` that asks for the time.
#include <initializer_list>

#include "conversation.h"
#include "text.h"

using namespace guest;         // NOLINT(google-build-using-namespace)
using namespace guest::optee;  // NOLINT(google-build-using-namespace)

namespace {

// Knows which pages it has lent.
class Lender : public NormalWorld {
 public:
  explicit Lender(bool generous) : generous_(generous) {}
  bool OnAlloc(std::uint32_t size, std::uint64_t& address, std::uint64_t& cookie) override {
    if (!generous_ || !NormalWorld::OnAlloc(size, address, cookie)) return false;
    cookie = kCookie + lent_++;
    return true;
  }
  void OnFree(std::uint64_t cookie) override {
    returned_ += cookie >= kCookie && cookie < kCookie + lent_ ? 1 : 0;
  }
  bool even() const { return lent_ == returned_; }
  unsigned lent() const { return lent_; }

 private:
  static constexpr std::uint64_t kCookie = 0xFEDCBA9876543210;
  bool generous_;
  unsigned lent_ = 0;
  unsigned returned_ = 0;
};

std::uint32_t AskTime(Client& client, std::uint32_t session, NormalWorld& world,
                      std::uint64_t& seconds) {
  Message message;
  message.Begin(kInvoke, session, 3);
  message.Add(kValueOut, ~std::uint64_t{0});
  const std::uint32_t result = client.Do(message, world);
  seconds = message.parameter(0).a;
  return result;
}

void CheckRequests(Client& client) {
  std::uint32_t session = 0;
  Check("the asking TA opens", Open(client, kEcho, session) == kSuccess, "no");
  std::uint64_t seconds = 0;
  Lender lender(true);
  const std::uint32_t asked = AskTime(client, session, lender, seconds);
  Check("it asks for memory, then for the time",
        asked == kSuccess && lender.lent() > 0 && lender.commands == 1,
        "%x, allocs %u, commands %u", asked, lender.lent(), lender.commands);
  Check("it gets the guest's time", seconds <= Microseconds() / 1000000, "%lu", seconds);
  Check("every page comes back", lender.even(), "no");
  Lender miser(false);
  const std::uint32_t refused = AskTime(client, session, miser, seconds);
  Check("a guest without memory: the call ends, with an error",
        refused != kSuccess && client.last() == kOk && miser.commands == 0, "%x, a0 %x", refused,
        client.last());
  Check("close", Close(client, session) == kSuccess, "no");
}

void CheckWaiting(Client& client) {
  std::uint32_t session = 0;
  Check("os_test opens", Open(client, kOsTest, session) == kSuccess, "no");
  Message message;
  message.Begin(kInvoke, session, kOsTestWait);
  message.Add(kValueIn, 500);
  Lender lender(true);
  const std::uint32_t result = client.Do(message, lender);
  Check("a long call gives the vCPU back",
        result == kSuccess && lender.foreign > 0 && lender.waits == 0, "%x, foreign %u, waits %u",
        result, lender.foreign, lender.waits);
  Check("close", Close(client, session) == kSuccess, "no");
}

}  // namespace

void GuestMain() {
  Client client(41);
  client.way = kCallWithArg;
  CheckIdentity(client);
  CheckTwins(client);
  const Registers capabilities = client.Secure(kExchangeCapabilities);
  Check("dynamic memory, no room for RPC, no notifications",
        (capabilities.x[1] & (kCapDynamicShm | kCapReservedShm | kCapRpcArg | kCapNotifications)) ==
            kCapDynamicShm,
        "%lx", capabilities.x[1]);
  for (const bool hvc : {TheMachine().hvc, !TheMachine().hvc}) {
    Chapter(hvc ? "hvc" : "smc");
    client.hvc = hvc;
    if (HasArgument("fake")) {
      CheckRequests(client);
    } else {
      Converse(client, "CALL_WITH_ARG", Message());
      CheckWaiting(client);
    }
  }
  Check("x4 to x17 survive every call", client.preserved(), "no");
}
