// SPDX-License-Identifier: BSD-3-Clause
#include "ta/core/tee_core.h"

#include <fcntl.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sys/stat.h>

#include <algorithm>
#include <cstring>
#include <filesystem>

#include "base/file_bytes.h"
#include "base/log.h"
#include "base/unique_fd.h"
#include "ta/core/guest_ta.h"
#include "ta/pta/attestation_pta.h"
#include "ta/pta/device_pta.h"
#include "ta/pta/install_pta.h"
#include "ta/pta/invoke_tests_pta.h"
#include "ta/pta/rtc_pta.h"
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
      storage_(state_->TakeStore()) {
  AddPseudoTa(kAttestationPta, std::make_unique<AttestationPta>(*this));
  AddPseudoTa(kDevicePta, std::make_unique<DevicePta>(*this));
  AddPseudoTa(kInstallPta, std::make_unique<InstallPta>(*this));
  AddPseudoTa(kInvokeTestsPta, std::make_unique<InvokeTestsPta>(*this));
  AddPseudoTa(kRtcPta, std::make_unique<RtcPta>(*this));
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
  auto main_image = Fetch(call, uuid);
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
    return Fetch(call, wanted);
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

SecretBytes TeeCore::DeriveKey(KeyUsage usage, ConstBytes data, std::size_t size) const {
  SecretBytes text = Secret(std::as_bytes(std::span(&usage, 1)));
  text.insert(text.end(), data.begin(), data.end());
  SecretBytes key(EVP_MAX_MD_SIZE);
  unsigned int made = 0;
  if (HMAC(EVP_sha256(), state_->huk().data(), static_cast<int>(state_->huk().size()), In(text),
           text.size(), Out(key), &made) == nullptr) {
    throw std::bad_alloc();
  }
  key.resize(std::min<std::size_t>(size, made));
  return key;
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

std::optional<std::vector<std::byte>> TeeCore::ReadFromFolders(const tee::Uuid& uuid) const {
  for (const std::string& folder : options_.ta_folders) {
    const std::string path = folder + "/" + tee::ToString(uuid) + ".ta";
    const UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat info {};
    if (!fd.valid() || fstat(fd.get(), &info) != 0 || info.st_size < 0 ||
        static_cast<std::uint64_t>(info.st_size) > kMostTaFile) {
      continue;
    }
    std::vector<std::byte> bytes(static_cast<std::size_t>(info.st_size));
    bytes.resize(ReadFully(fd.get(), bytes).value_or(0));
    return bytes;
  }
  return std::nullopt;
}

// Files of TAs can be encrypted for one VM: with the key that OP-TEE would derive of its root.
TaDecryptionKeys TeeCore::TaKeys() const {
  TaDecryptionKeys keys;
  const SecretBytes key = DeriveKey(KeyUsage::kTaEncryption, {}, sizeof(TaDecryptionKeys::Key));
  std::memcpy(keys.device.emplace().data(), key.data(), key.size());
  return keys;
}

Verdict<VerifiedTa> TeeCore::Verify(std::span<const std::byte> file, const tee::Uuid& uuid) {
  return VerifySignedTa(file, uuid, options_.roots, TaKeys(), *state_);
}

std::vector<tee::Uuid> TeeCore::FolderTasWith(std::uint32_t flags) {
  std::set<tee::Uuid> found;
  for (const std::string& folder : options_.ta_folders) {
    std::error_code failed;
    for (std::filesystem::directory_iterator at(folder, failed), end; !failed && at != end;
         at.increment(failed)) {
      tee::Uuid uuid;
      const std::filesystem::path& path = at->path();
      if (path.extension() != ".ta" || !tee::ParseUuid(path.stem().native(), uuid)) continue;
      const auto file = ReadFromFolders(uuid);
      if (!file) continue;
      auto verdict = Verify(*file, uuid);
      if (!verdict.ok()) continue;
      const auto image = ElfFile::Parse(std::move(verdict.value().image));
      const auto head = image.ok() ? ReadTaHead(*image) : std::nullopt;
      if (head && (head->flags & flags) != 0) found.insert(uuid);
    }
  }
  return {found.begin(), found.end()};
}

namespace {

// No TA has this namespace: the pseudo-TA goes before a TA of its UUID.
ObjectKey InstalledKey(const tee::Uuid& uuid) {
  const auto bytes = std::as_bytes(std::span(uuid.octets));
  ObjectKey key;
  key.ta = kInstallPta;
  key.id.assign(bytes.begin(), bytes.end());
  return key;
}

}  // namespace

std::uint32_t TeeCore::InstallTa(std::span<const std::byte> file) {
  const auto uuid = ClaimedUuid(file);
  if (!uuid) return tee::code::kSecurity;
  const auto checked = CheckRefusal(*uuid, Verify(file, *uuid));
  if (const auto* failure = std::get_if<LoadFailure>(&checked)) return failure->code;
  return storage_.store().Create(InstalledKey(*uuid), {}, file, true);
}

std::optional<std::vector<std::byte>> TeeCore::ReadInstalled(const tee::Uuid& uuid) {
  const ObjectKey key = InstalledKey(uuid);
  ObjectRecord record;
  if (storage_.store().Load(key, record) != tee::code::kSuccess || record.size > kMostTaFile) {
    return std::nullopt;
  }
  std::vector<std::byte> file(record.size);
  std::uint64_t got = 0;
  if (storage_.store().Read(key, 0, file, got) != tee::code::kSuccess || got != file.size()) {
    return std::nullopt;
  }
  return file;
}

std::variant<VerifiedTa, LoadFailure> TeeCore::CheckRefusal(const tee::Uuid& uuid,
                                                            Verdict<VerifiedTa> verdict) const {
  if (verdict.ok()) return std::move(verdict.value());
  const Refusal& refusal = verdict.refusal();
  LogGuest(
      LogLevel::kWarning, "ta.refused",
      {{"ta", tee::ToString(uuid)}, {"fault", ToString(refusal.fault)}, {"why", refusal.message}});
  return LoadFailure{refusal.code(), refusal.message};
}

std::variant<std::vector<std::byte>, LoadFailure> TeeCore::Fetch(Call& call,
                                                                 const tee::Uuid& uuid) {
  auto found = FetchVerified(call, uuid);
  if (auto* failure = std::get_if<LoadFailure>(&found)) return std::move(*failure);
  return std::move(std::get<VerifiedTa>(found).image);
}

std::variant<VerifiedTa, LoadFailure> TeeCore::FetchVerified(Call& call, const tee::Uuid& uuid) {
  auto file = ReadInstalled(uuid);
  if (!file) file = ReadFromFolders(uuid);
  if (!file && options_.guest_tas) {
    auto asked = AskGuestForTa(call.context, uuid);
    if (const auto* failure = std::get_if<LoadFailure>(&asked)) return *failure;
    file = std::get<0>(std::move(asked));
  }
  if (!file) {
    return LoadFailure{tee::code::kItemNotFound, "there is no such TA: " + tee::ToString(uuid)};
  }
  return CheckRefusal(uuid, Verify(*file, uuid));
}

}  // namespace vtee::ta
