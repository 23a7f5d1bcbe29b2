// SPDX-License-Identifier: BSD-3-Clause
#include "hostile_guest.h"

#include <sys/eventfd.h>

#include <random>

#include "backend/fake/fake_application.h"
#include "fuzz_input.h"

namespace vtee::optee {
namespace {

using guest::kPageSize;

// Memory: messages, then memory lent for RPC messages, page lists, data and lent payloads.
constexpr std::uint64_t kRam = 0x10000;
constexpr std::uint64_t kPages = 96;
constexpr std::uint32_t kMessagePages = 16;
constexpr std::uint64_t Page(std::uint64_t number) { return kRam + number * kPageSize; }
constexpr std::uint64_t kRpcPage = Page(16);
constexpr std::uint64_t kListPages = Page(20);
constexpr std::uint64_t kData = Page(32);
constexpr std::uint64_t kPayload = Page(64);
constexpr std::uint64_t kPayloadPages = 16;
constexpr std::uint64_t kHoleAddress = 0x8000'0000;

constexpr int kMaxRpcs = 24;

constexpr std::array<std::uint64_t, 16> kAttributes = {
    attr::kNone,
    attr::kValueIn,
    attr::kValueOut,
    attr::kValueInOut,
    attr::kRmemIn,
    attr::kRmemOut,
    attr::kRmemInOut,
    attr::kTmemIn,
    attr::kTmemOut,
    attr::kTmemInOut,
    attr::kTmemIn | attr::kNonContiguous,
    attr::kTmemOut | attr::kNonContiguous,
    attr::kTmemInOut | attr::kNonContiguous,
    attr::kMeta | attr::kValueIn,
    0x0C,
    attr::kRmemOut | attr::kNonContiguous,
};
constexpr std::array<std::uint32_t, 3> kCalls = {smc::kCallWithRpcArg, smc::kCallWithArg,
                                                 smc::kCallWithRegdArg};
constexpr std::array<std::uint32_t, 8> kFast = {smc::kExchangeCapabilities, smc::kEnableAsyncNotif,
                                                smc::kGetAsyncNotifValue,   smc::kDisableShmCache,
                                                smc::kGetThreadCount,       smc::kGetOsRevision,
                                                smc::kReturnFromRpc,        0x3200FFFF};
constexpr std::array kApplications = {
    backend::fake::kEchoUuid,        backend::fake::kHelloUuid, kAskerUuid,
    backend::fake::kEnumerationUuid, backend::fake::kRngUuid,   tee::Uuid{{0xFF}}};

struct Ram {
  guest::TestMemory memory{kRam, kPages* kPageSize};
  std::byte* bytes = nullptr;

  Ram() {
    void* base =
        mmap(nullptr, kPages * kPageSize, PROT_READ | PROT_WRITE, MAP_SHARED, memory.file(), 0);
    Require(base != MAP_FAILED);
    bytes = static_cast<std::byte*>(base);
  }
  std::byte* At(std::uint64_t address) const { return bytes + (address - kRam); }
  template <typename T>
  void Put(std::uint64_t address, const T& value) const {
    std::memcpy(At(address), &value, sizeof value);
  }
  template <typename T>
  T Get(std::uint64_t address) const {
    T value;
    std::memcpy(&value, At(address), sizeof value);
    return value;
  }
  void PutList(std::uint64_t at, std::initializer_list<std::uint64_t> entries) const {
    for (const std::uint64_t entry : entries) {
      Put(at, entry);
      at += sizeof entry;
    }
  }
  // As every input finds it.
  void Restore() const {
    std::memset(bytes, 0, kPages * kPageSize);
    PutList(kListPages, {kData, kData + 2 * kPageSize, kData + 4 * kPageSize});
    for (std::uint64_t i = 0; i < 600; ++i) {
      const std::uint64_t at = Page(21 + i / 511) + i % 511 * 8;
      Put(at, kData + i % 32 * kPageSize);
    }
    Put(Page(21) + 511 * 8, Page(22));
    for (std::uint64_t i = 0; i < 511; ++i) Put(Page(23) + i * 8, kData);
    Put(Page(23) + 511 * 8, Page(23));
    PutList(Page(24), {kData, kData + 8, kData});
    PutList(Page(25), {kData, kHoleAddress, kData});
    // What a guest lends when it is asked for memory: every other page.
    for (std::uint64_t i = 0; i < kPayloadPages; ++i) {
      Put(Page(26) + i * 8, kPayload + (kPayloadPages - 1 - i) * 2 * kPageSize);
    }
  }
};

const Ram& TheRam() {
  static const auto& ram = *new Ram;
  return ram;
}

bool IsRpc(std::uint64_t a0) { return (a0 >> 16) == 0xFFFF && a0 <= ret::kRpcCommand; }

}  // namespace

HostileGuest::HostileGuest(OpteeDialect& dialect) : dialect_(dialect) {
  TheRam().Restore();
  dialect_.SetInterrupt(UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)));
}

HostileGuest::~HostileGuest() { Reset(); }

guest::GuestMemory& HostileGuest::memory() {
  return const_cast<guest::TestMemory&>(TheRam().memory).memory();
}

StaticWindow HostileGuest::window() { return {kRam, (kPages - 1) * kPageSize}; }

std::uint64_t* HostileGuest::NextMessage() const {
  return reinterpret_cast<std::uint64_t*>(TheRam().At(Page(next_page_ % kMessagePages)));
}

std::uint64_t HostileGuest::Address(std::uint8_t where, std::uint64_t page) const {
  switch (static_cast<Place>(where % static_cast<std::uint8_t>(Place::kPlaces))) {
    case Place::kNull:
      return 0;
    case Place::kData:
      return kData;
    case Place::kList:
      return kListPages;
    case Place::kLongList:
      return Page(21);
    case Place::kLoop:
      return Page(23);
    case Place::kCrookedList:
      return Page(24);
    case Place::kHoleList:
      return Page(25);
    case Place::kHole:
      return kHoleAddress;
    case Place::kEnd:
      return Page(kPages - 1);
    case Place::kMessage:
      return page;
    case Place::kPlaces:
      break;
  }
  return 0;
}

// Returns how many parameters the header claims.
std::uint64_t HostileGuest::PutMessage(const Step& step) {
  const std::uint64_t page = Page(next_page_ % kMessagePages);
  MsgHeader header{};
  header.cmd = (step.command & 0x80) != 0 ? step.command & 0x7F : step.command % 8;
  header.func = step.func;
  header.session = step.session;
  header.cancel_id = step.cancel_id;
  header.num_params = (step.params & 0x80) != 0 ? step.func : step.params & 7;
  TheRam().Put(page, header);
  for (std::size_t i = 0; i < step.param.size(); ++i) {
    const StepParam& from = step.param[i];
    MsgParam to{kAttributes[from.type % kAttributes.size()],
                {from.offset, from.size, from.cookie & 7u}};
    const std::uint64_t type = to.attr & attr::kTypeMask;
    if (type >= attr::kTmemIn) to.u[0] = Address(from.where, page) + from.offset;
    if ((from.flags & 0x80) != 0) to.attr ^= std::uint64_t{1} << (from.flags & 63);
    if (header.cmd == cmd::kOpenSession && i == 0 && (to.attr & attr::kMeta) != 0) {
      const tee::Uuid& uuid = kApplications[step.session % kApplications.size()];
      std::memcpy(to.u, uuid.octets.data(), uuid.octets.size());
    }
    TheRam().Put(page + MsgSize(static_cast<std::uint32_t>(i)), to);
  }
  return header.num_params;
}

GuestCall& HostileGuest::Start(const Step& step) {
  GuestCall& call = calls_.emplace_back();
  call.page = Page(next_page_ % kMessagePages);
  const std::uint64_t count = PutMessage(step);
  ++next_page_;
  mediator::SecureCall secure;
  secure.x[0] = kCalls[step.function % kCalls.size()];
  secure.x[2] = call.page;
  if (secure.x[0] == smc::kCallWithRegdArg) {
    secure.x[2] = step.cancel_id & 7u;  // the buffer's cookie
    secure.x[3] = step.value;
  }
  if (secure.x[0] == smc::kCallWithRpcArg && count <= kMaxUsedParams) {
    call.rpc_at = call.page + MsgSize(static_cast<std::uint32_t>(count));
  }
  mediator::Responder responder = call.port.NewRequest();
  call.thread = std::thread([this, secure, responder = std::move(responder)]() mutable {
    dialect_.Handle(secure, std::move(responder));
  });
  AwaitReply(call);
  return call;
}

void HostileGuest::AwaitReply(GuestCall& call, bool may_be_identity) {
  // No application here waits by itself, but a call may wait for another that waits for the guest
  // (UNREGISTER_SHM of a buffer in use): then the VMM wants its vCPU back.
  call.reply = call.port.WaitReply(std::chrono::milliseconds(5));
  if (!call.reply) {
    call.port.AskToPark();
    call.reply = call.port.WaitReply(std::chrono::seconds(20));
  }
  Require(call.reply.has_value() && call.reply->count >= 1);
  const std::uint64_t a0 = call.reply->x[0];
  Require(may_be_identity || a0 <= ret::kNotAvailable || IsRpc(a0) || a0 == ret::kUnknownFunction);
  call.over = !IsRpc(a0);
}

bool HostileGuest::AnswerRpcs(GuestCall& call, const Step& step) {
  for (rpcs_ = 0; !call.over; ++rpcs_) {
    // The low nibble says after how many RPCs the guest goes away; 15: never.
    const int patience = step.answer & 15;
    if (rpcs_ == kMaxRpcs || (patience != 15 && rpcs_ > patience)) return false;
    Return(call, step);
  }
  return true;
}

void HostileGuest::Return(GuestCall& call, const Step& step) {
  const std::uint64_t kind = call.reply->x[0];
  mediator::SecureCall back;
  back.x = {smc::kReturnFromRpc, call.reply->x[1], call.reply->x[2], call.reply->x[3]};
  const bool spoil = (step.answer >> 4) == 1;
  if (kind == ret::kRpcAlloc) {
    call.rpc_at = kRpcPage + next_page_ % 4 * kPageSize;
    back.x[1] = 0;
    back.x[2] = spoil ? step.value : call.rpc_at;
    back.x[5] = 0x77;  // the cookie
  } else if (kind == ret::kRpcCommand && call.rpc_at != 0) {
    AnswerCommand(call, step);
  }
  if ((step.answer >> 4) == 2) back.x[3] ^= step.value;  // another call's token, or nobody's
  mediator::Responder responder = call.port.NewRequest();
  dialect_.Handle(back, std::move(responder));
  AwaitReply(call);
  // A refused return leaves the call waiting; it is not over, but its token is lost here.
  if (call.reply->x[0] == ret::kResume) call.over = true;
}

void HostileGuest::AnswerCommand(GuestCall& call, const Step& step) {
  const Ram& ram = TheRam();
  auto header = ram.Get<MsgHeader>(call.rpc_at);
  auto first = ram.Get<MsgParam>(call.rpc_at + MsgSize(0));
  header.ret = tee::code::kSuccess;
  if (header.cmd == rpc::kShmAlloc) Lend(first, (step.params & 0x40) != 0);
  if (header.cmd == rpc::kGetTime) first.u[0] = 1'700'000'000;
  switch (step.answer >> 4) {
    case 3:
      header.ret = step.value;
      break;
    case 4:
      header.num_params = step.value;
      header.cmd = ~step.value;
      break;
    case 5:
      first.attr ^= std::uint64_t{1} << (step.value & 15);
      break;
    case 6:
    case 7:
    case 8:
      first.u[(step.answer >> 4) - 6] = step.value;
      break;
    case 9:
      first.u[step.value % 3] = ~std::uint64_t{0} - (step.value >> 16);
      break;
    default:
      break;
  }
  ram.Put(call.rpc_at, header);
  ram.Put(call.rpc_at + MsgSize(0), first);
}

void HostileGuest::Lend(MsgParam& param, bool scattered) const {
  const std::uint64_t size = param.u[1];
  param.attr = attr::kTmemOut | (scattered ? attr::kNonContiguous : 0);
  param.u[0] = scattered ? Page(26) : kPayload;
  param.u[1] = size;
  param.u[2] = 0x99;
}

void HostileGuest::FastCall(const Step& step) {
  mediator::SecureCall secure;
  secure.x[0] = kFast[step.function % kFast.size()];
  secure.x[1] = step.func;
  secure.x[2] = step.value;
  secure.x[3] = step.session;
  GuestCall& call = calls_.emplace_back();
  mediator::Responder responder = call.port.NewRequest();
  dialect_.Handle(secure, std::move(responder));
  AwaitReply(call, /*may_be_identity=*/true);
}

void HostileGuest::Reset() {
  dialect_.Reset();
  JoinAll();
  next_page_ = 0;
}

void HostileGuest::JoinAll() {
  for (GuestCall& call : calls_) {
    if (call.thread.joinable()) call.thread.join();
    Require(call.port.protocol_errors() == 0);
  }
  calls_.clear();
}

Flipper::Flipper(const HostileGuest& guest, const Step& step) {
  if ((step.flip_word & 0x80) == 0) return;
  std::uint64_t* word = guest.NextMessage() + (step.flip_word & 0x7F);
  const std::uint64_t other = std::uint64_t{step.value} << 32 | step.value;
  thread_ = std::thread([this, word, other] {
    while (!stop_.load(std::memory_order_relaxed)) {
      __atomic_fetch_xor(word, other, __ATOMIC_RELAXED);
    }
  });
}

Flipper::~Flipper() {
  stop_ = true;
  if (thread_.joinable()) thread_.join();
}

std::size_t MutateSteps(std::span<std::uint8_t> data, std::size_t size, unsigned int seed,
                        std::size_t (*any)(std::uint8_t*, std::size_t, std::size_t)) {
  static constexpr std::array<std::uint32_t, 12> kValues = {
      0, 1, 8, 4095, 4096, 4097, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFF000, kRam, kRam + 64};
  constexpr std::size_t kMaxSteps = 16;
  std::minstd_rand random(seed);
  std::size_t steps = std::min(size / sizeof(Step), kMaxSteps);
  const std::size_t room = std::min(data.size() / sizeof(Step), kMaxSteps);
  if (room == 0) return any(data.data(), size, data.size());
  auto* const bytes = data.data();
  const auto at = [&](std::size_t step) { return bytes + step * sizeof(Step); };
  const std::size_t which = steps == 0 ? 0 : random() % steps;
  switch (random() % 6) {
    case 0:  // one more step, a copy of another
      if (steps == room) break;
      std::memmove(at(which + 1), at(which), (steps - which) * sizeof(Step));
      if (steps == 0) std::memset(at(0), 0, sizeof(Step));
      ++steps;
      break;
    case 1:  // one step fewer
      if (steps < 2) break;
      std::memmove(at(which), at(which + 1), (steps - which - 1) * sizeof(Step));
      --steps;
      break;
    case 2:
    case 3: {  // a value that matters, in a word of its own
      if (steps == 0) break;
      const std::uint32_t value = kValues[random() % kValues.size()];
      std::memcpy(at(which) + random() % (sizeof(Step) / 4) * 4, &value, sizeof value);
      break;
    }
    case 4:  // any byte of the step's head
      if (steps != 0) at(which)[random() % 8] = static_cast<std::uint8_t>(random());
      break;
    default: {
      const std::size_t used = any(bytes, steps * sizeof(Step), room * sizeof(Step));
      return used / sizeof(Step) * sizeof(Step);
    }
  }
  return std::max<std::size_t>(steps, 1) * sizeof(Step);
}

}  // namespace vtee::optee
