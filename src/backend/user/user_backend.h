// SPDX-License-Identifier: BSD-3-Clause
// UserBackend: a TEE of sandboxed processes, private to this VM, that runs OP-TEE's TAs (src/ta).
//
// Threading: as tee::Backend. Memory it registered is copied into and out of TAs, never mapped, so
// that a TA sees no more of the guest than it is given, and none of it changes under its hands.
// Not supported: pseudo-TAs that stand for devices.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "ta/core/tee_core.h"
#include "tee/backend.h"

namespace vtee::backend {

struct UserBackendOptions {
  bool development_keys = false;       // OP-TEE's public ones: tests and demonstrations only
  std::vector<std::string> key_files;  // PEM
  std::vector<std::string> ta_folders;
  bool guest_tas = true;
  std::uint32_t ta_seconds = 300;  // that a TA's code may run in one call; 0: no end
  // Where objects, versions and keys are kept; empty: in memory, until vteed ends.
  std::string state_folder;
  std::string state_key;                 // a file, or "tpm:"; empty: beside the folder, FOLDER.key
  std::uint32_t state_count_every = 16;  // changes for one step of the TPM's counter
  int state_key_fd = -1;  // or an open descriptor, which is closed once it has been read
  tee::Uuid vm;           // whose state it is
  std::string vm_name;
  std::uint64_t max_storage = 64u << 20;  // bytes
  std::uint16_t debug_port = 0;  // each TA waits for a debugger there, or at the next free port
  std::uint32_t pool = 1;        // processes of TAs that are started ahead
};

class UserBackend final : public tee::Backend, public tee::SessionTee {
 public:
  static Result<std::unique_ptr<UserBackend>> Open(const UserBackendOptions& options);
  ~UserBackend() override;
  UserBackend(const UserBackend&) = delete;
  UserBackend& operator=(const UserBackend&) = delete;

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
  class Operation;
  UserBackend(ta::TeeOptions options, std::unique_ptr<ta::TeeState> state);

  tee::BackendCapabilities capabilities_;
  ta::TeeCore core_;
  std::mutex mutex_;
  std::map<tee::OperationId, ta::Cancellation*> operations_;
};

}  // namespace vtee::backend
