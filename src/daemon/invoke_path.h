// SPDX-License-Identifier: BSD-3-Clause
// InvokePath: everything of vteed that a guest's invoke passes, from the SMC's registers to the
// backend's one ioctl and back, ready to be called again and again: for the test and the benchmark
// of what vteed itself costs. The TEE device answers at once and does nothing.
//
// Threading: one thread. No GoogleTest here: the benchmark uses it too.
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <vector>

#include "backend/host/host_backend.h"
#include "backend/host/tee_uapi.h"
#include "dialect/optee/optee_dialect.h"
#include "dialect/optee/test_ram.h"
#include "dialect/optee/wire.h"
#include "mediator/policy.h"
#include "mediator/secure_call.h"

namespace vtee::daemon {

// A TEE device without a TEE: opens and invocations succeed and change nothing.
class IdleTeeDevice final : public backend::TeeDevice {
 public:
  int Ioctl(unsigned long request, void* argument) override {
    switch (request) {
      case TEE_IOC_VERSION:
        *static_cast<tee_ioctl_version_data*>(argument) = {
            1, 1, 1 | backend::kGenCapRegisterMemory | backend::kGenCapNullMemref};
        return 0;
      case TEE_IOC_INVOKE:
        ++invocations;
        return 0;
      case TEE_IOC_SHM_REGISTER:
        ++registrations;
        return kDescriptor;
      case TEE_IOC_SHM_ALLOC:
        return kDescriptor;
      default:
        return 0;
    }
  }
  void* MapBuffer(int, std::size_t size) override {
    void* base = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return base == MAP_FAILED ? nullptr : base;
  }
  void UnmapBuffer(void* address, std::size_t size) override { munmap(address, size); }
  void Close(int) override {}

  std::uint64_t invocations = 0;
  std::uint64_t registrations = 0;

 private:
  static constexpr int kDescriptor = 1000;  // goes to Close() only
};

class InvokePath {
 public:
  // Parameters of the invoke: two values, in and in/out, and two registered references, in and out.
  static constexpr std::uint32_t kParams = 4;

  InvokePath()
      : device_(std::make_shared<IdleTeeDevice>()),
        backend_(std::move(backend::HostBackend::WithDevice(device_, {})).value()),
        dialect_(ram_.memory(), *backend_, policy_) {
    RegisterBuffer(kArgCookie, ram_.Pages(kArgPages), kArgPages);
    RegisterBuffer(kDataCookie, ram_.Pages(kDataPages), kDataPages);
    WriteMessage(OpenHeader(), OpenParams());
    if (Call() != optee::ret::kOk) std::abort();
    const auto opened = ram_.Get<optee::MsgHeader>(message_);
    if (opened.ret != tee::code::kSuccess) std::abort();
    optee::MsgHeader invoke{};
    invoke.cmd = optee::cmd::kInvokeCommand;
    invoke.func = 1;
    invoke.session = opened.session;
    invoke.num_params = kParams;
    WriteMessage(invoke, {{optee::attr::kValueIn, {1, 2, 0}},
                          {optee::attr::kValueInOut, {3, 4, 0}},
                          {optee::attr::kRmemIn, {0, 4096, kDataCookie}},
                          {optee::attr::kRmemIn + 1, {4096, 4096, kDataCookie}}});
    // Until every buffer has been registered and every pool filled.
    for (int i = 0; i < 32; ++i) Invoke();
  }

  // The message again, as Linux sends it: CALL_WITH_REGD_ARG. Returns a0.
  std::uint64_t Invoke() { return Call(); }
  // What the TA's answer left in the message.
  std::uint32_t code() const { return ram_.Get<optee::MsgHeader>(message_).ret; }
  const IdleTeeDevice& device() const { return *device_; }

 private:
  static constexpr std::uint64_t kArgCookie = 0x1000;
  static constexpr std::uint64_t kDataCookie = 0x2000;
  static constexpr std::size_t kArgPages = 1;
  static constexpr std::size_t kDataPages = 2;

  // A vCPU that nobody runs.
  class Port final : public mediator::ReplyPort {
   public:
    void Reply(std::uint32_t, const mediator::RegisterReply& reply) override { a0 = reply.x[0]; }
    void Detach() override {}
    void SetParkTarget(std::uint32_t, std::weak_ptr<mediator::ParkTarget>) override {}
    std::uint64_t a0 = 0;
  };

  std::uint64_t Call() {
    mediator::SecureCall call;
    call.x = {optee::smc::kCallWithRegdArg, kArgCookie >> 32, kArgCookie & 0xFFFFFFFF, 0};
    dialect_.Handle(call, mediator::Responder(&port_, ++sequence_));
    return port_.a0;
  }

  void RegisterBuffer(std::uint64_t cookie, std::uint64_t first, std::size_t count) {
    std::vector<std::uint64_t> pages;
    for (std::size_t i = 0; i < count; ++i) pages.push_back(first + i * optee::kPage);
    if (cookie == kArgCookie) message_ = first;
    const std::uint64_t page = ram_.Page();
    optee::MsgHeader header{};
    header.cmd = optee::cmd::kRegisterShm;
    header.num_params = 1;
    const optee::MsgParam param{optee::attr::kTmemOut | optee::attr::kNonContiguous,
                                {ram_.List(pages), count * optee::kPage, cookie}};
    ram_.Put(page, header);
    ram_.Put(page + optee::MsgSize(0), param);
    mediator::SecureCall call;
    call.x = {optee::smc::kCallWithRpcArg, page >> 32, page & 0xFFFFFFFF, 0};
    dialect_.Handle(call, mediator::Responder(&port_, ++sequence_));
    if (port_.a0 != optee::ret::kOk ||
        ram_.Get<optee::MsgHeader>(page).ret != tee::code::kSuccess) {
      std::abort();
    }
  }

  static optee::MsgHeader OpenHeader() {
    optee::MsgHeader header{};
    header.cmd = optee::cmd::kOpenSession;
    header.num_params = 2;
    return header;
  }
  static std::vector<optee::MsgParam> OpenParams() {
    return {{optee::attr::kMeta | optee::attr::kValueIn, {1, 2, 0}},
            {optee::attr::kMeta | optee::attr::kValueIn, {0, 0, 0}}};
  }
  void WriteMessage(const optee::MsgHeader& header, const std::vector<optee::MsgParam>& params) {
    ram_.Put(message_, header);
    for (std::size_t i = 0; i < params.size(); ++i) {
      ram_.Put(message_ + optee::MsgSize(static_cast<std::uint32_t>(i)), params[i]);
    }
  }

  optee::TestRam ram_;
  mediator::Policy policy_;
  std::shared_ptr<IdleTeeDevice> device_;
  std::unique_ptr<backend::HostBackend> backend_;
  optee::OpteeDialect dialect_;
  Port port_;
  std::uint32_t sequence_ = 0;
  std::uint64_t message_ = 0;
};

}  // namespace vtee::daemon
