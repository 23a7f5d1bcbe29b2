// SPDX-License-Identifier: BSD-3-Clause
#include "ta/core/tee_core.h"

#include <algorithm>

#include "base/log.h"
#include "ta/pta/attestation_pta.h"
#include "ta/pta/device_pta.h"
#include "ta/pta/install_pta.h"
#include "ta/pta/invoke_tests_pta.h"
#include "ta/pta/rtc_pta.h"
#include "ta/pta/scmi_pta.h"
#include "ta/pta/socket_pta.h"
#include "ta/pta/stats_pta.h"
#include "ta/pta/system_pta.h"

namespace vtee::ta {
namespace {

constexpr tee::Outcome kDone{};

tee::Outcome FromTee(std::uint32_t code) { return {code, tee::Origin::kTee}; }

}  // namespace

std::uint32_t PseudoTa::Open(Call&, TaInstance*, const ClientIdentity&, EntryParams&) {
  return tee::code::kSuccess;
}
void PseudoTa::Close(Call&, std::uint32_t) {}

// The right to run an instance; waits for it.
class TeeCore::Turn {
 public:
  Turn(TeeCore& core, Call& call, TaInstance& instance)
      : core_(core), call_(call), instance_(instance) {
    std::unique_lock lock(core_.mutex_);
    if (core_.WouldWaitForItself(call, instance)) return;
    call_.waits_for = &instance_;
    core_.changed_.wait(lock, [&] {
      return instance_.owner == nullptr || core_.WouldWaitForItself(call_, instance_);
    });
    call_.waits_for = nullptr;
    if (instance_.owner != nullptr) return;
    instance_.owner = &call_;
    ++call_.depth;
    granted_ = true;
  }
  ~Turn() {
    if (!granted_) return;
    {
      const std::lock_guard lock(core_.mutex_);
      instance_.owner = nullptr;
      --call_.depth;
    }
    core_.changed_.notify_all();
  }
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  bool granted() const { return granted_; }

 private:
  TeeCore& core_;
  Call& call_;
  TaInstance& instance_;
  bool granted_ = false;
};

TeeCore::TeeCore(TeeOptions options, std::unique_ptr<TeeState> state)
    : options_(std::move(options)),
      starter_({options_.program, options_.arena_size, options_.pool}),
      state_(std::move(state)),
      storage_(state_->TakeStore()),
      files_(options_.sources, *state_, storage_) {
  AddPseudoTa(kAttestationPta, std::make_unique<AttestationPta>(*this));
  AddPseudoTa(kDevicePta, std::make_unique<DevicePta>(*this));
  AddPseudoTa(kInstallPta, std::make_unique<InstallPta>(*this));
  AddPseudoTa(kInvokeTestsPta, std::make_unique<InvokeTestsPta>(*this));
  AddPseudoTa(kRtcPta, std::make_unique<RtcPta>(*this));
  AddPseudoTa(kScmiPta, std::make_unique<ScmiPta>());
  AddPseudoTa(kStatsPta, std::make_unique<StatsPta>(*this));
  AddPseudoTa(kSystemPta, std::make_unique<SystemPta>());
  AddPseudoTa(kSocketPta, std::make_unique<SocketPta>());
}

TeeCore::~TeeCore() { KillAll(); }

void TeeCore::AddPseudoTa(const tee::Uuid& uuid, std::unique_ptr<PseudoTa> application) {
  pseudo_tas_[uuid] = std::move(application);
}

std::vector<tee::Uuid> TeeCore::PseudoDevices() const {
  std::vector<tee::Uuid> found;
  for (const auto& [uuid, application] : pseudo_tas_) {
    if (application->is_device()) found.push_back(uuid);
  }
  return found;
}

void TeeCore::KillAll() {
  const std::lock_guard lock(mutex_);
  ending_ = true;
  for (const auto& instance : instances_) instance->Kill();
}

std::vector<TeeCore::Running> TeeCore::RunningTas() {
  const std::lock_guard lock(mutex_);
  std::vector<Running> running;
  running.reserve(instances_.size());
  for (const auto& ta : instances_) {
    running.push_back({ta->uuid(), ta->dead(), ta->session_count, ta->space().private_bytes()});
  }
  return running;
}

// Follows who waits for whom: each call waits for one instance, which one call has.
bool TeeCore::WouldWaitForItself(const Call& call, const TaInstance& instance) const {
  const TaInstance* next = &instance;
  while (next != nullptr && next->owner != nullptr) {
    if (next->owner == &call) return true;
    next = next->owner->waits_for;
  }
  return false;
}

std::uint32_t TeeCore::NewSessionId() {
  while (next_session_ == 0 || sessions_.contains(next_session_)) ++next_session_;
  return next_session_++;
}

std::shared_ptr<TeeCore::Session> TeeCore::FindSession(std::uint32_t id) {
  const std::lock_guard lock(mutex_);
  const auto found = sessions_.find(id);
  return found == sessions_.end() ? nullptr : found->second;
}

tee::Outcome TeeCore::OpenPseudo(Call& call, TaInstance* caller, PseudoTa& application,
                                 const ClientIdentity& client, EntryParams& params,
                                 std::uint32_t& session) {
  const std::uint32_t code = application.Open(call, caller, client, params);
  if (code != tee::code::kSuccess) return {code, tee::Origin::kTrustedApp};
  const std::lock_guard lock(mutex_);
  auto opened = std::make_shared<Session>();
  opened->id = NewSessionId();
  opened->client = client;
  opened->pseudo = &application;
  session = opened->id;
  sessions_[session] = std::move(opened);
  return kDone;
}

tee::Outcome TeeCore::OpenSession(Call& call, Cancellation& cancellation, TaInstance* caller,
                                  const ClientIdentity& client, const tee::Uuid& uuid,
                                  EntryParams& params, std::uint32_t& session) {
  const auto pseudo = pseudo_tas_.find(uuid);
  if (pseudo != pseudo_tas_.end()) {
    return OpenPseudo(call, caller, *pseudo->second, client, params, session);
  }
  if (call.depth >= kMaxCallDepth) return FromTee(tee::code::kOutOfMemory);
  std::shared_ptr<TaInstance> instance;
  const tee::Outcome taken = TakeInstance(call, uuid, instance);
  if (!taken.ok()) return taken;

  auto opened = std::make_shared<Session>();
  opened->client = client;
  opened->instance = instance;
  {
    const std::lock_guard lock(mutex_);
    opened->id = NewSessionId();
    sessions_[opened->id] = opened;
  }
  tee::Outcome outcome;
  {
    const Turn turn(*this, call, *instance);
    outcome = turn.granted() ? instance->Enter(call, cancellation, EntryFunction::kOpen, opened->id,
                                               client, 0, params)
                             : FromTee(tee::code::kBusy);
  }
  if (outcome.ok()) {
    session = opened->id;
    return outcome;
  }
  {
    const std::lock_guard lock(mutex_);
    sessions_.erase(opened->id);
  }
  DropSession(call, instance);
  return outcome;
}

tee::Outcome TeeCore::TakeInstance(Call& call, const tee::Uuid& uuid,
                                   std::shared_ptr<TaInstance>& instance) {
  for (;;) {
    std::shared_ptr<TaInstance> crashed;
    const auto taken = TakeRunning(uuid, instance, crashed);
    if (taken) return *taken;
    if (!crashed) break;
    CloseSessionsOf(call, *crashed);
  }
  const tee::Outcome outcome = StartInstance(call, uuid, instance);
  {
    const std::lock_guard lock(mutex_);
    loading_.erase(uuid);
    if (outcome.ok()) {
      instance->session_count = 1;
      instances_.push_back(instance);
      if (ending_) instance->Kill();
    }
  }
  changed_.notify_all();
  return outcome;
}

std::optional<tee::Outcome> TeeCore::TakeRunning(const tee::Uuid& uuid,
                                                 std::shared_ptr<TaInstance>& instance,
                                                 std::shared_ptr<TaInstance>& crashed) {
  std::unique_lock lock(mutex_);
  for (;;) {
    if (ending_) return FromTee(tee::code::kTargetDead);
    const auto found = std::ranges::find_if(instances_, [&](const auto& running) {
      return running->uuid() == uuid && (running->flags() & kFlagSingleInstance) != 0;
    });
    if (found != instances_.end()) {
      TaInstance& running = **found;
      if (running.dead()) {
        if ((running.flags() & kFlagKeepCrashed) != 0) return FromTee(tee::code::kTargetDead);
        crashed = std::move(*found);
        instances_.erase(found);
        return std::nullopt;
      }
      if ((running.flags() & kFlagMultiSession) == 0 && running.session_count != 0) {
        return FromTee(tee::code::kBusy);
      }
      ++running.session_count;
      instance = *found;
      return kDone;
    }
    if (instances_.size() >= options_.max_instances) return FromTee(tee::code::kOutOfMemory);
    // Whether it is a single-instance TA is known when it is loaded: one at a time.
    if (loading_.insert(uuid).second) return std::nullopt;
    changed_.wait(lock);
  }
}

tee::Outcome TeeCore::StartInstance(Call& call, const tee::Uuid& uuid,
                                    std::shared_ptr<TaInstance>& instance) {
  // The file first: most that are asked for and not there are probes, and need no process.
  auto main_image = files_.Fetch(call, uuid);
  if (const auto* failure = std::get_if<LoadFailure>(&main_image)) return FromTee(failure->code);
  auto process = starter_.Start();
  if (!process.ok()) {
    LogGuest(LogLevel::kError, "ta.start",
             {{"ta", tee::ToString(uuid)}, {"error", process.error().message}});
    return FromTee(tee::code::kOutOfMemory);
  }
  const std::uint64_t entry_ns = options_.ta_seconds * std::uint64_t{1'000'000'000};
  auto started = std::make_shared<TaInstance>(*this, uuid, std::move(process).value(),
                                              TaInstance::Limits{options_.ta_memory, entry_ns});
  const auto failure = started->Load([&](const tee::Uuid& wanted) {
    if (wanted == uuid) return std::move(main_image);
    return files_.Fetch(call, wanted);
  });
  if (failure) {
    LogGuest(LogLevel::kWarning, "ta.load",
             {{"ta", tee::ToString(uuid)}, {"error", failure->message}});
    return FromTee(failure->code);
  }
  instance = std::move(started);
  return kDone;
}

void TeeCore::DropSession(Call& call, const std::shared_ptr<TaInstance>& instance) {
  {
    const std::lock_guard lock(mutex_);
    if (--instance->session_count != 0) return;
    const std::uint32_t flags = instance->flags();
    const bool stays = (flags & kFlagSingleInstance) != 0 && (flags & kFlagKeepAlive) != 0 &&
                       (!instance->dead() || (flags & kFlagKeepCrashed) != 0);
    if (stays) return;
    std::erase(instances_, instance);
  }
  CloseSessionsOf(call, *instance);
}

void TeeCore::CloseSessionsOf(Call& call, TaInstance& instance) {
  for (const std::uint32_t session : std::exchange(instance.sessions(), {})) {
    static_cast<void>(CloseSession(call, session));
  }
}

bool TeeCore::IsPseudoSession(std::uint32_t session) {
  const auto found = FindSession(session);
  return found && found->pseudo != nullptr;
}

tee::Outcome TeeCore::Invoke(Call& call, Cancellation& cancellation, TaInstance* caller,
                             std::uint32_t session, std::uint32_t command, EntryParams& params) {
  const auto found = FindSession(session);
  if (!found) return FromTee(tee::code::kBadParameters);
  if (found->pseudo != nullptr) {
    return {found->pseudo->Invoke(call, caller, session, command, params),
            tee::Origin::kTrustedApp};
  }
  if (call.depth >= kMaxCallDepth) return FromTee(tee::code::kOutOfMemory);
  const Turn turn(*this, call, *found->instance);
  if (!turn.granted()) return FromTee(tee::code::kBusy);
  return found->instance->Enter(call, cancellation, EntryFunction::kInvoke, session, found->client,
                                command, params);
}

tee::Outcome TeeCore::CloseSession(Call& call, std::uint32_t session) {
  std::shared_ptr<Session> found;
  {
    const std::lock_guard lock(mutex_);
    const auto at = sessions_.find(session);
    if (at == sessions_.end()) return FromTee(tee::code::kItemNotFound);
    found = at->second;
    sessions_.erase(at);
  }
  if (found->pseudo != nullptr) {
    found->pseudo->Close(call, session);
    return kDone;
  }
  {
    const Turn turn(*this, call, *found->instance);
    if (turn.granted()) {
      EntryParams none{};
      Cancellation cancellation;
      static_cast<void>(found->instance->Enter(call, cancellation, EntryFunction::kClose, session,
                                               found->client, 0, none));
    }
  }
  DropSession(call, found->instance);
  return kDone;
}

}  // namespace vtee::ta
