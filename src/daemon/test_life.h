// SPDX-License-Identifier: BSD-3-Clause
// TestLife: the whole life of a VM that uses its TEE, as a VMM with two vCPUs and a guest's driver
// see it: hello, slots, interrupt, calls of every kind, cancellation, pause, reset, the end.
//
// It goes through include/vtee/vmm.h to a vteed with the fake backend, and judges every answer.
// Threading: Run() from one thread; it starts the second vCPU's itself. No GoogleTest here: it is
// a program of its own (test_life_vmm.cc), so that it can be stopped and killed.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <set>
#include <span>
#include <vector>

#include "base/unique_fd.h"
#include "dialect/optee/wire.h"
#include "tee/types.h"
#include "vtee/vmm.h"

namespace vtee::daemon {

// How answers are judged. An answer that says "success" must be right in any case.
enum class LifeJudge : std::uint32_t {
  kStrict,     // nothing may go wrong
  kUntilLost,  // nothing may go wrong before vteed is lost; then every call is NOT_SUPPORTED
  kAnswered,   // calls may fail, but each is answered
};

// In memory that the test shares with the VMM's process.
struct LifeShared {
  LifeJudge judge;
  // The TEE is no fake: OP-TEE with xtest's os_test TA. What it answers is not judged.
  bool real_tee;
  std::uint32_t look_at_vteed;  // pid of the vteed to look at before the end, or 0
  std::atomic<std::uint32_t> calls;
  std::atomic<std::uint32_t> in_call;  // vCPUs that are inside vtee_vm_call()
  std::atomic<std::uint32_t> interruptions;
  std::atomic<std::uint32_t> sentences;
  std::atomic<std::uint32_t> failures;
  std::uint32_t attached;
  std::uint32_t lost;
  // Of vteed, after the guest's restart; 0 when it could not be looked at.
  std::uint32_t descriptors;
  std::uint32_t threads;
  std::uint32_t guest_mappings;
  std::uint32_t own_descriptors;  // of the VMM, that it has too many at the end
  char failure[200];              // the first thing that was wrong
};

class TestLife {
 public:
  explicit TestLife(LifeShared& shared);
  ~TestLife();
  TestLife(const TestLife&) = delete;
  TestLife& operator=(const TestLife&) = delete;

  void Run(int control_fd);

 private:
  static constexpr std::uint64_t kRam = 0x4000'0000;
  static constexpr std::uint64_t kRamBytes = 64 * 4096;
  static constexpr std::uint64_t kDevice = 0x8000'0000;  // a second slot
  static constexpr std::uint64_t kDeviceBytes = 16 * 4096;

  struct Message {
    optee::MsgHeader header{};
    std::array<optee::MsgParam, optee::kMaxUsedParams> params{};
  };
  struct Answer {
    std::uint64_t a0 = 0;
    Message message;
    bool ok() const { return a0 == optee::ret::kOk && message.header.ret == tee::code::kSuccess; }
  };

  bool Attach(int control_fd);
  void SetUp();
  void UseMemory();
  void Upcalls();
  void TakeLong();
  void CancelWhatTakesLong();
  void PauseAndMove();
  void Restart();
  void LookAtVteed();

  std::array<std::uint64_t, VTEE_CALL_REGISTERS> Smc(std::uint32_t vcpu,
                                                     std::array<std::uint64_t, 6> registers);
  std::uint64_t Fast(std::uint32_t function, std::uint64_t a1 = 0);
  Answer Yield(std::uint32_t vcpu, const Message& message,
               std::uint32_t function = optee::smc::kCallWithRpcArg);
  void AnswerRpc(std::uint32_t vcpu, std::uint64_t at);
  bool WaitNotification(std::uint32_t vcpu, std::uint32_t value);
  Answer Open(const tee::Uuid& application);
  Answer Invoke(std::uint32_t vcpu, std::uint32_t session, std::uint32_t function,
                std::vector<optee::MsgParam> params, std::uint32_t cancel_id = 0,
                std::uint32_t smc = optee::smc::kCallWithRpcArg);
  Answer Command(std::uint32_t command, std::uint32_t session,
                 std::vector<optee::MsgParam> params = {}, std::uint32_t cancel_id = 0);
  int SetSlot(std::uint32_t slot, std::uint64_t at, std::uint64_t bytes, const UniqueFd& file);

  // What must be so unless something was made to fail; what must be so even then.
  void Expect(bool good, const char* what);
  void Demand(bool good, const char* what);
  bool Lost();
  std::byte* At(std::uint64_t address) { return ram_ + (address - kRam); }

  LifeShared& shared_;
  vtee_vm* vm_ = nullptr;
  UniqueFd ram_file_;
  UniqueFd device_file_;
  UniqueFd interrupt_;
  std::byte* ram_ = nullptr;
  std::mutex mutex_;
  std::set<std::uint32_t> notified_;
};

// Descriptors that process `pid` has open; 0 when it cannot be seen.
std::uint32_t CountDescriptors(std::uint32_t pid);

}  // namespace vtee::daemon
