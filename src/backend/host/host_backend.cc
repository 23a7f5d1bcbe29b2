// SPDX-License-Identifier: BSD-3-Clause
#include "backend/host/host_backend.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <utility>
#include <vector>

#include "backend/host/call_message.h"
#include "backend/host/host_errors.h"
#include "backend/host/nudge.h"
#include "backend/host/tee_uapi.h"
#include "base/log.h"
#include "base/memory.h"

namespace vtee::backend {
namespace {

using tee::Origin;
using tee::Outcome;

constexpr Outcome kGone{tee::code::kCommunication, Origin::kComms};
constexpr Outcome kNoSuchSession{tee::code::kBadParameters, Origin::kComms};
constexpr auto kCancelAgainAfter = std::chrono::milliseconds(100);

std::string ImplementationName(std::uint32_t id) {
  switch (static_cast<TeeImplementation>(id)) {
    case TeeImplementation::kOpTee:
      return "OP-TEE";
    case TeeImplementation::kAmdTee:
      return "AMD-TEE";
    case TeeImplementation::kTsTee:
      return "TS-TEE (Trusted Services)";
    case TeeImplementation::kQTee:
      return "QTEE";
  }
  return "TEE implementation " + std::to_string(id);
}

Status CheckVersion(const tee_ioctl_version_data& version, const HostBackendOptions& options) {
  if ((version.gen_caps & kGenCapPrivileged) != 0) {
    return Error{
        ErrorCode::kInvalidArgument,
        options.device + ": this is tee-supplicant's device; name the client device (/dev/teeN)"};
  }
  const auto implementation = static_cast<TeeImplementation>(version.impl_id);
  if (implementation == TeeImplementation::kOpTee) return {};
  const std::string name = ImplementationName(version.impl_id);
  if (implementation == TeeImplementation::kQTee) {
    return Error{ErrorCode::kUnsupported, options.device + ": " + name +
                                              " works with objects, not sessions; the host "
                                              "backend cannot use it"};
  }
  if (options.any_implementation) return {};
  return Error{ErrorCode::kUnsupported,
               options.device + ": the TEE is " + name +
                   ", not OP-TEE; name another device (ls /dev/tee*) or allow other "
                   "implementations for this backend"};
}

}  // namespace

// Counts a call as running, for CancelAll() and the destructor.
class HostBackend::CallScope {
 public:
  CallScope(HostBackend& backend, const RunningCall& call) : backend_(backend), call_(call) {
    const std::lock_guard lock(backend.mutex_);
    if (backend.leaving_) {
      refusal_ = kGone;
      return;
    }
    if (call.cancellable && !backend.sessions_.contains(call.session)) {
      refusal_ = kNoSuchSession;
      return;
    }
    call_.thread = pthread_self();
    call_.next = backend.running_;
    if (call_.next != nullptr) call_.next->previous = &call_;
    backend.running_ = &call_;
    ++backend.running_count_;
  }
  ~CallScope() {
    if (!refusal_.ok()) return;
    const std::lock_guard lock(backend_.mutex_);
    (call_.previous != nullptr ? call_.previous->next : backend_.running_) = call_.next;
    if (call_.next != nullptr) call_.next->previous = call_.previous;
    if (--backend_.running_count_ == 0) backend_.idle_.notify_all();
  }
  CallScope(const CallScope&) = delete;
  CallScope& operator=(const CallScope&) = delete;

  const Outcome& refusal() const { return refusal_; }

 private:
  HostBackend& backend_;
  Outcome refusal_;
  RunningCall call_;
};

Result<std::unique_ptr<HostBackend>> HostBackend::Open(HostBackendOptions options) {
  VTEE_ASSIGN_OR_RETURN(std::shared_ptr<TeeDevice> device, OpenTeeDevice(options.device));
  return WithDevice(std::move(device), std::move(options));
}

Result<std::unique_ptr<HostBackend>> HostBackend::WithDevice(std::shared_ptr<TeeDevice> device,
                                                             HostBackendOptions options) {
  tee_ioctl_version_data version{};
  const int result = IoctlRetrying(*device, TEE_IOC_VERSION, &version);
  if (result < 0) {
    Error error = ErrnoError(-result, options.device);
    error.message += "; it does not answer as a TEE device does (TEE_IOC_VERSION)";
    return error;
  }
  VTEE_TRY(CheckVersion(version, options));
  PrepareForNudges();

  const bool register_supported = (version.gen_caps & kGenCapRegisterMemory) != 0;
  tee::BackendCapabilities capabilities;
  capabilities.name = "host";
  capabilities.description = ImplementationName(version.impl_id) + " at " + options.device;
  capabilities.null_memref = (version.gen_caps & kGenCapNullMemref) != 0;
  ReadOsRevision(options.sysfs, options.device, capabilities.os_revision_major,
                 capabilities.os_revision_minor);
  if (!register_supported) {
    Log(LogLevel::kInfo, "host.copies_only",
        {{"device", options.device},
         {"why", "this TEE cannot register memory (TEE_GEN_CAP_REG_MEM is not set)"}});
  }
  return std::unique_ptr<HostBackend>(new HostBackend(std::move(device), std::move(options),
                                                      std::move(capabilities), register_supported));
}

HostBackend::HostBackend(std::shared_ptr<TeeDevice> device, HostBackendOptions options,
                         tee::BackendCapabilities capabilities, bool register_supported)
    : device_(std::move(device)),
      options_(std::move(options)),
      capabilities_(std::move(capabilities)),
      memory_(std::make_shared<MemoryRegistry>(
          device_, MemoryRegistry::Modes{
                       .zero_copy = !options_.always_copy,
                       .register_supported = register_supported,
                       .copy_below = std::min(options_.copy_below, CopySlots::kSlotBytes)})) {}

HostBackend::~HostBackend() {
  CancelAll();
  std::unique_lock lock(mutex_);
  while (!idle_.wait_for(lock, kCancelAgainAfter, [this] { return running_count_ == 0; })) {
    lock.unlock();
    CancelRunning();
    lock.lock();
  }
  lock.unlock();
  CloseEverything();
}

void HostBackend::OnLifeEvent(tee::LifeEvent event, const tee::VmIdentity& vm) {
  if (event != tee::LifeEvent::kReset && event != tee::LifeEvent::kDestroyed) return;
  if (const std::size_t left = calls_in_flight(); left != 0) {
    // Their memory is in use: leave everything to the destructor rather than pull it away.
    Log(LogLevel::kError, "host.reset_while_calling",
        {{"vm", vm.name}, {"calls", std::uint64_t{left}}});
    CancelRunning();
    return;
  }
  CloseEverything();
}

Outcome HostBackend::OpenSession(tee::CallContext& context, const tee::OpenRequest& request,
                                 tee::Params& params, tee::SessionId& session) {
  Outcome refused;
  const std::optional<HostLogin> login = options_.logins.Map(request.login, refused);
  if (!login) {
    LogGuest(LogLevel::kInfo, "host.login_refused",
             {{"ta", ToString(request.application)},
              {"login", Hex(static_cast<std::uint32_t>(request.login))}});
    return refused;
  }
  const CallScope scope(*this, {.session = {}, .operation = context.operation});
  if (!scope.refusal().ok()) return scope.refusal();

  CallMessage<tee_ioctl_open_session_arg> message;
  ParamTranslation translation;
  const Outcome encoded = translation.Encode(params, capabilities_.null_memref, message.params());
  if (!encoded.ok()) return encoded;
  tee_ioctl_open_session_arg& header = message.header();
  std::memcpy(header.uuid, request.application.octets.data(), sizeof header.uuid);
  std::memcpy(header.clnt_uuid, login->client.octets.data(), sizeof header.clnt_uuid);
  header.clnt_login = login->login;
  header.cancel_id = context.operation.value();
  header.num_params = translation.count();

  tee_ioctl_buf_data buffer = message.Buffer();
  const int result = device_->Ioctl(TEE_IOC_OPEN_SESSION, &buffer);
  if (result < 0) return OutcomeFromErrno(-result);
  const Outcome outcome{header.ret, static_cast<Origin>(header.ret_origin)};
  const bool delivered = translation.Decode(message.params(), params);
  if (!outcome.ok()) return delivered ? outcome : kGone;

  const tee::SessionId opened(header.session);
  if (!delivered) {
    CloseOnDevice(opened);  // the guest would never learn of it
    return kGone;
  }
  const auto keep = [&] {
    const std::lock_guard lock(mutex_);
    sessions_.insert(opened);
  };
  if (!WithinMemory(keep)) {
    CloseOnDevice(opened);
    return {tee::code::kOutOfMemory, Origin::kComms};
  }
  session = opened;
  return outcome;
}

Outcome HostBackend::Invoke(tee::CallContext& context, tee::SessionId session,
                            std::uint32_t command, tee::Params& params) {
  const CallScope scope(*this,
                        {.session = session, .operation = context.operation, .cancellable = true});
  if (!scope.refusal().ok()) return scope.refusal();

  CallMessage<tee_ioctl_invoke_arg> message;
  ParamTranslation translation;
  const Outcome encoded = translation.Encode(params, capabilities_.null_memref, message.params());
  if (!encoded.ok()) return encoded;
  tee_ioctl_invoke_arg& header = message.header();
  header.func = command;
  header.session = session.value();
  header.cancel_id = context.operation.value();
  header.num_params = translation.count();

  tee_ioctl_buf_data buffer = message.Buffer();
  const int result = device_->Ioctl(TEE_IOC_INVOKE, &buffer);
  if (result < 0) return OutcomeFromErrno(-result);
  if (!translation.Decode(message.params(), params)) return kGone;
  return {header.ret, static_cast<Origin>(header.ret_origin)};
}

Outcome HostBackend::CloseSession(tee::CallContext&, tee::SessionId session) {
  {
    const std::lock_guard lock(mutex_);
    if (sessions_.erase(session) == 0) return kNoSuchSession;
    ++closing_;
  }
  const Outcome outcome = CloseOnDevice(session);
  const std::lock_guard lock(mutex_);
  --closing_;
  return outcome;
}

Outcome HostBackend::CloseOnDevice(tee::SessionId session) {
  tee_ioctl_close_session_arg argument{};
  argument.session = session.value();
  const int result = device_->Ioctl(TEE_IOC_CLOSE_SESSION, &argument);
  return result < 0 ? OutcomeFromErrno(-result) : Outcome{};
}

Outcome HostBackend::RequestCancel(tee::SessionId session, tee::OperationId operation) {
  tee_ioctl_cancel_arg argument{};
  argument.cancel_id = operation.value();
  argument.session = session.value();
  const int result = IoctlRetrying(*device_, TEE_IOC_CANCEL, &argument);
  if (result < 0) return OutcomeFromErrno(-result);
  // The lock keeps the threads where they are.
  const std::lock_guard lock(mutex_);
  for (const RunningCall* call = running_; call != nullptr; call = call->next) {
    if (call->cancellable && call->session == session) Nudge(call->thread);
  }
  return {};
}

Outcome HostBackend::RequestCancelOpen(tee::OperationId) {
  return {tee::code::kNotSupported, Origin::kComms};
}

Result<std::unique_ptr<tee::RegisteredMemory>> HostBackend::RegisterMemory(
    std::shared_ptr<const tee::SharedMemory> memory) {
  return memory_->Register(std::move(memory));
}

void HostBackend::CancelAll() {
  {
    const std::lock_guard lock(mutex_);
    leaving_ = true;
  }
  CancelRunning();
}

void HostBackend::CancelRunning() {
  std::vector<RunningCall> calls;
  {
    const std::lock_guard lock(mutex_);
    for (const RunningCall* call = running_; call != nullptr; call = call->next) {
      if (call->cancellable) calls.push_back(*call);
    }
  }
  for (const RunningCall& call : calls) RequestCancel(call.session, call.operation);
}

void HostBackend::CloseEverything() {
  std::unordered_set<tee::SessionId> sessions;
  {
    const std::lock_guard lock(mutex_);
    sessions.swap(sessions_);
  }
  for (const tee::SessionId session : sessions) CloseOnDevice(session);
  memory_->RevokeAll();
}

std::size_t HostBackend::calls_in_flight() const {
  const std::lock_guard lock(mutex_);
  return running_count_ + closing_;
}

std::size_t HostBackend::open_sessions() const {
  const std::lock_guard lock(mutex_);
  return sessions_.size();
}

}  // namespace vtee::backend
