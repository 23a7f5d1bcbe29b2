// SPDX-License-Identifier: BSD-3-Clause
// TaInstance: one running instance of a TA: its process, memory, modules and handles.
//
// Dead after a panic, a fault or the end of its process; then every entry is TARGET_DEAD.
// Threading: one thread at a time (TeeCore sees to that), but Kill() and dead() from any.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "ta/core/call.h"
#include "ta/core/entry_params.h"
#include "ta/core/ta_handles.h"
#include "ta/loader/modules.h"
#include "ta/process/runner_process.h"
#include "ta/process/ta_space.h"
#include "tee/types.h"

namespace vtee::ta {

class TeeCore;

// TA_FLAG_*, as in struct ta_head.
inline constexpr std::uint32_t kFlagSingleInstance = 0x4;
inline constexpr std::uint32_t kFlagMultiSession = 0x8;
inline constexpr std::uint32_t kFlagKeepAlive = 0x10;
inline constexpr std::uint32_t kFlagCacheMaintenance = 0x80;
inline constexpr std::uint32_t kFlagKeepCorrupt = 0x800;  // objects stay when found corrupt
inline constexpr std::uint32_t kFlagKeepCrashed = 0x2000;
inline constexpr std::uint32_t kKnownFlags = 0x3FFF;

enum class EntryFunction : std::uint32_t { kOpen = 0, kClose = 1, kInvoke = 2 };

// Who opened a session: gpd.client.identity.
struct ClientIdentity {
  std::uint32_t login = 0;
  tee::Uuid uuid;
};
inline constexpr std::uint32_t kLoginTrustedApp = 0xF0000000;

class TaInstance {
 public:
  struct Limits {
    std::uint64_t private_bytes = 64u << 20;
    std::uint64_t entry_ns = 0;  // how long the TA's code may run in one entry; 0: for ever
  };
  TaInstance(TeeCore& core, const tee::Uuid& uuid, std::unique_ptr<RunnerProcess> process,
             const Limits& limits);
  TaInstance(const TaInstance&) = delete;
  TaInstance& operator=(const TaInstance&) = delete;
  ~TaInstance();

  std::optional<LoadFailure> Load(const Modules::Fetch& fetch);

  // Runs an entry point. The code is the TA's own; TARGET_DEAD when it died meanwhile.
  tee::Outcome Enter(Call& call, Cancellation& cancellation, EntryFunction function,
                     std::uint32_t session, const ClientIdentity& client, std::uint32_t command,
                     EntryParams& params);

  const tee::Uuid& uuid() const { return uuid_; }
  std::uint32_t flags() const { return modules_.head().flags; }
  bool dead() const { return process_->dead(); }
  void Kill() { process_->Kill(); }

  // For system calls.
  TeeCore& core() { return core_; }
  TaSpace& space() { return space_; }
  const TaSpace& space() const { return space_; }
  Modules& modules() { return modules_; }
  const ClientIdentity& client() const { return client_; }
  Cancellation& cancellation() { return *cancellation_; }
  Call& call() { return *call_; }
  // Sessions that the TA has opened; they end with it.
  std::set<std::uint32_t>& sessions() { return sessions_; }
  // Zeroed memory that the TA has asked for: addresses and sizes.
  std::map<std::uint64_t, std::uint64_t>& zeroed_memory() { return zeroed_memory_; }
  TaHandles& handles() { return handles_; }
  tee::Uuid device_id() const;
  // Ends the TA when the system call returns.
  void Panic(std::uint32_t code, std::uint64_t frame);

  // Of the core, under its lock.
  Call* owner = nullptr;
  std::uint32_t session_count = 0;

 private:
  struct MappedParam {
    std::uint64_t address = 0;  // of the first byte
    std::uint64_t start = 0;    // of its pages
    std::uint64_t bytes = 0;    // pages
    std::uint32_t flags = 0;
  };
  bool MapParams(const EntryParams& params);
  bool CopyIn(const EntryParams& params, const UteeParams& raw);
  bool TakeBack(EntryParams& params);
  std::optional<std::uint32_t> Run(runner::Request request);
  bool Describe(EntryParams& params, UteeParams& raw) const;
  void ReportFault();
  enum class Stop : std::uint8_t { kPanic, kFault };
  void ReportRegisters(Stop stop);
  void SayHowToDebug() const;
  void ReportPanic(const std::string& what, std::uint64_t pc, std::uint64_t fp);

  TeeCore& core_;
  const tee::Uuid uuid_;
  const Limits limits_;
  const std::unique_ptr<RunnerProcess> process_;
  TaSpace space_;
  Modules modules_;
  std::uint64_t stack_top_ = 0;

  // Of the entry that runs.
  Call* call_ = nullptr;
  Cancellation* cancellation_ = nullptr;
  ClientIdentity client_;
  bool panicked_ = false;

  std::array<MappedParam, kParams> mapped_{};
  std::set<std::uint32_t> sessions_;
  TaHandles handles_;
  std::map<std::uint64_t, std::uint64_t> zeroed_memory_;
};

}  // namespace vtee::ta
