// SPDX-License-Identifier: BSD-3-Clause
// A guest as Linux's driver is one, with dynamic shared memory: every way of passing a message,
// over the conduit of the device tree and over the other, garbage wherever the ABI looks at
// nothing. With the word `no-rpc-arg` on the command line it is one of before Linux 5.19.
#include "conversation.h"

using namespace guest;         // NOLINT(google-build-using-namespace)
using namespace guest::optee;  // NOLINT(google-build-using-namespace)

namespace {

constexpr std::uint64_t kSeed = 2026;
constexpr std::uint64_t kMessagesCookie = 0x1234567890ABCDEF;

void CheckCapabilities(Client& client) {
  const Registers answer = client.Secure(kExchangeCapabilities);
  const std::uint64_t wanted =
      HasArgument("no-rpc-arg") ? kCapDynamicShm : kCapDynamicShm | kCapRpcArg;
  Check("capabilities", answer.x[0] == kOk && (answer.x[1] & wanted) == wanted, "%lx %lx",
        answer.x[0], answer.x[1]);
  Check("unknown capability of the guest refused",
        client.Secure(kExchangeCapabilities, 0x80).x[0] == kNotAvailable, "no");
  Check("cache is empty", client.Secure(kDisableShmCache).x[0] == kNotAvailable, "no");
}

void CheckEnumeration(Client& client) {
  std::uint32_t session = 0;
  Check("device enumeration opens", Open(client, kEnumeration, session) == kSuccess, "no");
  Message message;
  std::uint8_t* list = TakePages(1);
  message.Begin(kInvoke, session, 0);
  message.Add(kTemporaryOut, AddressOf(list), kPage);
  const std::uint32_t result = client.Do(message);
  const std::uint64_t size = message.parameter(0).b;
  Check("devices are listed", result == kSuccess && size >= 16 && size % 16 == 0, "%x, %lu bytes",
        result, size);
  Close(client, session);
}

void CheckRefusals(Client& client) {
  Message message;
  message.Begin(kInvoke, 0x7777, 0);
  Check("invoke of no session", client.Do(message) == kBadParameters, "%x",
        message.header().result);
  message.Begin(0x99);
  client.Do(message);
  Check("unknown command", client.last() == kBadCommand, "a0 %x", client.last());
  NormalWorld world;
  Message odd(message.at() + 8);
  Check("misaligned message", client.Pass(odd, world) == kBadAddress, "a0 %x", client.last());
  Check("resume of nothing",
        static_cast<std::uint32_t>(client.Secure(kReturnFromRpc, 0, 0, 3).x[0]) == kResume, "no");
}

// Every way of passing messages over one conduit.
void Everything(bool hvc) {
  Client client(kSeed + (hvc ? 1 : 0));
  client.hvc = hvc;
  Chapter(hvc ? "hvc" : "smc");
  CheckIdentity(client);
  CheckCapabilities(client);
  CheckTwins(client);
  client.way = kCallWithArg;
  Converse(client, "CALL_WITH_ARG", Message());
  if (!HasArgument("no-rpc-arg")) {
    client.way = kCallWithRpcArg;
    Converse(client, "CALL_WITH_RPC_ARG", Message());
    std::uint8_t* room = TakePages(2);
    const std::uint64_t list =
        MakePageList(2, [&](std::uint64_t i) { return AddressOf(room) + i * kPage; });
    Check("memory for messages", Register(client, list, 2 * kPage, kMessagesCookie) == kSuccess,
          "no");
    client.way = kCallWithRegdArg;
    client.regd_cookie = kMessagesCookie;
    client.regd_base = AddressOf(room);
    Converse(client, "CALL_WITH_REGD_ARG", Message(room + 512));
    // Some in one page, the rest in the next: only registered messages may.
    Converse(client, "CALL_WITH_REGD_ARG over two pages", Message(room + kPage - 40));
    client.way = kCallWithRpcArg;
    Check("and back", Unregister(client, kMessagesCookie) == kSuccess, "no");
  }
  CheckEnumeration(client);
  CheckRefusals(client);
  Check("x4 to x17 survive every call", client.preserved(), "no");
}

}  // namespace

void GuestMain() {
  if (!Check("the tree has a TEE", TheMachine().tee, "no node")) return;
  Everything(TheMachine().hvc);
  Everything(!TheMachine().hvc);
}
