// SPDX-License-Identifier: BSD-3-Clause
// The OP-TEE SMC ABI from a guest's side, for bare-metal guests: messages, page lists, calls with
// what the TEE asks back, and the trusted applications of xtest that the tests use.
//
// Names and numbers are those of docs/optee-abi.md. Written a second time and not shared with
// src/dialect: a mistake there shall not be repeated here.
// Threading: a Message and a Client belong to one vCPU at a time; NormalWorld to one call.
#pragma once

#include <cstddef>
#include <cstdint>

#include "machine.h"

namespace guest::optee {

// ---- ids ----
inline constexpr std::uint32_t kCallsUid = 0xBF00FF01;
inline constexpr std::uint32_t kCallsRevision = 0xBF00FF03;
inline constexpr std::uint32_t kGetOsUuid = 0xB2000000;
inline constexpr std::uint32_t kGetOsRevision = 0xB2000001;
inline constexpr std::uint32_t kGetShmConfig = 0xB2000007;
inline constexpr std::uint32_t kExchangeCapabilities = 0xB2000009;
inline constexpr std::uint32_t kDisableShmCache = 0xB200000A;
inline constexpr std::uint32_t kEnableShmCache = 0xB200000B;
inline constexpr std::uint32_t kGetThreadCount = 0xB200000F;
inline constexpr std::uint32_t kEnableAsyncNotif = 0xB2000010;
inline constexpr std::uint32_t kGetAsyncNotifValue = 0xB2000011;
inline constexpr std::uint32_t kReturnFromRpc = 0x32000003;
inline constexpr std::uint32_t kCallWithArg = 0x32000004;
inline constexpr std::uint32_t kCallWithRpcArg = 0x32000012;
inline constexpr std::uint32_t kCallWithRegdArg = 0x32000013;
inline constexpr std::uint32_t kSmc64 = 0x40000000;  // makes an id its SMC64 twin

inline constexpr std::uint32_t kOk = 0;
inline constexpr std::uint32_t kThreadLimit = 1;
inline constexpr std::uint32_t kResume = 3;
inline constexpr std::uint32_t kBadAddress = 4;
inline constexpr std::uint32_t kBadCommand = 5;
inline constexpr std::uint32_t kNotAvailable = 7;
inline constexpr std::uint32_t kUnknown = 0xFFFFFFFF;
inline constexpr std::uint32_t kRpcAlloc = 0xFFFF0000;
inline constexpr std::uint32_t kRpcFree = 0xFFFF0002;
inline constexpr std::uint32_t kRpcForeign = 0xFFFF0004;
inline constexpr std::uint32_t kRpcCommand = 0xFFFF0005;

inline constexpr std::uint32_t kCapReservedShm = 1u << 0;
inline constexpr std::uint32_t kCapDynamicShm = 1u << 2;
inline constexpr std::uint32_t kCapNotifications = 1u << 5;
inline constexpr std::uint32_t kCapRpcArg = 1u << 6;

enum Command : std::uint32_t {
  kOpenSession = 0,
  kInvoke = 1,
  kCloseSession = 2,
  kCancel = 3,
  kRegisterShm = 4,
  kUnregisterShm = 5,
};
enum RpcCommand : std::uint32_t { kGetTime = 3, kNotification = 4, kShmAlloc = 6, kShmFree = 7 };

enum Attribute : std::uint64_t {
  kNone = 0,
  kValueIn = 1,
  kValueOut = 2,
  kValueInOut = 3,
  kRegisteredIn = 5,
  kRegisteredOut = 6,
  kRegisteredInOut = 7,
  kTemporaryIn = 9,
  kTemporaryOut = 0xA,
  kTemporaryInOut = 0xB,
  kMeta = 1u << 8,
  kPageList = 1u << 9,
};

enum Result : std::uint32_t {
  kSuccess = 0,
  kAccessDenied = 0xFFFF0001,
  kBadParameters = 0xFFFF0006,
  kItemNotFound = 0xFFFF0008,
  kOutOfMemory = 0xFFFF000C,
  kSecurity = 0xFFFF000F,
  kShortBuffer = 0xFFFF0010,
  kGeneric = 0xFFFF0000,
  kNoAnswer = 0xEEEE0001,  // of this program: the call itself failed, see Client::last()
};

// ---- messages ----
struct Header {
  std::uint32_t command, function, session, cancel_id, pad, result, origin, parameters;
};
struct Parameter {
  std::uint64_t attribute, a, b, c;
};
static_assert(sizeof(Header) == 32 && sizeof(Parameter) == 32);

// A message somewhere in memory; a page of its own unless told where.
class Message {
 public:
  Message() : at_(TakePages(1)) {}
  explicit Message(std::uint8_t* at) : at_(at) {}

  void Begin(std::uint32_t command, std::uint32_t session = 0, std::uint32_t function = 0);
  Message& Add(std::uint64_t attribute, std::uint64_t a = 0, std::uint64_t b = 0,
               std::uint64_t c = 0);
  Header& header() { return *reinterpret_cast<Header*>(at_); }
  Parameter& parameter(unsigned i) { return reinterpret_cast<Parameter*>(at_ + sizeof(Header))[i]; }
  // The message that the TEE may write behind this one, to ask for something.
  Message Rpc() { return Message(at_ + sizeof(Header) + header().parameters * sizeof(Parameter)); }
  std::uint8_t* at() { return at_; }
  std::uint64_t address() const { return AddressOf(at_); }

 private:
  std::uint8_t* at_;
};

// Writes the list of `count` pages into pages of its own; what page `i` is, `page(i)` says.
// Returns the address of the list.
template <typename PageAt>
std::uint64_t MakePageList(std::uint64_t count, PageAt page) {
  constexpr std::uint64_t kEntries = 511;
  const std::uint64_t lists = (count + kEntries - 1) / kEntries;
  auto* list = reinterpret_cast<std::uint64_t*>(TakePages(lists));
  for (std::uint64_t i = 0; i < count; ++i) {
    std::uint64_t* here = list + i / kEntries * 512;
    here[i % kEntries] = page(i);
    if (i % kEntries == kEntries - 1) here[kEntries] = AddressOf(here + 512);
  }
  return AddressOf(list);
}

// ---- the answers to what the TEE asks ----
// The base class answers like a well-behaved guest; tests override what they are about.
class NormalWorld {
 public:
  // False: the call is left where it is; Client::Resume() takes it up again.
  virtual bool OnForeignInterrupt();
  virtual bool OnWait(std::uint32_t value, std::uint32_t& result);
  // Memory for a message of the TEE's. False: there is none.
  virtual bool OnAlloc(std::uint32_t size, std::uint64_t& address, std::uint64_t& cookie);
  virtual void OnFree(std::uint64_t cookie);
  // A message of any other kind.
  virtual void OnCommand(Message& message);

  std::uint32_t foreign = 0, waits = 0, allocs = 0, frees = 0, commands = 0;
};

// ---- calls ----
class Client {
 public:
  explicit Client(std::uint64_t seed);

  // How messages are passed.
  std::uint32_t way = kCallWithRpcArg;
  // The buffer that all messages lie in, for kCallWithRegdArg.
  std::uint64_t regd_cookie = 0, regd_base = 0;
  // The conduit; that of the device tree unless a test wants the other.
  bool hvc;

  // One secure call, every unused bit of every register garbage.
  Registers Secure(std::uint32_t id, std::uint32_t a1 = 0, std::uint32_t a2 = 0,
                   std::uint32_t a3 = 0, std::uint32_t a4 = 0, std::uint32_t a5 = 0);
  // Passes the message and serves the TEE until the end: kOk, another code of a0, or what the
  // NormalWorld left unanswered (kRpcForeign, kRpcCommand) with the call waiting at token().
  std::uint32_t Pass(Message& message, NormalWorld& world);
  std::uint32_t Resume(std::uint32_t token, Message& message, NormalWorld& world);

  // The message's result, or kNoAnswer.
  std::uint32_t Do(Message& message);
  std::uint32_t Do(Message& message, NormalWorld& world);

  std::uint32_t last() const { return last_; }  // a0 of the last Pass()
  std::uint32_t token() const { return token_; }
  bool preserved() const { return preserved_; }  // x4 to x17 came back unchanged, always

 private:
  std::uint32_t Serve(Registers registers, Message& message, NormalWorld& world);

  Random random_;
  std::uint32_t last_ = 0;
  std::uint32_t token_ = 0;
  bool preserved_ = true;
};

// ---- trusted applications ----
struct Uuid {
  std::uint32_t time_low;
  std::uint16_t time_mid, time_high;
  std::uint8_t rest[8];
};
extern const Uuid kCrypt;  // xtest's; 2: SHA-256 of memory 0 (in) into memory 1 (out)
inline constexpr std::uint32_t kCryptSha256 = 2;
inline constexpr std::uint32_t kCryptAesEncrypt = 3;
extern const Uuid kOsTest;  // xtest's; 9: waits value 0's `a` milliseconds
inline constexpr std::uint32_t kOsTestWait = 9;
extern const Uuid kEnumeration;  // 0: the list of devices into memory 0 (out)
extern const Uuid kEcho;         // of the backend `fake`; 3: asks the guest for the time
extern const Uuid kSlow;         // of the backend `fake`; 0: sleeps value 0's `a` milliseconds

void BeginOpen(Message& message, const Uuid& uuid);
std::uint32_t Open(Client& client, const Uuid& uuid, std::uint32_t& session);
std::uint32_t Close(Client& client, std::uint32_t session);
std::uint32_t Register(Client& client, std::uint64_t list, std::uint64_t size,
                       std::uint64_t cookie);
std::uint32_t Unregister(Client& client, std::uint64_t cookie);

// ---- notifications ----
// Says yes when the TEE has them and the guest takes the interrupt; EnableInterrupts() before.
bool EnableNotifications(Client& client);
// Whether the TEE has raised `value`; takes all that are pending.
bool TakeNotification(Client& client, std::uint32_t value);

}  // namespace guest::optee
