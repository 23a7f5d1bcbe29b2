// SPDX-License-Identifier: BSD-3-Clause
#include "optee.h"

#include "text.h"

namespace guest::optee {
namespace {

constexpr std::uint64_t kWaitPatienceUs = 60'000'000;

constexpr std::uint32_t Low(std::uint64_t x) { return static_cast<std::uint32_t>(x); }
constexpr std::uint32_t High(std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); }
constexpr std::uint64_t Pair(std::uint64_t high, std::uint64_t low) {
  return std::uint64_t{Low(high)} << 32 | Low(low);
}

// Values that were raised and nobody has waited for yet.
std::uint32_t g_raised[8];

}  // namespace

constinit const Uuid kCrypt = {
    0xcb3e5ba0, 0xadf1, 0x11e0, {0x99, 0x8b, 0, 2, 0xa5, 0xd5, 0xc5, 0x1b}};
constinit const Uuid kOsTest = {
    0x5b9e0e40, 0x2636, 0x11e1, {0xad, 0x9e, 0, 2, 0xa5, 0xd5, 0xc5, 0x1b}};
constinit const Uuid kEnumeration = {
    0x7011a688, 0xddde, 0x4053, {0xa5, 0xa9, 0x7b, 0x3c, 0x4d, 0xdf, 0x13, 0xb8}};
constinit const Uuid kEcho = {
    0x5c1d3f70, 0x9e6b, 0x4b0a, {0x8d, 0x52, 0x3a, 0xc1, 0x94, 0x27, 0xe8, 1}};
constinit const Uuid kSlow = {
    0x5c1d3f70, 0x9e6b, 0x4b0a, {0x8d, 0x52, 0x3a, 0xc1, 0x94, 0x27, 0xe8, 2}};

void Message::Begin(std::uint32_t command, std::uint32_t session, std::uint32_t function) {
  header() = Header{command, function, session, 0, 0, kNoAnswer, 0, 0};
}

Message& Message::Add(std::uint64_t attribute, std::uint64_t a, std::uint64_t b, std::uint64_t c) {
  parameter(header().parameters++) = Parameter{attribute, a, b, c};
  return *this;
}

bool NormalWorld::OnForeignInterrupt() { return true; }

bool NormalWorld::OnWait(std::uint32_t value, std::uint32_t& result) {
  Client client(value);
  const std::uint64_t end = Microseconds() + kWaitPatienceUs;
  while (!TakeNotification(client, value)) {
    if (Microseconds() > end) {
      result = kGeneric;
      return true;
    }
    WaitForInterrupt();
  }
  result = kSuccess;
  return true;
}

bool NormalWorld::OnAlloc(std::uint32_t size, std::uint64_t& address, std::uint64_t& cookie) {
  if (size > kPage) return false;
  address = AddressOf(TakePages(1));
  cookie = address;  // the page itself: it must fit 64 bits and be no other's
  return true;
}

void NormalWorld::OnFree(std::uint64_t) {}

void NormalWorld::OnCommand(Message& message) {
  if (message.header().command == kGetTime && message.header().parameters == 1) {
    message.parameter(0).a = Microseconds() / 1000000;
    message.parameter(0).b = Microseconds() % 1000000 * 1000;
    message.header().result = kSuccess;
    return;
  }
  message.header().result = kGeneric;
}

Client::Client(std::uint64_t seed) : hvc(TheMachine().hvc), random_(seed) {}

Registers Client::Secure(std::uint32_t id, std::uint32_t a1, std::uint32_t a2, std::uint32_t a3,
                         std::uint32_t a4, std::uint32_t a5) {
  Registers registers = CallRegisters(random_, {id, a1, a2, a3, a4, a5});
  const Registers before = registers;
  Call(registers, hvc);
  // SMCCC 1.1: a call leaves x4 to x17 as they were.
  for (unsigned i = 4; i < 18; ++i) preserved_ = preserved_ && registers.x[i] == before.x[i];
  return registers;
}

std::uint32_t Client::Pass(Message& message, NormalWorld& world) {
  std::uint64_t where = message.address();
  std::uint32_t offset = 0;
  if (way == kCallWithRegdArg) {
    offset = Low(where - regd_base);
    where = regd_cookie;
  }
  return Serve(Secure(way, High(where), Low(where), offset), message, world);
}

std::uint32_t Client::Resume(std::uint32_t token, Message& message, NormalWorld& world) {
  return Serve(Secure(kReturnFromRpc, 0, 0, token), message, world);
}

std::uint32_t Client::Serve(Registers registers, Message& message, NormalWorld& world) {
  std::uint64_t lent = 0;  // the message that OnAlloc() gave
  for (;;) {
    last_ = Low(registers.x[0]);
    token_ = Low(registers.x[3]);
    std::uint64_t address = 0;
    std::uint64_t cookie = 0;
    switch (last_) {
      case kRpcForeign:
        ++world.foreign;
        if (!world.OnForeignInterrupt()) return last_;
        break;
      case kRpcAlloc:
        ++world.allocs;
        if (!world.OnAlloc(Low(registers.x[1]), address, cookie)) address = cookie = 0;
        lent = address;
        break;
      case kRpcFree:
        ++world.frees;
        world.OnFree(Pair(registers.x[1], registers.x[2]));
        break;
      case kRpcCommand: {
        Message asked = lent != 0 ? Message(reinterpret_cast<std::uint8_t*>(lent)) : message.Rpc();
        std::uint32_t result = kGeneric;
        if (asked.header().command == kNotification && asked.header().parameters == 1 &&
            asked.parameter(0).a == 0) {
          ++world.waits;
          if (!world.OnWait(Low(asked.parameter(0).b), result)) return last_;
          asked.header().result = result;
        } else {
          ++world.commands;
          world.OnCommand(asked);
        }
        break;
      }
      default:
        return last_;
    }
    registers =
        Secure(kReturnFromRpc, High(address), Low(address), token_, High(cookie), Low(cookie));
  }
}

std::uint32_t Client::Do(Message& message) {
  NormalWorld world;
  return Do(message, world);
}

std::uint32_t Client::Do(Message& message, NormalWorld& world) {
  if (Pass(message, world) != kOk) return kNoAnswer;
  return message.header().result;
}

void BeginOpen(Message& message, const Uuid& uuid) {
  message.Begin(kOpenSession);
  std::uint8_t octets[16];
  for (unsigned i = 0; i < 4; ++i)
    octets[i] = static_cast<std::uint8_t>(uuid.time_low >> (24 - 8 * i));
  for (unsigned i = 0; i < 2; ++i)
    octets[4 + i] = static_cast<std::uint8_t>(uuid.time_mid >> (8 - 8 * i));
  for (unsigned i = 0; i < 2; ++i)
    octets[6 + i] = static_cast<std::uint8_t>(uuid.time_high >> (8 - 8 * i));
  std::memcpy(octets + 8, uuid.rest, 8);
  std::uint64_t words[2];
  std::memcpy(words, octets, sizeof words);
  message.Add(kMeta | kValueIn, words[0], words[1]);
  message.Add(kMeta | kValueIn, 0, 0, 0);  // nobody in particular, login PUBLIC
}

std::uint32_t Open(Client& client, const Uuid& uuid, std::uint32_t& session) {
  Message message;
  BeginOpen(message, uuid);
  const std::uint32_t result = client.Do(message);
  session = message.header().session;
  return result;
}

std::uint32_t Close(Client& client, std::uint32_t session) {
  Message message;
  message.Begin(kCloseSession, session);
  return client.Do(message);
}

std::uint32_t Register(Client& client, std::uint64_t list, std::uint64_t size,
                       std::uint64_t cookie) {
  Message message;
  message.Begin(kRegisterShm);
  message.Add(kTemporaryOut | kPageList, list, size, cookie);
  return client.Do(message);
}

std::uint32_t Unregister(Client& client, std::uint64_t cookie) {
  Message message;
  message.Begin(kUnregisterShm);
  message.Add(kRegisteredIn, 0, 0, cookie);
  return client.Do(message);
}

bool EnableNotifications(Client& client) {
  const Registers capabilities = client.Secure(kExchangeCapabilities);
  if ((capabilities.x[1] & kCapNotifications) == 0 || !TheMachine().has_interrupt) return false;
  EnableSpi(TheMachine().interrupt);
  return Low(client.Secure(kEnableAsyncNotif).x[0]) == kOk;
}

bool TakeNotification(Client& client, std::uint32_t value) {
  for (;;) {
    const Registers answer = client.Secure(kGetAsyncNotifValue);
    if (Low(answer.x[0]) != kOk || (answer.x[2] & 1) == 0) break;
    const std::uint32_t raised = Low(answer.x[1]) % 256;
    __atomic_fetch_or(&g_raised[raised / 32], 1u << (raised % 32), __ATOMIC_RELAXED);
    if ((answer.x[2] & 2) == 0) break;
  }
  const std::uint32_t bit = 1u << (value % 32);
  return (__atomic_fetch_and(&g_raised[value / 32 % 8], ~bit, __ATOMIC_RELAXED) & bit) != 0;
}

}  // namespace guest::optee
