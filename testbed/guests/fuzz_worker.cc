// SPDX-License-Identifier: BSD-3-Clause
#include "fuzz_worker.h"

#include "text.h"

namespace guest::fuzz {
namespace {

using namespace optee;  // NOLINT(google-build-using-namespace)

constexpr std::uint64_t kArenaOffset = 0x0C000000;  // from the start of memory
constexpr std::uint32_t kCookies = 24;
constexpr unsigned kMaxRounds = 200;  // of one call's requests, before it is left
constexpr std::uint64_t kLongestWaitMs = 60;

constexpr std::uint32_t Low(std::uint64_t x) { return static_cast<std::uint32_t>(x); }
constexpr std::uint32_t High(std::uint64_t x) { return static_cast<std::uint32_t>(x >> 32); }

constexpr bool IsRpc(std::uint32_t a0) { return a0 >= 0xFFFF0000 && a0 != kUnknown; }

}  // namespace

void Arena::Prepare(Random& random) {
  base_ = TheMachine().ram + kArenaOffset;
  for (std::uint64_t i = 0; i < kPages * kPage / 8; ++i) *Word(i) = random.Next();
}

std::uint64_t Arena::Address(Random& random) const {
  const std::uint64_t good = page(random.Next());
  switch (random.Below(16)) {
    case 0:
      return good + random.Below(kPage);
    case 1:
      return good ^ std::uint64_t{1} << (28 + random.Below(36));
    case 2:
      return TheMachine().ram + TheMachine().ram_size - random.Below(2) * kPage;
    case 3:
      return 0x08000000 + random.Below(0x2000) * kPage;  // devices
    case 4:
      return ~random.Below(2 * kPage);
    case 5:
      return 0;
    default:
      return good;
  }
}

std::uint64_t Arena::Size(Random& random) const {
  switch (random.Below(8)) {
    case 0:
      return 0;
    case 1:
      return random.Below(64);
    case 2:
      return kPages * kPage + random.Below(kPage);
    case 3:
      return random.Next() >> random.Below(64);
    case 4:
      return ~random.Below(kPage);
    default:
      return random.Below(8 * kPage) + 1;
  }
}

bool Worker::Stalled(std::uint64_t now, std::uint64_t patience) const {
  const std::uint64_t began = __atomic_load_n(&called_at_, __ATOMIC_RELAXED);
  return began != 0 && now > began + patience;
}

Registers Worker::Secure(std::uint32_t id, std::uint32_t a1, std::uint32_t a2, std::uint32_t a3,
                         std::uint32_t a4, std::uint32_t a5) {
  Registers registers = CallRegisters(random_, {id, a1, a2, a3, a4, a5});
  last_ = registers;
  __atomic_store_n(&called_at_, Microseconds(), __ATOMIC_RELAXED);
  Call(registers, random_.OneIn(2));
  __atomic_store_n(&called_at_, 0, __ATOMIC_RELAXED);
  ++counts_.calls;
  return registers;
}

void Worker::Run() {
  const std::uint64_t calls = counts_.calls + 100 + random_.Below(2000);
  while (!__atomic_load_n(&stop_, __ATOMIC_RELAXED) && counts_.calls < calls) {
    switch (random_.Below(12)) {
      case 0:
        RandomRegisters();
        break;
      case 1:
        FastCall();
        break;
      case 2:
        ResumeSomething();
        break;
      case 3:
        PassWait();
        break;
      default:
        PassMessage();
        break;
    }
  }
}

void Worker::RandomRegisters() {
  constexpr std::uint32_t kRanges[] = {0x32000000, 0xB2000000, 0xBF000000, 0xBF00FF00};
  const std::uint32_t id =
      kRanges[random_.Below(4)] + Low(random_.OneIn(2) ? random_.Below(32) : random_.Below(65536));
  // Not any address: a message gets its result written, and the program lies in memory too.
  const std::uint64_t address = arena_.Address(random_);
  const Registers answer =
      Secure(id, High(address), Low(address), Low(random_.Next() >> random_.Below(64)),
             Low(random_.Next()), Low(random_.Next()));
  Serve(answer, nullptr);
}

void Worker::FastCall() {
  constexpr std::uint32_t kIds[] = {kCallsUid,         kCallsRevision,     kGetOsUuid,
                                    kGetOsRevision,    kGetShmConfig,      kExchangeCapabilities,
                                    kDisableShmCache,  kEnableShmCache,    kGetThreadCount,
                                    kEnableAsyncNotif, kGetAsyncNotifValue};
  Secure(kIds[random_.Below(11)], Low(random_.Next() >> random_.Below(64)), Low(random_.Next()),
         Low(random_.Next()));
}

void Worker::ResumeSomething() {
  const std::uint32_t token = Low(random_.OneIn(8) ? random_.Next() : random_.Below(18));
  const std::uint32_t a0 = Serve(Secure(kReturnFromRpc, 0, 0, token),
                                 reinterpret_cast<std::uint8_t*>(arena_.page(token)));
  if (a0 == kOk) ++counts_.resumed;
}

void Worker::PassMessage() {
  constexpr std::uint32_t kWays[] = {kCallWithArg, kCallWithRpcArg, kCallWithRpcArg,
                                     kCallWithRegdArg};
  // What others rewrite while it is read seldom gets far; so most are the worker's own.
  auto* at = random_.OneIn(3) ? reinterpret_cast<std::uint8_t*>(arena_.page(random_.Next()))
                              : own_ + random_.Below(2) * kPage;
  BuildMessage(at);
  Message message(at);
  const std::uint32_t command = message.header().command;
  std::uint8_t* rpc = at + sizeof(Header) + message.header().parameters % 120 * sizeof(Parameter);
  if (random_.OneIn(8)) Damage(at);
  const std::uint32_t way = kWays[random_.Below(4)];
  std::uint64_t where = AddressOf(at);
  std::uint32_t offset = 0;
  if (way == kCallWithRegdArg) {
    where = random_.Below(kCookies);
    offset = Low(random_.Below(512) * 8);
  }
  const std::uint32_t a0 = Serve(Secure(way, High(where), Low(where), offset), rpc);
  if (a0 == kOk && way != kCallWithRegdArg) CountResult(command, at);
  if (a0 == kThreadLimit) {
    for (unsigned i = 0; i < 16; ++i) ResumeSomething();
  }
}

// A call that takes some time. xtest's TA takes any parameter for a number of milliseconds, an
// address too, and sleeps beyond the end of the test: so its session is known to nobody else, and
// its message lies where nobody writes.
void Worker::PassWait() {
  Message message(own_ + 2 * kPage);
  const std::uint64_t where = message.address();
  const bool fake = HasArgument("fake");
  if (waiter_ == 0) {
    BeginOpen(message, fake ? kSlow : kOsTest);
    const std::uint32_t a0 =
        Serve(Secure(kCallWithRpcArg, High(where), Low(where), 0), message.Rpc().at());
    if (a0 == kOk && message.header().result == kSuccess) waiter_ = message.header().session;
    return;
  }
  message.Begin(kInvoke, waiter_, fake ? 0 : kOsTestWait);
  message.Add(kValueIn, random_.Below(kLongestWaitMs));
  const std::uint32_t a0 =
      Serve(Secure(kCallWithRpcArg, High(where), Low(where), 0), message.Rpc().at());
  if (a0 == kOk && message.header().result != kSuccess) waiter_ = 0;  // somebody has closed it
}

void Worker::CountResult(std::uint32_t command, const std::uint8_t* at) {
  Header header;
  std::memcpy(&header, at, sizeof header);
  if (header.result != kSuccess) {
    ++counts_.refused;
    return;
  }
  if (command == kOpenSession) {
    ++counts_.opened;
    arena_.Remember(header.session);
  } else if (command == kInvoke) {
    ++counts_.invoked;
  } else if (command == kRegisterShm) {
    ++counts_.registered;
  }
}

void Worker::BuildMessage(std::uint8_t* at) {
  Message message(at);
  const std::uint64_t choice = random_.Below(16);
  if (choice < 3) return BuildOpen(message);
  if (choice < 9) return BuildInvoke(message);
  if (choice == 9) return message.Begin(kCloseSession, arena_.Session(random_));
  if (choice == 10) {
    message.Begin(kCancel, arena_.Session(random_));
    message.header().cancel_id = Low(random_.Below(4));
    return;
  }
  if (choice < 13) {
    message.Begin(kRegisterShm);
    message.Add(kTemporaryOut | kPageList, PageList(), arena_.Size(random_),
                random_.Below(kCookies));
    return;
  }
  if (choice < 15) {
    message.Begin(kUnregisterShm);
    message.Add(kRegisteredIn, 0, 0, random_.Below(kCookies));
    return;
  }
  message.Begin(Low(random_.Below(14)), Low(random_.Next()), Low(random_.Next()));
  for (std::uint64_t n = random_.Below(8); n > 0; --n) AddParameter(message);
}

void Worker::BuildOpen(Message& message) {
  Uuid uuid = random_.OneIn(4) ? kEnumeration : HasArgument("fake") ? kEcho : kCrypt;
  if (random_.OneIn(16)) uuid.time_low ^= 1;
  BeginOpen(message, uuid);
  if (random_.OneIn(8)) message.parameter(1).c = random_.Below(8);  // login
  if (random_.OneIn(8)) AddParameter(message);
}

void Worker::BuildInvoke(Message& message) {
  // Hash, encipher, decipher, unknown ones; copy, reverse, ask for the time.
  constexpr std::uint32_t kReal[] = {kCryptSha256, kCryptAesEncrypt, kCryptAesEncrypt + 1, 0};
  const std::uint64_t choice = random_.Below(4);
  message.Begin(kInvoke, arena_.Session(random_),
                HasArgument("fake") ? Low(choice) : kReal[choice]);
  message.header().cancel_id = Low(random_.Below(4));
  switch (random_.Below(4)) {
    case 0:
      message.Add(kValueOut);
      break;
    case 1:
      message.Add(kTemporaryIn, arena_.page(random_.Next()), random_.Below(kPage) + 1);
      message.Add(kTemporaryOut, arena_.page(random_.Next()), 32 + random_.Below(kPage));
      break;
    case 2:
      message.Add(kRegisteredIn, random_.Below(64), random_.Below(2 * kPage),
                  random_.Below(kCookies));
      message.Add(kRegisteredOut, random_.Below(64), 32 + random_.Below(kPage),
                  random_.Below(kCookies));
      break;
    default:
      for (std::uint64_t n = random_.Below(6); n > 0; --n) AddParameter(message);
      break;
  }
}

void Worker::AddParameter(Message& message) {
  std::uint64_t attribute = random_.Below(13);
  if (random_.OneIn(32)) attribute |= kMeta;
  if (random_.OneIn(32)) attribute |= std::uint64_t{1} << random_.Below(64);
  if (attribute >= kTemporaryIn && attribute <= kTemporaryInOut) {
    const bool listed = random_.OneIn(2);
    message.Add(attribute | (listed ? std::uint64_t{kPageList} : 0),
                listed ? PageList() : arena_.Address(random_), arena_.Size(random_),
                random_.Next());
  } else if (attribute >= kRegisteredIn) {
    message.Add(attribute, arena_.Size(random_), arena_.Size(random_), random_.Below(kCookies));
  } else {
    message.Add(attribute, random_.Next(), random_.Next(), random_.Next());
  }
}

// A list in some page of the arena; most entries are good, and it may link to anything.
std::uint64_t Worker::PageList() {
  auto* list = reinterpret_cast<std::uint64_t*>(arena_.page(random_.Next()));
  const std::uint64_t entries = random_.OneIn(4) ? 511 : random_.Below(32) + 1;
  for (std::uint64_t i = 0; i < entries; ++i) list[i] = arena_.page(random_.Next());
  if (random_.OneIn(8)) list[random_.Below(entries)] = arena_.Address(random_);
  list[511] = arena_.Address(random_);
  return AddressOf(list) + (random_.OneIn(4) ? random_.Below(kPage) : 0);
}

void Worker::Damage(std::uint8_t* at) {
  for (std::uint64_t n = random_.Below(4) + 1; n > 0; --n) {
    at[random_.Below(sizeof(Header) + 6 * sizeof(Parameter))] ^=
        static_cast<std::uint8_t>(1u << random_.Below(8));
  }
}

std::uint32_t Worker::Serve(Registers registers, std::uint8_t* rpc) {
  for (unsigned round = 0;; ++round) {
    const std::uint32_t a0 = Low(registers.x[0]);
    if (!IsRpc(a0)) return a0;
    if (a0 == kRpcCommand || a0 == kRpcForeign) ++counts_.parked;
    if (round == kMaxRounds || random_.OneIn(30)) return a0;  // left where it is
    std::uint64_t address = 0;
    std::uint64_t cookie = 0;
    AnswerRpc(a0, rpc, address, cookie);
    const std::uint32_t token = Low(random_.OneIn(32) ? random_.Next() : registers.x[3]);
    registers =
        Secure(kReturnFromRpc, High(address), Low(address), token, High(cookie), Low(cookie));
  }
}

void Worker::AnswerRpc(std::uint32_t what, std::uint8_t* rpc, std::uint64_t& address,
                       std::uint64_t& cookie) {
  switch (what) {
    case kRpcAlloc:
      address = random_.OneIn(4) ? arena_.Address(random_) : arena_.page(random_.Next());
      cookie = random_.Next();
      break;
    case kRpcForeign:
      Delay(random_.Below(2000));
      break;
    case kRpcCommand:
      if (rpc != nullptr && !random_.OneIn(4)) {
        Message(rpc).header().result = random_.OneIn(4) ? kGeneric : kSuccess;
      }
      if (random_.OneIn(2)) Secure(kGetAsyncNotifValue, 0, 0, 0);
      Delay(random_.Below(4000));
      break;
    default:
      break;
  }
}

}  // namespace guest::fuzz
