// SPDX-License-Identifier: BSD-3-Clause
#include "dialect/optee/device_enumeration.h"

#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "base/memory.h"
#include "dialect/optee/random_numbers.h"
#include "dialect/optee/ta_params.h"
#include "mediator/private_memory.h"

namespace vtee::optee {
namespace {

// More pseudo-TAs than any OP-TEE build has; a longer list is cut.
constexpr std::uint64_t kMaxListBytes = 4096;

// A session of the mediator's own; closed with this, whatever happens.
class OwnSession {
 public:
  OwnSession(tee::SessionTee& tee, tee::CallContext& context, const tee::Uuid& application,
             tee::Login login = tee::Login::kPublic)
      : tee_(tee), context_(context) {
    tee::Params none{};
    const tee::OpenRequest open{application, login, {}};
    opened_ = tee_.OpenSession(context_, open, none, session_);
  }
  ~OwnSession() {
    if (!opened_.ok()) return;
    static_cast<void>(
        WithinMemory([this] { static_cast<void>(tee_.CloseSession(context_, session_)); }));
  }
  OwnSession(const OwnSession&) = delete;
  OwnSession& operator=(const OwnSession&) = delete;

  const tee::Outcome& opened() const { return opened_; }
  tee::SessionId id() const { return session_; }

 private:
  tee::SessionTee& tee_;
  tee::CallContext& context_;
  tee::SessionId session_;
  tee::Outcome opened_;
};

}  // namespace

bool DeviceEnumeration::Answers(tee::CallContext& context) {
  return List(context, kGetDevices).has_value();
}

bool DeviceEnumeration::OffersOwnRng(tee::CallContext& context) {
  static_cast<void>(List(context, kGetDevices));
  const std::lock_guard lock(mutex_);
  return own_rng_;
}

std::optional<std::vector<tee::Uuid>> DeviceEnumeration::List(tee::CallContext& context,
                                                              std::uint32_t command) {
  if (command >= known_.size()) return std::nullopt;
  {
    const std::lock_guard lock(mutex_);
    if (known_[command]) return known_[command];
  }
  // Asked without the lock: the backend may take its time, or call the guest.
  auto list = FindOut(context, command);
  const bool rng_wanted = command == kGetDevices && policy_.rng && policy_.MayOpen(kRngPta);
  const bool rng_missing = !list || std::find(list->begin(), list->end(), kRngPta) == list->end();
  const bool own_rng = rng_wanted && rng_missing;
  if (own_rng) {
    if (!list) list.emplace();
    list->push_back(kRngPta);
  }
  const std::lock_guard lock(mutex_);
  if (command == kGetDevices) own_rng_ = own_rng;
  if (list) known_[command] = *list;
  return list;
}

std::optional<std::vector<tee::Uuid>> DeviceEnumeration::FindOut(tee::CallContext& context,
                                                                 std::uint32_t command) {
  const auto all = AskBackend(context, command);
  if (!all) return std::nullopt;
  std::vector<tee::Uuid> usable;
  for (const tee::Uuid& uuid : *all) {
    const bool offered = policy_.MayOpen(uuid) && Opens(context, uuid);
    Log(LogLevel::kInfo, "enumeration.device",
        {{"uuid", tee::ToString(uuid)}, {"offered", offered ? "yes" : "no"}});
    if (offered) usable.push_back(uuid);
  }
  return usable;
}

tee::Outcome DeviceEnumeration::Invoke(tee::CallContext& context, std::uint32_t command,
                                       TaParams& ta) {
  const auto answer = [](std::uint32_t code) { return tee::Outcome{code, tee::Origin::kTee}; };
  tee::Param& out = ta.params()[0];
  if (out.kind != tee::Param::Kind::kMemory || out.direction != tee::Direction::kOut) {
    return answer(tee::code::kBadParameters);
  }
  if (command == kGetDevicesSupplicant) {
    const std::lock_guard lock(mutex_);
    supplicant_seen_ = true;
  }
  const auto list = List(context, command);
  if (!list) return answer(tee::code::kNotSupported);
  const auto bytes = std::as_bytes(std::span(*list));
  const std::uint64_t room = out.memory == nullptr ? 0 : out.size;
  out.size = bytes.size();
  if (bytes.empty()) return answer(tee::code::kSuccess);
  if (room < bytes.size()) return answer(tee::code::kShortBuffer);
  if (!ta.WriteMemory(0, bytes)) return answer(tee::code::kCommunication);
  return answer(tee::code::kSuccess);
}

void DeviceEnumeration::Forget() {
  const std::lock_guard lock(mutex_);
  known_ = {};
  own_rng_ = false;
  supplicant_seen_ = false;
}

bool DeviceEnumeration::supplicant_seen() {
  const std::lock_guard lock(mutex_);
  return supplicant_seen_;
}

std::optional<std::vector<tee::Uuid>> DeviceEnumeration::AskBackend(tee::CallContext& context,
                                                                    std::uint32_t command) {
  const auto memory = mediator::PrivateMemory::Make(kMaxListBytes);
  if (!memory) return std::nullopt;
  auto registered = tee_.RegisterMemory(memory);
  if (!registered.ok()) {
    Log(LogLevel::kWarning, "enumeration.memory", {{"error", registered.error().message}});
    return std::nullopt;
  }
  const OwnSession session(tee_, context, kDeviceEnumerationPta);
  if (!session.opened().ok()) {
    Log(LogLevel::kInfo, "enumeration.unavailable", {{"code", Hex(session.opened().code)}});
    return std::nullopt;
  }
  tee::Params params{};
  params[0].kind = tee::Param::Kind::kMemory;
  params[0].direction = tee::Direction::kOut;
  params[0].memory = registered.value().get();
  params[0].size = kMaxListBytes;
  if (!tee_.Invoke(context, session.id(), command, params).ok()) return std::nullopt;

  std::vector<tee::Uuid> uuids(std::min(params[0].size, kMaxListBytes) / sizeof(tee::Uuid));
  if (!memory->Read(0, std::as_writable_bytes(std::span(uuids)))) return std::nullopt;
  return uuids;
}

bool DeviceEnumeration::Opens(tee::CallContext& context, const tee::Uuid& application) {
  if (OwnSession(tee_, context, application).opened().ok()) return true;
  // For the guest's kernel alone, as clocks are; what a backend makes of that login is its own.
  return OwnSession(tee_, context, application, tee::Login::kReeKernel).opened().ok();
}

}  // namespace vtee::optee
