// SPDX-License-Identifier: BSD-3-Clause
#include "backend/user/user_backend.h"

#include <fstream>
#include <sstream>

#include "base/log.h"
#include "base/unique_fd.h"

namespace vtee::backend {
namespace {

class GuestMemory final : public tee::RegisteredMemory, public ta::MemorySource {
 public:
  explicit GuestMemory(std::shared_ptr<const tee::SharedMemory> guest) : guest_(std::move(guest)) {}
  std::uint64_t size() const override { return guest_->size(); }
  bool Read(std::uint64_t offset, std::span<std::byte> out) const override {
    return guest_->Read(offset, out);
  }
  bool Write(std::uint64_t offset, std::span<const std::byte> bytes) const override {
    return guest_->Write(offset, bytes);
  }

 private:
  std::shared_ptr<const tee::SharedMemory> guest_;
};

ta::EntryParams ToEntry(const tee::Params& params) {
  ta::EntryParams out{};
  for (std::size_t i = 0; i < params.size(); ++i) {
    out[i].kind = params[i].kind;
    out[i].direction = params[i].direction;
    out[i].a = params[i].a;
    out[i].b = params[i].b;
    // A backend only gets what it has made itself.
    out[i].memory = static_cast<const GuestMemory*>(params[i].memory);
    out[i].offset = params[i].offset;
    out[i].size = params[i].size;
  }
  return out;
}

void FromEntry(const ta::EntryParams& entry, tee::Params& params) {
  for (std::size_t i = 0; i < params.size(); ++i) {
    if (!entry[i].comes_out()) continue;
    if (entry[i].is_value()) {
      params[i].a = entry[i].a;
      params[i].b = entry[i].b;
    } else if (entry[i].is_memory()) {
      params[i].size = entry[i].size;
    }
  }
}

Result<std::string> ReadText(const std::string& path) {
  std::ifstream file(path);
  if (!file) return ErrnoError(errno, "reading " + path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

Result<std::unique_ptr<ta::TeeState>> OpenState(const UserBackendOptions& options) {
  const UniqueFd key(options.state_key_fd);
  if (options.state_folder.empty()) {
    Log(LogLevel::kWarning, "state.memory",
        {{"what", "what TAs store ends with this process"}, {"remedy", "state=FOLDER"}});
    return ta::TeeState::InMemory(options.max_storage);
  }
  ta::DiskStateOptions place;
  place.directory = options.state_folder;
  place.state_key = options.state_key;
  place.count_every = options.state_count_every;
  place.key_fd = key.get();
  place.vm = options.vm;
  place.vm_name = options.vm_name;
  place.most_bytes = options.max_storage;
  return ta::TeeState::OnDisk(place);
}

}  // namespace

// A call while it runs, for those who cancel it.
class UserBackend::Operation {
 public:
  Operation(UserBackend& backend, tee::CallContext& context)
      : call{context, {}, 0, nullptr}, backend_(backend) {
    const std::lock_guard lock(backend_.mutex_);
    backend_.operations_[context.operation] = &call.cancellation;
  }
  ~Operation() {
    const std::lock_guard lock(backend_.mutex_);
    backend_.operations_.erase(call.context.operation);
  }
  Operation(const Operation&) = delete;
  Operation& operator=(const Operation&) = delete;
  ta::Call call;

 private:
  UserBackend& backend_;
};

UserBackend::UserBackend(ta::TeeOptions options, std::unique_ptr<ta::TeeState> state)
    : core_(std::move(options), std::move(state)) {
  capabilities_.name = "user";
  capabilities_.description = "TAs in sandboxed processes";
  capabilities_.null_memref = true;
  capabilities_.cancel_open = true;
}

UserBackend::~UserBackend() = default;

Result<std::unique_ptr<UserBackend>> UserBackend::Open(const UserBackendOptions& options) {
  ta::TeeOptions tee;
  VTEE_ASSIGN_OR_RETURN(tee.program, ta::RunnerProgram::Find(options.debug_port));
  if (options.debug_port != 0) {
    Log(LogLevel::kWarning, "ta.debug",
        {{"what", "TAs wait for debuggers, and their processes may make any system call"},
         {"remedy", "for development only; leave gdb=PORT out"}});
  }
  for (const std::string& path : options.key_files) {
    VTEE_ASSIGN_OR_RETURN(const std::string text, ReadText(path));
    VTEE_TRY(tee.sources.roots.AddPem(text, path));
  }
  if (options.development_keys) {
    VTEE_TRY(tee.sources.roots.AddDevelopmentKeys());
    Log(LogLevel::kWarning, "keys.development",
        {{"what",
          "TAs signed with OP-TEE's public development keys are run: everybody can make "
          "one"},
         {"remedy", "name your own key: keys=FILE.pem"}});
  }
  if (tee.sources.roots.keys().empty()) {
    return Error{ErrorCode::kInvalidArgument,
                 "no key is trusted to sign TAs; add keys=FILE.pem, or for a test "
                 "keys=development, to the backend's options"};
  }
  tee.sources.folders = options.ta_folders;
  tee.sources.guest = options.guest_tas;
  tee.pool = options.pool;
  tee.ta_seconds = options.ta_seconds;
  VTEE_ASSIGN_OR_RETURN(auto state, OpenState(options));
  return std::unique_ptr<UserBackend>(new UserBackend(std::move(tee), std::move(state)));
}

void UserBackend::OnLifeEvent(tee::LifeEvent event, const tee::VmIdentity&) {
  if (event == tee::LifeEvent::kDestroyed) core_.KillAll();
}

tee::Outcome UserBackend::OpenSession(tee::CallContext& context, const tee::OpenRequest& request,
                                      tee::Params& params, tee::SessionId& session) {
  Operation operation(*this, context);
  ta::EntryParams entry = ToEntry(params);
  std::uint32_t id = 0;
  const ta::ClientIdentity client{static_cast<std::uint32_t>(request.login), request.client};
  const tee::Outcome outcome = core_.OpenSession(operation.call, operation.call.cancellation,
                                                 nullptr, client, request.application, entry, id);
  FromEntry(entry, params);
  session = tee::SessionId(id);
  return outcome;
}

tee::Outcome UserBackend::Invoke(tee::CallContext& context, tee::SessionId session,
                                 std::uint32_t command, tee::Params& params) {
  Operation operation(*this, context);
  ta::EntryParams entry = ToEntry(params);
  const tee::Outcome outcome = core_.Invoke(operation.call, operation.call.cancellation, nullptr,
                                            session.value(), command, entry);
  FromEntry(entry, params);
  return outcome;
}

tee::Outcome UserBackend::CloseSession(tee::CallContext& context, tee::SessionId session) {
  Operation operation(*this, context);
  return core_.CloseSession(operation.call, session.value());
}

tee::Outcome UserBackend::RequestCancel(tee::SessionId, tee::OperationId operation) {
  return RequestCancelOpen(operation);
}

tee::Outcome UserBackend::RequestCancelOpen(tee::OperationId operation) {
  const std::lock_guard lock(mutex_);
  const auto found = operations_.find(operation);
  if (found == operations_.end()) return {tee::code::kItemNotFound, tee::Origin::kTee};
  found->second->Request();
  return {};
}

Result<std::unique_ptr<tee::RegisteredMemory>> UserBackend::RegisterMemory(
    std::shared_ptr<const tee::SharedMemory> memory) {
  return std::unique_ptr<tee::RegisteredMemory>(std::make_unique<GuestMemory>(std::move(memory)));
}

}  // namespace vtee::backend
