// SPDX-License-Identifier: BSD-3-Clause
// FakeBackend: a scripted TEE inside this process, for tests and `vteed --backend fake`.
//
// Applications are handlers by UUID (fake_application.h). Any verb can be made to fail at its
// nth call, and everything that a caller must give back is counted.
//
// Threading: every method, any thread. Ownership: memory it registered may outlive it. The
// destructor cancels what runs and waits for it. Not supported: persistence, isolation.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "backend/fake/fake_application.h"
#include "backend/fake/fake_memory.h"
#include "base/result.h"
#include "tee/backend.h"
#include "tee/session_tee.h"

namespace vtee::backend {

enum class FakeVerb : std::uint8_t { kOpen, kInvoke, kClose, kCancel, kCancelOpen, kRegister };
inline constexpr std::size_t kFakeVerbs = 6;

struct FakeCounters {
  std::size_t open_sessions = 0;
  std::size_t registered_memories = 0;
  std::uint64_t registered_bytes = 0;
  std::size_t calls_in_flight = 0;
  std::size_t peak_calls_in_flight = 0;
  std::array<std::uint64_t, kFakeVerbs> calls{};  // since the start, by FakeVerb
  std::vector<tee::LifeEvent> life_events;
  std::uint64_t Calls(FakeVerb verb) const { return calls[static_cast<std::size_t>(verb)]; }
};

class FakeBackend final : public tee::Backend, public tee::SessionTee {
 public:
  FakeBackend();
  explicit FakeBackend(tee::BackendCapabilities capabilities);
  ~FakeBackend() override;
  FakeBackend(const FakeBackend&) = delete;
  FakeBackend& operator=(const FakeBackend&) = delete;

  // The script of `vteed --backend fake`: device enumeration (which lists the rng), rng, hello,
  // echo and slow.
  static std::unique_ptr<FakeBackend> WithDefaultScript();

  // Adds or replaces an application; open sessions keep the one they opened.
  void SetApplication(const tee::Uuid& uuid, FakeApplication application);
  // The nth call of `verb` from now on (1: the next) answers `outcome` and does nothing. For
  // kRegister the Error's class follows the code (OUT_OF_MEMORY: kResourceExhausted). Plans of
  // one verb add up.
  void FailNth(FakeVerb verb, std::uint64_t nth, tee::Outcome outcome);
  FakeCounters counters() const;
  // Cancels every operation that runs, opens too.
  void CancelAll();

  const tee::BackendCapabilities& capabilities() const override { return capabilities_; }
  tee::SessionTee* sessions() override { return this; }
  void OnLifeEvent(tee::LifeEvent event, const tee::VmIdentity& vm) override;

  tee::Outcome OpenSession(tee::CallContext& context, const tee::OpenRequest& request,
                           tee::Params& params, tee::SessionId& session) override;
  tee::Outcome Invoke(tee::CallContext& context, tee::SessionId session, std::uint32_t command,
                      tee::Params& params) override;
  tee::Outcome CloseSession(tee::CallContext& context, tee::SessionId session) override;
  tee::Outcome RequestCancel(tee::SessionId session, tee::OperationId operation) override;
  tee::Outcome RequestCancelOpen(tee::OperationId operation) override;
  Result<std::unique_ptr<tee::RegisteredMemory>> RegisterMemory(
      std::shared_ptr<const tee::SharedMemory> memory) override;

 private:
  struct RunningCall {
    tee::SessionId session;
    tee::OperationId operation;
    bool opening = false;
    FakeCancellation cancellation;
  };
  struct Plan {
    FakeVerb verb;
    std::uint64_t nth;  // counted from the start
    tee::Outcome outcome;
  };
  class CallScope;

  // Counts the call. Not ok: a planned failure.
  tee::Outcome Enter(FakeVerb verb);
  tee::Outcome CheckParams(const tee::Params& params) const;

  const tee::BackendCapabilities capabilities_;
  const std::shared_ptr<FakeMemoryCounts> memory_counts_ = std::make_shared<FakeMemoryCounts>();

  mutable std::mutex mutex_;
  std::condition_variable idle_;
  std::map<tee::Uuid, std::shared_ptr<const FakeApplication>> applications_;
  std::map<tee::SessionId, std::shared_ptr<const FakeApplication>> sessions_;
  std::list<RunningCall> running_;
  std::list<Plan> plans_;
  FakeCounters counters_;
  std::uint32_t next_session_ = 1;
};

}  // namespace vtee::backend
