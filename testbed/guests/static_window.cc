// SPDX-License-Identifier: BSD-3-Clause
// A guest that shares memory with the TEE in one reserved window and nowhere else, as Linux does
// where there is no dynamic shared memory. With the word `edk2` it is EDK2's driver: it passes
// messages by CALL_WITH_ARG and knows no request of the TEE but "come back".
#include <initializer_list>

#include "conversation.h"
#include "text.h"

using namespace guest;         // NOLINT(google-build-using-namespace)
using namespace guest::optee;  // NOLINT(google-build-using-namespace)

namespace {

struct Window {
  std::uint64_t address;
  std::uint64_t size;
};

bool FindWindow(Client& client, Window& window) {
  const Registers config = client.Secure(kGetShmConfig);
  const Registers capabilities = client.Secure(kExchangeCapabilities);
  Check("reserved memory and no dynamic one",
        (capabilities.x[1] & (kCapReservedShm | kCapDynamicShm)) == kCapReservedShm, "%lx",
        capabilities.x[1]);
  window = {config.x[1], config.x[2]};
  return Check("the window", config.x[0] == kOk && window.size >= 16 * kPage && config.x[3] == 1,
               "%lx: %lx at %lx, cached %lx", config.x[0], window.size, window.address,
               config.x[3]);
}

// All of it is memory, and nobody else's.
void CheckWindowIsMemory(const Window& window) {
  auto* words = reinterpret_cast<volatile std::uint64_t*>(window.address);
  const std::uint64_t count = window.size / 8;
  for (std::uint64_t i = 0; i < count; i += 512) words[i] = i * 0x9E3779B97F4A7C15;
  words[count - 1] = 77;
  bool same = words[count - 1] == 77;
  for (std::uint64_t i = 0; i < count; i += 512) {
    same = same && words[i] == i * 0x9E3779B97F4A7C15;
  }
  Check("the window holds what is written", same, "no");
}

void CheckOutside(Client& client, const Window& window, std::uint8_t* ram) {
  NormalWorld world;
  Message outside(ram);
  BeginOpen(outside, kCrypt);
  Check("a message outside of it", client.Pass(outside, world) == kBadAddress, "a0 %x",
        client.last());
  std::uint32_t session = 0;
  Open(client, kCrypt, session);
  Message message;
  std::uint8_t* out = TakePages(1);
  const std::uint64_t kBad[] = {AddressOf(ram), window.address + window.size - 8,
                                window.address - 8};
  for (const std::uint64_t address : kBad) {
    message.Begin(kInvoke, session, kCryptSha256);
    message.Add(kTemporaryIn, address, 16).Add(kTemporaryOut, AddressOf(out), 32);
    const std::uint32_t result = client.Do(message);
    Check("a buffer that is not inside it", result == kBadParameters, "%lx: %x", address, result);
  }
  Close(client, session);
}

// The TEE wants the time. EDK2's driver could not answer that: the call ends without it.
void CheckRequests(Client& client, bool may_ask) {
  std::uint32_t session = 0;
  Check("the asking TA opens", Open(client, kEcho, session) == kSuccess, "no");
  Message message;
  message.Begin(kInvoke, session, 3);
  message.Add(kValueOut);
  NormalWorld world;
  const std::uint32_t result = client.Do(message, world);
  const std::uint32_t asked = world.allocs + world.frees + world.commands + world.waits;
  if (may_ask) {
    Check("it asks, and gets it", result == kSuccess && world.commands == 1, "%x, commands %u",
          result, world.commands);
  } else {
    Check("it does not ask, and the call ends",
          client.last() == kOk && result != kSuccess && asked == 0, "a0 %x, %x, asked %u times",
          client.last(), result, asked);
  }
  Close(client, session);
}

void CheckParking(Client& client) {
  std::uint32_t session = 0;
  Open(client, kOsTest, session);
  Message message;
  message.Begin(kInvoke, session, kOsTestWait);
  message.Add(kValueIn, 500);
  NormalWorld world;
  const std::uint32_t result = client.Do(message, world);
  Check("a long call gives the vCPU back",
        result == kSuccess && world.foreign > 0 && world.waits == 0, "%x, foreign %u, waits %u",
        result, world.foreign, world.waits);
  Close(client, session);
}

}  // namespace

void GuestMain() {
  const bool edk2 = HasArgument("edk2");
  Client client(31);
  CheckIdentity(client);
  CheckTwins(client);
  Window window{};
  if (!FindWindow(client, window)) return;
  std::uint8_t* ram = TakePages(1);
  MapAsMemory(window.address, window.size);
  CheckWindowIsMemory(window);
  TakePagesFrom(window.address, window.size);
  for (const bool hvc : {TheMachine().hvc, !TheMachine().hvc}) {
    Chapter(hvc ? "hvc" : "smc");
    client.hvc = hvc;
    client.way = kCallWithArg;
    if (HasArgument("fake")) {
      CheckRequests(client, !edk2);
      continue;
    }
    Converse(client, "CALL_WITH_ARG", Message());
    if (!edk2) {
      client.way = kCallWithRpcArg;
      Converse(client, "CALL_WITH_RPC_ARG", Message());
      Converse(client, "a message over two pages", Message(TakePages(2) + kPage - 40));
    }
    CheckOutside(client, window, ram);
    client.way = kCallWithArg;
    CheckParking(client);
  }
  Check("x4 to x17 survive every call", client.preserved(), "no");
}
