// SPDX-License-Identifier: BSD-3-Clause
// TeeCore: the userspace TEE of one VM: its instances, sessions and pseudo-TAs.
//
// Who calls is a guest (through the backend), a program, or a TA. Rules of instances and sessions
// are OP-TEE's (optee_os 4.10 core/kernel/tee_ta_manager.c), except that single-instance TAs do
// not share one lock: only what would wait for itself is refused (BUSY).
// Threading: every method, any thread, concurrently. Calls block until the TA has answered.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "ta/core/call.h"
#include "ta/core/entry_params.h"
#include "ta/core/pseudo_ta.h"
#include "ta/core/ta_files.h"
#include "ta/core/ta_instance.h"
#include "ta/core/tee_state.h"
#include "ta/process/runner_starter.h"
#include "ta/storage/stored_objects.h"

namespace vtee::ta {

struct TeeOptions {
  RunnerProgram program;
  TaSources sources;
  std::uint64_t ta_memory = 64u << 20;  // bytes of a TA's own
  std::uint64_t arena_size = 256u << 20;
  std::uint32_t max_instances = 128;
  std::uint32_t pool = 1;          // processes of TAs that are started ahead
  std::uint32_t ta_seconds = 300;  // for the code of a TA in one entry; 0: no end
};

class TeeCore {
 public:
  TeeCore(TeeOptions options, std::unique_ptr<TeeState> state);
  TeeCore(const TeeCore&) = delete;
  TeeCore& operator=(const TeeCore&) = delete;
  ~TeeCore();

  void AddPseudoTa(const tee::Uuid& uuid, std::unique_ptr<PseudoTa> application);

  // `caller`: the TA whose system call this is; null: the guest or a program.
  tee::Outcome OpenSession(Call& call, Cancellation& cancellation, TaInstance* caller,
                           const ClientIdentity& client, const tee::Uuid& uuid, EntryParams& params,
                           std::uint32_t& session);
  tee::Outcome Invoke(Call& call, Cancellation& cancellation, TaInstance* caller,
                      std::uint32_t session, std::uint32_t command, EntryParams& params);
  tee::Outcome CloseSession(Call& call, std::uint32_t session);
  // Ends every TA at once; calls that run in them return TARGET_DEAD.
  void KillAll();

  bool IsPseudoTa(const tee::Uuid& uuid) const { return pseudo_tas_.contains(uuid); }
  std::vector<tee::Uuid> PseudoDevices() const;
  bool IsPseudoSession(std::uint32_t session);
  StoredObjects& storage() { return storage_; }
  TeeState& state() { return *state_; }
  TaFiles& files() { return files_; }
  std::chrono::steady_clock::time_point started() const { return started_; }
  // The TAs that run, as they are now; those started ahead are not among them.
  struct Running {
    tee::Uuid uuid;
    bool dead = false;
    std::uint32_t sessions = 0;
    std::uint64_t bytes = 0;  // of its own
  };
  std::vector<Running> RunningTas();
  const TeeOptions& options() const { return options_; }
  // Processes that have been started ahead.
  std::vector<pid_t> pooled() { return starter_.pooled(); }

 private:
  struct Session {
    std::uint32_t id = 0;
    ClientIdentity client;
    std::shared_ptr<TaInstance> instance;  // or
    PseudoTa* pseudo = nullptr;
  };
  class Turn;

  tee::Outcome OpenPseudo(Call& call, TaInstance* caller, PseudoTa& application,
                          const ClientIdentity& client, EntryParams& params,
                          std::uint32_t& session);
  // A running instance to open a session with, which counts already; or why there is none.
  tee::Outcome TakeInstance(Call& call, const tee::Uuid& uuid,
                            std::shared_ptr<TaInstance>& instance);
  // Nothing: it has to be started, by the caller alone; or one has crashed, which is returned and
  // whose sessions have to be closed before the next try.
  std::optional<tee::Outcome> TakeRunning(const tee::Uuid& uuid,
                                          std::shared_ptr<TaInstance>& instance,
                                          std::shared_ptr<TaInstance>& crashed);
  tee::Outcome StartInstance(Call& call, const tee::Uuid& uuid,
                             std::shared_ptr<TaInstance>& instance);
  void DropSession(Call& call, const std::shared_ptr<TaInstance>& instance);
  // Closes what an instance that is no more has opened.
  void CloseSessionsOf(Call& call, TaInstance& instance);
  std::shared_ptr<Session> FindSession(std::uint32_t id);
  std::uint32_t NewSessionId();
  bool WouldWaitForItself(const Call& call, const TaInstance& instance) const;

  const TeeOptions options_;
  RunnerStarter starter_;  // outlives the processes it has started
  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  std::map<tee::Uuid, std::unique_ptr<PseudoTa>> pseudo_tas_;
  const std::unique_ptr<TeeState> state_;
  StoredObjects storage_;
  TaFiles files_;

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::uint32_t, std::shared_ptr<Session>> sessions_;
  std::vector<std::shared_ptr<TaInstance>> instances_;
  std::set<tee::Uuid> loading_;
  std::uint32_t next_session_ = 1;
  bool ending_ = false;
};

}  // namespace vtee::ta
