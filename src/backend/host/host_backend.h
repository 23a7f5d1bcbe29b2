// SPDX-License-Identifier: BSD-3-Clause
// HostBackend: a VM's TEE is the host's own, through the TEE subsystem's /dev/teeN.
//
// One open file per VM: shared memory dies with it, whatever happens to vteed, and sessions do
// unless Linux keeps the client (docs/compatibility.md, row 22), which is why leaving closes them.
//
// Threading: as tee/session_tee.h; calls of different threads run side by side in the kernel.
// Ownership: owns the device. Memory it registered may outlive it but then stands for nothing.
// Leaving: CancelAll(), then wait for the calls to return, then destroy. The destructor does
// the same. A process that exits without it loses nothing but time: the kernel ends each call
// before the process is gone (a command in the TEE cannot be killed), then closes the rest.
//
// What /dev/teeN cannot carry, and how vtee answers:
//   * client identities of guest users, and the kernel's login: login_policy.h.
//   * cancelling an OpenSession that has not returned: kNotSupported (the kernel cancels within
//     a session only). Cancelling an invocation works. OP-TEE cancels a *session*: it ignores
//     the operation's id, and a TA that unmasked cancellation stays cancelled. A cancellation is
//     itself a call that waits while all of OP-TEE's threads are busy, and a TA in TEE_Wait()
//     sees it only when the wait is over (core/tee/tee_svc.c, syscall_wait), so leaving can take
//     as long as a TA waits.
//   * upcalls to the guest: TA files, secure storage, RPMB, time, sockets and plug-ins are served
//     by the *host's* tee-supplicant. Guests that use the same TA share its storage and, if
//     it is a single-instance TA, its memory. Keep an allow-list of TAs per VM.
//   * more than four parameters, parameter c of values as an output: OP-TEE has neither.
//   * protected memory, RPMB probing, I2C to guest buses, partitions of OP-TEE per VM.
#pragma once

#include <pthread.h>

#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <unordered_set>

#include "backend/host/host_memory.h"
#include "backend/host/login_policy.h"
#include "backend/host/tee_device.h"
#include "base/result.h"
#include "tee/backend.h"
#include "tee/session_tee.h"

namespace vtee::backend {

struct HostBackendOptions {
  std::string device = "/dev/tee0";
  LoginPolicy logins{};
  // Copies guest buffers instead of sharing the guest's pages with the TEE. Slower; a guest can
  // then not change a buffer while a TA reads it.
  bool always_copy = false;
  // Copies references of fewer bytes while their buffer is new (host_memory.h); 0: never.
  std::uint64_t copy_below = 0;
  // Accepts TEEs other than OP-TEE that speak sessions (AMD-TEE, TS-TEE). Not tested.
  bool any_implementation = false;
  std::string sysfs = "/sys";
};

class HostBackend final : public tee::Backend, public tee::SessionTee {
 public:
  static Result<std::unique_ptr<HostBackend>> Open(HostBackendOptions options);
  // As Open(), on a device that is open already.
  static Result<std::unique_ptr<HostBackend>> WithDevice(std::shared_ptr<TeeDevice> device,
                                                         HostBackendOptions options);
  // Cancels what runs and waits for it to return.
  ~HostBackend() override;
  HostBackend(const HostBackend&) = delete;
  HostBackend& operator=(const HostBackend&) = delete;

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

  // The VM is gone: refuses further opens and invocations (COMMUNICATION) and asks every running
  // invocation to stop. May be repeated while calls_in_flight() is not 0, since a TA may only
  // look for a cancellation later. Any thread.
  void CancelAll();
  std::size_t calls_in_flight() const;
  std::size_t open_sessions() const;
  std::size_t registered_memories() const { return memory_->count(); }

 private:
  // A link of the list of what runs; on the stack of the call itself, so that none allocates.
  struct RunningCall {
    tee::SessionId session;  // of an open: none yet
    tee::OperationId operation;
    bool cancellable = false;
    pthread_t thread{};
    RunningCall* previous = nullptr;
    RunningCall* next = nullptr;
  };
  class CallScope;

  HostBackend(std::shared_ptr<TeeDevice> device, HostBackendOptions options,
              tee::BackendCapabilities capabilities, bool register_supported);

  tee::Outcome CloseOnDevice(tee::SessionId session);
  void CancelRunning();
  void CloseEverything();

  const std::shared_ptr<TeeDevice> device_;
  const HostBackendOptions options_;
  const tee::BackendCapabilities capabilities_;
  const std::shared_ptr<MemoryRegistry> memory_;

  mutable std::mutex mutex_;
  std::condition_variable idle_;
  bool leaving_ = false;
  RunningCall* running_ = nullptr;  // the latest
  std::size_t running_count_ = 0;
  std::size_t closing_ = 0;  // sessions being closed
  std::unordered_set<tee::SessionId> sessions_;
};

}  // namespace vtee::backend
