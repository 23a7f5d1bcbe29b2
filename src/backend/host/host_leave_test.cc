// SPDX-License-Identifier: BSD-3-Clause
// How a VM leaves the host's TEE: reset, cancellation of what runs, destruction.
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "backend/host/host_backend.h"
#include "backend/host/scattered_memfd.h"
#include "backend/host/test_tee_device.h"

namespace vtee::backend {
namespace {

using tee::OperationId;
using tee::SessionId;
namespace code = tee::code;

class HostLeaveTest : public testing::Test {
 protected:
  void SetUp() override {
    auto backend = HostBackend::WithDevice(device_, {});
    ASSERT_TRUE(backend.ok());
    backend_ = std::move(backend).value();
    ASSERT_TRUE(Open(session_).ok());
  }
  tee::Outcome Open(SessionId& session) {
    tee::CallContext context{.upcalls = nullptr, .operation = OperationId(1)};
    tee::Params params{};
    return backend_->OpenSession(context, {}, params, session);
  }
  // An invocation that ends when its cancellation reaches the device.
  std::future<tee::Outcome> InvokeUntilCancelled(OperationId operation) {
    device_->script = [this](TestTeeDevice::Call& call) {
      ++running_;
      while (!Cancelled(call.cancel_id)) std::this_thread::yield();
      call.ret = code::kCancel;
      call.origin = 4;
    };
    return std::async(std::launch::async, [this, operation] {
      tee::CallContext context{.upcalls = nullptr, .operation = operation};
      tee::Params params{};
      return backend_->Invoke(context, session_, 1, params);
    });
  }
  bool Cancelled(std::uint32_t id) {
    for (const auto& cancel : device_->cancels()) {
      if (cancel.cancel_id == id) return true;
    }
    return false;
  }
  void WaitRunning() {
    while (running_ == 0) std::this_thread::yield();
  }

  std::shared_ptr<TestTeeDevice> device_ = std::make_shared<TestTeeDevice>();
  std::unique_ptr<HostBackend> backend_;
  SessionId session_;
  std::atomic<int> running_ = 0;
};

TEST_F(HostLeaveTest, RequestCancelEndsARunningInvocation) {
  auto call = InvokeUntilCancelled(OperationId(77));
  WaitRunning();
  EXPECT_EQ(backend_->calls_in_flight(), 1u);
  EXPECT_TRUE(backend_->RequestCancel(session_, OperationId(77)).ok());
  EXPECT_EQ(call.get().code, code::kCancel);
  EXPECT_EQ(backend_->calls_in_flight(), 0u);
}

// As a TA in TEE_Wait: it looks at its cancellation when the kernel's interruptible nap ends.
TEST_F(HostLeaveTest, RequestCancelEndsTheNapOfATaThatWaits) {
  device_->script = [this](TestTeeDevice::Call& call) {
    ++running_;
    timespec nap{30, 0};
    while (!Cancelled(call.cancel_id) && nanosleep(&nap, &nap) != 0) continue;
    call.ret = Cancelled(call.cancel_id) ? code::kCancel : code::kSuccess;
  };
  auto call = std::async(std::launch::async, [this] {
    tee::CallContext context{.upcalls = nullptr, .operation = OperationId(7)};
    tee::Params params{};
    return backend_->Invoke(context, session_, 1, params);
  });
  WaitRunning();
  std::this_thread::sleep_for(std::chrono::milliseconds(20));  // into the nap
  const auto start = std::chrono::steady_clock::now();
  EXPECT_TRUE(backend_->RequestCancel(session_, OperationId(7)).ok());
  EXPECT_EQ(call.get().code, code::kCancel);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(10));
}

TEST_F(HostLeaveTest, CancelAllEndsWhatRunsAndRefusesWhatComes) {
  auto call = InvokeUntilCancelled(OperationId(5));
  WaitRunning();
  backend_->CancelAll();
  EXPECT_EQ(call.get().code, code::kCancel);
  SessionId session;
  EXPECT_EQ(Open(session).code, code::kCommunication);
  tee::CallContext context{};
  tee::Params params{};
  EXPECT_EQ(backend_->Invoke(context, session_, 1, params).code, code::kCommunication);
  EXPECT_TRUE(backend_->CloseSession(context, session_).ok());  // giving back still works
}

TEST_F(HostLeaveTest, DestructorCancelsAndWaits) {
  auto call = InvokeUntilCancelled(OperationId(6));
  WaitRunning();
  backend_.reset();
  ASSERT_EQ(call.wait_for(std::chrono::seconds(5)), std::future_status::ready);
  EXPECT_EQ(call.get().code, code::kCancel);
  EXPECT_EQ(device_->sessions(), 0u);
}

TEST_F(HostLeaveTest, ResetGivesEverythingBackAndGoesOn) {
  auto guest = ScatteredMemfd::Make({0}, 0, 100);
  ASSERT_TRUE(guest.ok());
  auto memory = backend_->RegisterMemory(guest.value());
  ASSERT_TRUE(memory.ok());
  backend_->OnLifeEvent(tee::LifeEvent::kCreated, {});
  backend_->OnLifeEvent(tee::LifeEvent::kPaused, {});
  backend_->OnLifeEvent(tee::LifeEvent::kResumed, {});
  EXPECT_EQ(device_->sessions(), 1u);
  backend_->OnLifeEvent(tee::LifeEvent::kReset, {});
  EXPECT_EQ(device_->sessions(), 0u);
  EXPECT_EQ(device_->descriptors(), 0u);
  EXPECT_EQ(backend_->open_sessions(), 0u);
  EXPECT_EQ(backend_->registered_memories(), 0u);
  SessionId session;
  EXPECT_TRUE(Open(session).ok());
}

TEST_F(HostLeaveTest, ResetWhileACallRunsLeavesItsMemoryAlone) {
  auto guest = ScatteredMemfd::Make({0}, 0, 100);
  ASSERT_TRUE(guest.ok());
  auto memory = backend_->RegisterMemory(guest.value());
  ASSERT_TRUE(memory.ok());
  auto call = InvokeUntilCancelled(OperationId(8));
  WaitRunning();
  backend_->OnLifeEvent(tee::LifeEvent::kReset, {});
  EXPECT_EQ(call.get().code, code::kCancel);
  EXPECT_EQ(device_->descriptors(), 1u);
}

TEST_F(HostLeaveTest, MemoryMayOutliveTheBackend) {
  auto guest = ScatteredMemfd::Make({0}, 0, 100);
  ASSERT_TRUE(guest.ok());
  auto memory = backend_->RegisterMemory(guest.value());
  ASSERT_TRUE(memory.ok());
  backend_.reset();
  EXPECT_EQ(device_->descriptors(), 0u);
}

TEST_F(HostLeaveTest, ManyThreads) {
  device_->script = nullptr;
  std::vector<std::thread> threads;
  for (std::uint32_t t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      for (std::uint32_t i = 0; i < 200; ++i) {
        tee::CallContext context{.upcalls = nullptr, .operation = OperationId(t * 1000 + i)};
        tee::Params params{};
        SessionId session;
        ASSERT_TRUE(backend_->OpenSession(context, {}, params, session).ok());
        ASSERT_TRUE(backend_->Invoke(context, session, i, params).ok());
        ASSERT_TRUE(backend_->CloseSession(context, session).ok());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(device_->sessions(), 1u);
}

}  // namespace
}  // namespace vtee::backend
