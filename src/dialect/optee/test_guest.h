// SPDX-License-Identifier: BSD-3-Clause
// TestGuest: a guest's OP-TEE driver as a model, over an OpteeDialect and the fake TEE.
//
// It builds messages, makes the SMCs, answers RPCs (or lets a test answer them) and serves the
// notification interrupt. Yielding calls run on threads of the model, as on vteed's.
// Threading: one TestCall per thread; the rest of TestGuest from the test's thread. The
// destructor restarts the guest, which ends whatever still runs. No GoogleTest here.
#pragma once

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <list>
#include <map>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "backend/fake/fake_backend.h"
#include "dialect/optee/optee_dialect.h"
#include "dialect/optee/test_ram.h"
#include "dialect/optee/wire.h"
#include "mediator/test_reply_port.h"

namespace vtee::optee {

inline MsgParam Value(std::uint64_t direction, std::uint64_t a = 0, std::uint64_t b = 0,
                      std::uint64_t c = 0) {
  return {direction, {a, b, c}};
}
inline MsgParam Memory(std::uint64_t attribute, std::uint64_t where, std::uint64_t size,
                       std::uint64_t cookie = 0) {
  return {attribute, {where, size, cookie}};
}

struct TestMessage {
  std::uint32_t cmd = 0;
  std::uint32_t func = 0;
  std::uint32_t session = 0;
  std::uint32_t cancel_id = 0;
  std::vector<MsgParam> params;
};

inline TestMessage OpenMessage(const tee::Uuid& uuid, std::vector<MsgParam> params = {},
                               std::uint64_t login = 0) {
  TestMessage message{cmd::kOpenSession, 0, 0, 0, {}};
  MsgParam application = Value(attr::kMeta | attr::kValueIn);
  std::memcpy(application.u, uuid.octets.data(), uuid.octets.size());
  message.params = {application, Value(attr::kMeta | attr::kValueIn, 0, 0, login)};
  message.params.insert(message.params.end(), params.begin(), params.end());
  return message;
}
inline TestMessage InvokeMessage(std::uint32_t session, std::uint32_t func,
                                 std::vector<MsgParam> params = {}, std::uint32_t cancel_id = 0) {
  return {cmd::kInvokeCommand, func, session, cancel_id, std::move(params)};
}

// A TA's handler that holds its calls at `gate`, then makes `upcalls`.
inline backend::FakeHandler HeldAt(std::shared_ptr<backend::FakeGate> gate,
                                   bool honour_cancel = true,
                                   std::vector<tee::Upcall> upcalls = {}) {
  backend::FakeReply reply;
  reply.gate = std::move(gate);
  reply.honour_cancel = honour_cancel;
  reply.upcalls = std::move(upcalls);
  return backend::Scripted(std::move(reply));
}

// What a yielding call came back with.
struct TestResult {
  std::uint64_t a0 = ~std::uint64_t{0};
  MsgHeader header{};
  std::vector<MsgParam> params;
  std::uint32_t code() const { return header.ret; }
};

class TestGuest;

// An RPC as the guest sees it: the message, and where it lies.
struct TestRpc {
  std::uint64_t at = 0;
  MsgHeader header{};
  std::array<MsgParam, kRpcParams> params{};
};

// One yielding call in the guest: its message, its vCPU, and how it answers RPCs.
class TestCall {
 public:
  // `function` 0: the one that a guest of the profile uses.
  TestCall(TestGuest& guest, const TestMessage& message, std::uint32_t function = 0);
  ~TestCall();
  TestCall(const TestCall&) = delete;
  TestCall& operator=(const TestCall&) = delete;

  // Makes the SMC on another thread; Wait() or Step() go on.
  void Start();
  // The registers of the next return to the guest; nothing after five seconds.
  std::optional<mediator::RegisterReply> Wait(
      std::chrono::milliseconds patience = std::chrono::milliseconds(5000));
  // RETURN_FROM_RPC with these registers, on this or another vCPU.
  void Return(std::uint64_t a1 = 0, std::uint64_t a2 = 0, std::uint64_t a4 = 0,
              std::uint64_t a5 = 0);
  // Answers one RPC return as a well-behaved guest does, up to the RETURN_FROM_RPC.
  void Answer(const mediator::RegisterReply& rpc);
  // Start() and answer RPCs until the call is over.
  TestResult Run();
  TestResult Finish();  // the same after Start()
  TestResult Result(std::uint64_t a0) const;

  TestRpc ReadRpc() const;
  void WriteRpc(const TestRpc& rpc) const;

  std::uint64_t message_at() const { return page_; }
  std::uint64_t rpc_at() const { return rpc_at_; }
  std::uint32_t token() const { return token_; }
  mediator::TestReplyPort& port() { return *port_; }
  void UseVcpu(mediator::TestReplyPort& port) { port_ = &port; }

  // Answers an RPC command in place of the guest; false: the guest's own answer.
  std::function<bool(TestRpc&)> on_rpc;
  // Counts of RPC returns seen, by low byte of a0.
  std::map<std::uint64_t, int> returns;

 private:
  void AnswerCommand();

  TestGuest& guest_;
  mediator::SecureCall smc_;
  std::uint64_t page_ = 0;
  std::uint64_t rpc_at_ = 0;
  std::size_t param_count_ = 0;
  std::uint32_t token_ = 0;
  mediator::TestReplyPort own_port_;
  mediator::TestReplyPort* port_ = &own_port_;
};

class TestGuest {
 public:
  explicit TestGuest(mediator::Policy policy = {}, bool interrupt = true,
                     std::unique_ptr<backend::FakeBackend> tee = nullptr,
                     const GuestSetup& setup = {})
      : policy_(std::move(policy)),
        setup_(setup),
        tee_(tee ? std::move(tee) : backend::FakeBackend::WithDefaultScript()),
        dialect_(std::make_unique<OpteeDialect>(ram_.memory(), *tee_, policy_, setup_)) {
    if (!interrupt) return;
    interrupt_ = UniqueFd(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    dialect_->SetInterrupt(UniqueFd(dup(interrupt_.get())));
  }
  ~TestGuest() { Shutdown(); }
  TestGuest(const TestGuest&) = delete;
  TestGuest& operator=(const TestGuest&) = delete;

  TestRam& ram() { return ram_; }
  backend::FakeBackend& tee() { return *tee_; }
  OpteeDialect& dialect() { return *dialect_; }
  const GuestSetup& setup() const { return setup_; }

  // Pages in a row that the guest may share: of its RAM, or of the window.
  std::uint64_t SharedPages(std::uint64_t count) {
    if (!setup_.profile->window) return ram_.Pages(count);
    const std::lock_guard lock(mutex_);
    const std::uint64_t first = setup_.window.base + window_used_;
    window_used_ += count * kPage;
    if (window_used_ > setup_.window.size) std::abort();
    return first;
  }

  // A call that is answered at once, or at least without the guest's help.
  mediator::RegisterReply Smc(std::initializer_list<std::uint64_t> registers) {
    mediator::SecureCall call;
    std::copy(registers.begin(), registers.end(), call.x.begin());
    mediator::TestReplyPort port;
    dialect_->Handle(call, port.NewRequest());
    const auto reply = port.WaitReply();
    if (!reply) std::abort();
    return *reply;
  }
  std::uint64_t Smc0(std::initializer_list<std::uint64_t> registers) { return Smc(registers).x[0]; }

  TestResult Run(const TestMessage& message, std::uint32_t function = 0) {
    TestCall call(*this, message, function);
    return call.Run();
  }
  // The session's id; aborts the test program when it does not open.
  std::uint32_t Open(const tee::Uuid& uuid, std::vector<MsgParam> params = {}) {
    const TestResult result = Run(OpenMessage(uuid, std::move(params)));
    if (result.a0 != ret::kOk || result.code() != tee::code::kSuccess) std::abort();
    return result.header.session;
  }
  TestResult Invoke(std::uint32_t session, std::uint32_t func, std::vector<MsgParam> params = {}) {
    return Run(InvokeMessage(session, func, std::move(params)));
  }
  TestResult Close(std::uint32_t session) { return Run({cmd::kCloseSession, 0, session, 0, {}}); }

  TestResult Register(std::uint64_t cookie, std::span<const std::uint64_t> pages,
                      std::uint64_t offset, std::uint64_t size) {
    return Run(
        {cmd::kRegisterShm,
         0,
         0,
         0,
         {Memory(attr::kTmemOut | attr::kNonContiguous, ram_.List(pages) + offset, size, cookie)}});
  }
  TestResult Unregister(std::uint64_t cookie) {
    return Run({cmd::kUnregisterShm, 0, 0, 0, {Memory(attr::kRmemIn, 0, 0, cookie)}});
  }

  // Puts `message` at `at`, which has room for it.
  void Place(std::uint64_t at, const TestMessage& message) {
    MsgHeader header{};
    header.cmd = message.cmd;
    header.func = message.func;
    header.session = message.session;
    header.cancel_id = message.cancel_id;
    header.ret = 0xDEADBEEF;
    header.num_params = static_cast<std::uint32_t>(message.params.size());
    ram_.Put(at, header);
    for (std::size_t i = 0; i < message.params.size(); ++i) {
      ram_.Put(at + MsgSize(static_cast<std::uint32_t>(i)), message.params[i]);
    }
  }

  // Runs `call` on a thread of the model, joined by Shutdown() at the latest.
  void Spawn(std::function<void()> call) { threads_.emplace_back(std::move(call)); }

  // Interrupts since the last question.
  std::uint64_t TakeInterrupts() const {
    std::uint64_t count = 0;
    return read(interrupt_.get(), &count, sizeof count) == sizeof count ? count : 0;
  }
  // Sleeps as a guest thread in NOTIFICATION WAIT does; false: five seconds went by.
  bool WaitNotification(std::uint32_t value) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(5);
    while (std::chrono::steady_clock::now() < deadline) {
      {
        const std::lock_guard lock(mutex_);
        if (std::erase(notified_, value) > 0) return true;
      }
      pollfd ready{interrupt_.get(), POLLIN, 0};
      poll(&ready, 1, 20);
      if (TakeInterrupts() == 0) continue;
      for (;;) {
        const mediator::RegisterReply reply = Smc({smc::kGetAsyncNotifValue});
        if ((reply.x[2] & kAsyncNotifValid) == 0) break;
        const std::lock_guard lock(mutex_);
        notified_.push_back(static_cast<std::uint32_t>(reply.x[1]));
        if ((reply.x[2] & kAsyncNotifPending) == 0) break;
      }
    }
    return false;
  }

  // The machine's reset, and the end of every thread of the model.
  void Shutdown() {
    if (!dialect_) return;
    dialect_->Reset();
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  void JoinThreads() {
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }

  // Payload memory the guest lends by SHM_ALLOC.
  bool contiguous_payloads = false;
  struct Lent {
    std::vector<std::uint64_t> pages;
    std::uint64_t type = 0;
    std::uint64_t size = 0;
  };
  std::map<std::uint64_t, Lent> lent;  // by cookie
  std::uint64_t next_cookie = 0x5000;
  int rpc_args_lent = 0;

 private:
  TestRam ram_;
  const mediator::Policy policy_;
  const GuestSetup setup_;
  std::uint64_t window_used_ = 0;
  std::unique_ptr<backend::FakeBackend> tee_;
  std::unique_ptr<OpteeDialect> dialect_;
  UniqueFd interrupt_;
  std::mutex mutex_;
  std::vector<std::uint32_t> notified_;
  std::list<std::thread> threads_;
};

inline TestCall::TestCall(TestGuest& guest, const TestMessage& message, std::uint32_t function)
    : guest_(guest), page_(guest.SharedPages(1)), param_count_(message.params.size()) {
  guest.Place(page_, message);
  const bool rpc_arg = guest.setup().profile->rpc_arg;
  if (function == 0) function = rpc_arg ? smc::kCallWithRpcArg : smc::kCallWithArg;
  if (function != smc::kCallWithArg) {
    rpc_at_ = page_ + MsgSize(static_cast<std::uint32_t>(param_count_));
  }
  smc_.x[0] = function;
  smc_.x[1] = page_ >> 32;
  smc_.x[2] = page_ & 0xFFFFFFFF;
  smc_.x[4] = 0xA4A4A4A4;  // Linux leaves what was there
  smc_.x[5] = 0xA5A5A5A5;
}

inline TestCall::~TestCall() {
  if (!guest_.setup().profile->window) guest_.ram().FreePage(page_);
}

inline void TestCall::Start() {
  auto responder = std::make_shared<mediator::Responder>(port_->NewRequest());
  guest_.Spawn(
      [this, smc = smc_, responder] { guest_.dialect().Handle(smc, std::move(*responder)); });
}

inline std::optional<mediator::RegisterReply> TestCall::Wait(std::chrono::milliseconds patience) {
  auto reply = port_->WaitReply(patience);
  if (reply && (reply->x[0] >> 16) == 0xFFFF) {
    ++returns[reply->x[0] & 0xFF];
    token_ = static_cast<std::uint32_t>(reply->x[3]);
  }
  return reply;
}

inline void TestCall::Return(std::uint64_t a1, std::uint64_t a2, std::uint64_t a4,
                             std::uint64_t a5) {
  mediator::SecureCall call;
  call.x = {smc::kReturnFromRpc, a1, a2, token_, a4, a5};
  guest_.dialect().Handle(call, port_->NewRequest());
}

inline TestRpc TestCall::ReadRpc() const {
  TestRpc rpc;
  rpc.at = rpc_at_;
  rpc.header = guest_.ram().Get<MsgHeader>(rpc_at_);
  for (std::uint32_t i = 0; i < std::min(rpc.header.num_params, kRpcParams); ++i) {
    rpc.params[i] = guest_.ram().Get<MsgParam>(rpc_at_ + MsgSize(i));
  }
  return rpc;
}

inline void TestCall::WriteRpc(const TestRpc& rpc) const {
  guest_.ram().Put(rpc_at_, rpc.header);
  for (std::uint32_t i = 0; i < std::min(rpc.header.num_params, kRpcParams); ++i) {
    guest_.ram().Put(rpc_at_ + MsgSize(i), rpc.params[i]);
  }
}

inline void TestCall::AnswerCommand() {
  TestRpc rpc = ReadRpc();
  if (on_rpc && on_rpc(rpc)) {
    WriteRpc(rpc);
    return;
  }
  rpc.header.ret = tee::code::kSuccess;
  MsgParam& first = rpc.params[0];
  switch (rpc.header.cmd) {
    case rpc::kGetTime:
      first.u[0] = 1'700'000'000;
      first.u[1] = 42;
      break;
    case rpc::kNotification:
      if (!guest_.WaitNotification(static_cast<std::uint32_t>(first.u[1]))) {
        rpc.header.ret = tee::code::kGeneric;
      }
      break;
    case rpc::kShmAlloc: {
      const std::uint64_t size = first.u[1];
      const std::size_t pages = static_cast<std::size_t>((size + kPage - 1) / kPage);
      TestGuest::Lent lent;
      lent.type = first.u[0];
      lent.size = size;
      std::uint64_t address = 0;
      if (guest_.contiguous_payloads) {
        address = guest_.SharedPages(pages);
        for (std::size_t i = 0; i < pages; ++i) lent.pages.push_back(address + i * kPage);
      } else {
        lent.pages = guest_.ram().Scattered(pages);
        address = guest_.ram().List(lent.pages);
      }
      const std::uint64_t cookie = guest_.next_cookie++;
      guest_.lent.emplace(cookie, std::move(lent));
      first = Memory(attr::kTmemOut | (guest_.contiguous_payloads ? 0 : attr::kNonContiguous),
                     address, size, cookie);
      break;
    }
    case rpc::kShmFree:
      if (guest_.lent.erase(first.u[1]) == 0) rpc.header.ret = tee::code::kBadParameters;
      break;
    default:
      rpc.header.ret = tee::code::kNotSupported;
      break;
  }
  WriteRpc(rpc);
}

inline void TestCall::Answer(const mediator::RegisterReply& rpc) {
  switch (rpc.x[0]) {
    case ret::kRpcAlloc:
      rpc_at_ = guest_.SharedPages(1);
      ++guest_.rpc_args_lent;
      return Return(rpc_at_ >> 32, rpc_at_ & 0xFFFFFFFF, 0x11, 0x22);
    case ret::kRpcFree:
      --guest_.rpc_args_lent;
      return Return(rpc.x[1], rpc.x[2], 0x11, 0x22);
    case ret::kRpcCommand:
      AnswerCommand();
      return Return(rpc.x[1], rpc.x[2], 0x11, 0x22);
    default:
      return Return(rpc.x[1], rpc.x[2], 0x11, 0x22);
  }
}

inline TestResult TestCall::Finish() {
  for (;;) {
    const auto reply = Wait();
    if (!reply) return {};
    if ((reply->x[0] >> 16) != 0xFFFF) return Result(reply->x[0]);
    Answer(*reply);
  }
}

inline TestResult TestCall::Run() {
  Start();
  return Finish();
}

inline TestResult TestCall::Result(std::uint64_t a0) const {
  TestResult result;
  result.a0 = a0;
  result.header = guest_.ram().Get<MsgHeader>(page_);
  for (std::uint32_t i = 0; i < param_count_; ++i) {
    result.params.push_back(guest_.ram().Get<MsgParam>(page_ + MsgSize(i)));
  }
  return result;
}

}  // namespace vtee::optee
