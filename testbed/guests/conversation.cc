// SPDX-License-Identifier: BSD-3-Clause
#include "conversation.h"

#include "sha256.h"
#include "text.h"

namespace guest::optee {

void CheckIdentity(Client& client) {
  const Registers uid = client.Secure(kCallsUid);
  Check("uid",
        uid.x[0] == 0x384fb3e0 && uid.x[1] == 0xe7f811e3 && uid.x[2] == 0xaf630002 &&
            uid.x[3] == 0xa5d5c51b,
        "%lx %lx %lx %lx", uid.x[0], uid.x[1], uid.x[2], uid.x[3]);
  const Registers revision = client.Secure(kCallsRevision);
  Check("revision", revision.x[0] == 2 && revision.x[1] == 0, "%lx", revision.x[0]);
  const Registers os = client.Secure(kGetOsRevision);
  Check("os revision", os.x[0] == 4, "%lx.%lx", os.x[0], os.x[1]);
}

void CheckTwins(Client& client) {
  constexpr std::uint32_t kIds[] = {
      kCallsUid,         kCallsRevision, kGetOsUuid,   kGetOsRevision,  kExchangeCapabilities,
      kEnableAsyncNotif, kReturnFromRpc, kCallWithArg, kCallWithRpcArg, kCallWithRegdArg};
  unsigned refused = 0;
  for (const std::uint32_t id : kIds) {
    refused += static_cast<std::uint32_t>(client.Secure(id | kSmc64).x[0]) == kUnknown ? 1 : 0;
  }
  Check("SMC64 twins are unknown functions", refused == 10, "%u of 10", refused);
  constexpr std::uint32_t kOthers[] = {0x32000000, 0x32000005, 0x3200FFFF, 0xB2000002,
                                       0xB200FFFF, 0xBF000000, 0xBF00FF02};
  refused = 0;
  for (const std::uint32_t id : kOthers) {
    refused += client.Secure(id).x[0] == ~std::uint64_t{0} ? 1 : 0;
  }
  Check("ids of nothing are unknown functions", refused == 7, "%u of 7", refused);
}

void Converse(Client& client, const char* name, Message message) {
  BeginOpen(message, kCrypt);
  const std::uint32_t opened = client.Do(message);
  const std::uint32_t session = message.header().session;
  std::uint8_t* data = TakePages(1);
  std::memcpy(data, "abc", 3);
  message.Begin(kInvoke, session, kCryptSha256);
  message.Add(kTemporaryIn, AddressOf(data), 3);
  message.Add(kTemporaryOut, AddressOf(data) + 64, 32);
  const std::uint32_t hashed = client.Do(message);
  std::uint8_t expected[32];
  Sha256 sha;
  sha.Update(data, 3);
  sha.Finish(expected);
  const bool same = std::memcmp(data + 64, expected, 32) == 0;
  message.Begin(kCloseSession, session);
  const std::uint32_t closed = client.Do(message);
  message.Begin(kCloseSession, session);
  const std::uint32_t again = client.Do(message);
  Check(name,
        opened == kSuccess && hashed == kSuccess && same && closed == kSuccess &&
            again == kItemNotFound,
        "open %x, hash %x %s, close %x, again %x, a0 %x", opened, hashed, same ? "right" : "wrong",
        closed, again, client.last());
}

}  // namespace guest::optee
