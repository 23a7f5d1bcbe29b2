// SPDX-License-Identifier: BSD-3-Clause
#include "backend/fake/fake_backend.h"

#include <algorithm>
#include <utility>

#include "base/checked.h"
#include "base/log.h"

namespace vtee::backend {
namespace {

using tee::Origin;
using tee::Outcome;

constexpr Outcome kRefused{tee::code::kBadParameters, Origin::kTee};

tee::BackendCapabilities DefaultCapabilities() {
  tee::BackendCapabilities capabilities;
  capabilities.name = "fake";
  capabilities.description = "scripted TEE for tests; keeps no secrets";
  capabilities.null_memref = true;
  capabilities.cancel_open = true;
  capabilities.os_revision_major = 4;
  capabilities.os_revision_minor = 0;
  return capabilities;
}

}  // namespace

class FakeBackend::CallScope {
 public:
  CallScope(FakeBackend& backend, tee::SessionId session, tee::OperationId operation, bool opening)
      : backend_(backend) {
    const std::lock_guard lock(backend.mutex_);
    RunningCall& call = backend.running_.emplace_back();
    call.session = session;
    call.operation = operation;
    call.opening = opening;
    position_ = std::prev(backend.running_.end());
    FakeCounters& counters = backend.counters_;
    counters.peak_calls_in_flight =
        std::max(counters.peak_calls_in_flight, backend.running_.size());
  }
  ~CallScope() {
    const std::lock_guard lock(backend_.mutex_);
    backend_.running_.erase(position_);
    if (backend_.running_.empty()) backend_.idle_.notify_all();
  }
  CallScope(const CallScope&) = delete;
  CallScope& operator=(const CallScope&) = delete;

  FakeCancellation& cancellation() { return position_->cancellation; }

 private:
  FakeBackend& backend_;
  std::list<RunningCall>::iterator position_;
};

FakeBackend::FakeBackend() : FakeBackend(DefaultCapabilities()) {}

FakeBackend::FakeBackend(tee::BackendCapabilities capabilities)
    : capabilities_(std::move(capabilities)) {}

FakeBackend::~FakeBackend() {
  CancelAll();
  std::unique_lock lock(mutex_);
  idle_.wait(lock, [this] { return running_.empty(); });
}

std::unique_ptr<FakeBackend> FakeBackend::WithDefaultScript() {
  auto backend = std::make_unique<FakeBackend>();
  backend->SetApplication(
      fake::kEnumerationUuid,
      fake::Enumeration({.early = {fake::kRngUuid}, .with_supplicant = {}, .with_rpmb = {}}));
  backend->SetApplication(fake::kRngUuid, fake::Rng());
  backend->SetApplication(fake::kHelloUuid, fake::Hello());
  backend->SetApplication(fake::kEchoUuid, fake::Echo());
  backend->SetApplication(fake::kSlowUuid, fake::Slow());
  return backend;
}

void FakeBackend::SetApplication(const tee::Uuid& uuid, FakeApplication application) {
  auto shared = std::make_shared<const FakeApplication>(std::move(application));
  const std::lock_guard lock(mutex_);
  applications_[uuid] = std::move(shared);
}

void FakeBackend::FailNth(FakeVerb verb, std::uint64_t nth, tee::Outcome outcome) {
  const std::lock_guard lock(mutex_);
  plans_.push_back(Plan{verb, counters_.Calls(verb) + nth, outcome});
}

FakeCounters FakeBackend::counters() const {
  const std::lock_guard lock(mutex_);
  FakeCounters counters = counters_;
  counters.open_sessions = sessions_.size();
  counters.calls_in_flight = running_.size();
  counters.registered_memories = memory_counts_->memories;
  counters.registered_bytes = memory_counts_->bytes;
  return counters;
}

void FakeBackend::CancelAll() {
  const std::lock_guard lock(mutex_);
  for (RunningCall& call : running_) call.cancellation.Cancel();
}

void FakeBackend::OnLifeEvent(tee::LifeEvent event, const tee::VmIdentity&) {
  if (event == tee::LifeEvent::kReset) {
    // For tests that see this process from outside: what the mediator left behind.
    const FakeCounters now = counters();
    Log(LogLevel::kInfo, "fake.account",
        {{"sessions", std::uint64_t{now.open_sessions}},
         {"memories", std::uint64_t{now.registered_memories}},
         {"calls", std::uint64_t{now.calls_in_flight}}});
  }
  const std::lock_guard lock(mutex_);
  if (event == tee::LifeEvent::kReset || event == tee::LifeEvent::kDestroyed) sessions_.clear();
  counters_.life_events.push_back(event);
}

Outcome FakeBackend::Enter(FakeVerb verb) {
  const std::lock_guard lock(mutex_);
  const std::uint64_t number = ++counters_.calls[static_cast<std::size_t>(verb)];
  for (auto plan = plans_.begin(); plan != plans_.end(); ++plan) {
    if (plan->verb != verb || plan->nth != number) continue;
    const Outcome outcome = plan->outcome;
    plans_.erase(plan);
    return outcome;
  }
  return {};
}

Outcome FakeBackend::CheckParams(const tee::Params& params) const {
  for (const tee::Param& param : params) {
    if (param.kind != tee::Param::Kind::kMemory) continue;
    if (param.memory == nullptr) {
      if (!capabilities_.null_memref) return kRefused;
    } else if (!RangeInside(param.offset, param.size, param.memory->size())) {
      return kRefused;
    }
  }
  return {};
}

Outcome FakeBackend::OpenSession(tee::CallContext& context, const tee::OpenRequest& request,
                                 tee::Params& params, tee::SessionId& session) {
  if (const Outcome planned = Enter(FakeVerb::kOpen); !planned.ok()) return planned;
  if (const Outcome bad = CheckParams(params); !bad.ok()) return bad;
  std::shared_ptr<const FakeApplication> application;
  tee::SessionId opened;
  {
    const std::lock_guard lock(mutex_);
    const auto found = applications_.find(request.application);
    if (found == applications_.end()) return {tee::code::kItemNotFound, Origin::kTee};
    application = found->second;
    opened = tee::SessionId(next_session_++);
  }
  CallScope scope(*this, opened, context.operation, /*opening=*/true);
  if (application->open) {
    FakeCall call(context, opened, 0, params, scope.cancellation());
    const Outcome outcome = application->open(call);
    if (!outcome.ok()) return outcome;
  }
  const std::lock_guard lock(mutex_);
  sessions_[opened] = std::move(application);
  session = opened;
  return {tee::code::kSuccess, Origin::kTrustedApp};
}

Outcome FakeBackend::Invoke(tee::CallContext& context, tee::SessionId session,
                            std::uint32_t command, tee::Params& params) {
  if (const Outcome planned = Enter(FakeVerb::kInvoke); !planned.ok()) return planned;
  if (const Outcome bad = CheckParams(params); !bad.ok()) return bad;
  std::shared_ptr<const FakeApplication> application;
  {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(session);
    if (found == sessions_.end()) return kRefused;
    application = found->second;
  }
  if (!application->invoke) return {tee::code::kNotImplemented, Origin::kTrustedApp};
  CallScope scope(*this, session, context.operation, /*opening=*/false);
  FakeCall call(context, session, command, params, scope.cancellation());
  return application->invoke(call);
}

Outcome FakeBackend::CloseSession(tee::CallContext& context, tee::SessionId session) {
  if (const Outcome planned = Enter(FakeVerb::kClose); !planned.ok()) return planned;
  std::shared_ptr<const FakeApplication> application;
  {
    const std::lock_guard lock(mutex_);
    const auto found = sessions_.find(session);
    if (found == sessions_.end()) return kRefused;
    application = std::move(found->second);
    sessions_.erase(found);
  }
  if (!application->close) return {};
  CallScope scope(*this, session, context.operation, /*opening=*/false);
  tee::Params params{};
  FakeCall call(context, session, 0, params, scope.cancellation());
  return application->close(call);
}

Outcome FakeBackend::RequestCancel(tee::SessionId session, tee::OperationId operation) {
  if (const Outcome planned = Enter(FakeVerb::kCancel); !planned.ok()) return planned;
  const std::lock_guard lock(mutex_);
  // A session that was closed while a call runs in it is there until that call has ended.
  bool known = sessions_.contains(session);
  for (RunningCall& call : running_) {
    if (call.session != session || call.operation != operation) continue;
    call.cancellation.Cancel();
    known = true;
  }
  return known ? Outcome{} : kRefused;
}

Outcome FakeBackend::RequestCancelOpen(tee::OperationId operation) {
  if (const Outcome planned = Enter(FakeVerb::kCancelOpen); !planned.ok()) return planned;
  if (!capabilities_.cancel_open) return {tee::code::kNotSupported, Origin::kTee};
  const std::lock_guard lock(mutex_);
  for (RunningCall& call : running_) {
    if (call.opening && call.operation == operation) call.cancellation.Cancel();
  }
  return {};
}

Result<std::unique_ptr<tee::RegisteredMemory>> FakeBackend::RegisterMemory(
    std::shared_ptr<const tee::SharedMemory> memory) {
  if (const Outcome planned = Enter(FakeVerb::kRegister); !planned.ok()) {
    return Error{planned.code == tee::code::kOutOfMemory ? ErrorCode::kResourceExhausted
                                                         : ErrorCode::kSystem,
                 "the fake TEE was told to refuse this memory"};
  }
  if (memory == nullptr || memory->size() == 0) {
    return Error{ErrorCode::kInvalidArgument, "memory of no bytes cannot be registered"};
  }
  return std::unique_ptr<tee::RegisteredMemory>(
      std::make_unique<FakeMemory>(std::move(memory), memory_counts_));
}

}  // namespace vtee::backend
