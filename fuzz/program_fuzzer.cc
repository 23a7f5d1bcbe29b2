// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes vteed as hostile programs reach it: what several of them send on the program socket and on
// their lanes, with what descriptors, and when they leave.
//
// Input: actions, see Action. The server is vteed's own, with its threads; the TEE is the fake one.
// What must hold: a request of a program that keeps to the protocol is answered, whatever the
// others do; when the programs have left, or vteed ends, the TEE has no session, no buffer and no
// call of theirs; no descriptor stays open.
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "backend/fake/fake_backend.h"
#include "base/clock.h"
#include "base/log.h"
#include "daemon/program_server.h"
#include "fuzz_input.h"
#include "hostile_program.h"

namespace vtee::daemon {
namespace {

namespace fake = backend::fake;
using std::chrono::milliseconds;

enum class Action : std::uint8_t {
  kConnect,
  kHello,
  kLane,
  kRequest,
  kAwait,
  kCancel,
  kSpoil,
  kCloseLane,
  kLeave,
  kSendOnFirst,
  kSendRaw,
  kPause,
  kActions,
};

constexpr std::size_t kMaxActions = 48;
constexpr std::size_t kMaxPrograms = 4;
constexpr std::uint64_t kPatienceNanos = 10'000'000'000;

// The slow application, for fuzzing: 0 and an open with a value wait until they are cancelled (an
// open only a little), 1 does not look, others ask the program.
tee::Outcome AskProgram(backend::FakeCall& call) {
  std::vector<std::byte> sent(call.command(), std::byte{'i'});
  std::vector<std::byte> got(call.command() * 3);
  tee::Upcall upcall;
  upcall.kind = tee::UpcallKind::kSocket;
  using Kind = tee::UpcallParam::Kind;
  upcall.params[0] = {Kind::kValueInOut, 3, 4, 5, {}, 0};
  upcall.params[1] = {Kind::kBytesIn, 0, 0, 0, sent, sent.size()};
  upcall.params[2] = {Kind::kBytesOut, 0, 0, 0, got, got.size()};
  return call.Upcall(upcall);
}

constexpr tee::Outcome kCancelled{tee::code::kCancel, tee::Origin::kTrustedApp};

backend::FakeApplication SlowAndAsking() {
  backend::FakeApplication application;
  application.name = "slow";
  application.open = [](backend::FakeCall& call) -> tee::Outcome {
    if (call.param(0).kind != tee::Param::Kind::kValue) return {};
    return call.WaitCancelled(milliseconds(3)) ? kCancelled : tee::Outcome{};
  };
  application.invoke = [](backend::FakeCall& call) -> tee::Outcome {
    if (call.command() == 0) {
      return call.WaitCancelled(milliseconds(60'000)) ? kCancelled : tee::Outcome{};
    }
    if (call.command() > 1) return AskProgram(call);
    std::this_thread::sleep_for(milliseconds(2));
    return {tee::code::kSuccess, tee::Origin::kTrustedApp};
  };
  return application;
}

class World {
 public:
  explicit World(Input input) : input_(input) {
    policy_.max_calls = HostileProgram::kLanesGranted;
    policy_.max_sessions = 8;
    policy_.max_shm_bytes = 1 << 20;
    policy_.denied_applications.insert(fake::kRngUuid);
    tee_->SetApplication(fake::kSlowUuid, SlowAndAsking());
    auto created = ProgramServer::Create(path_, *tee_, policy_);
    Require(created.ok());
    server_ = std::move(created).value();
    // vteed ends before its programs, or after.
    stop_first_ = (input_.Take<std::uint8_t>() & 1) != 0;
  }

  void Run() {
    for (std::size_t i = 0; i < kMaxActions && !input_.empty(); ++i) Act();
    if (stop_first_) server_->Stop();
    for (auto& program : programs_) program->Leave();
    const std::uint64_t start = MonotonicNanos();
    while (!NothingIsLeft()) {
      Require(MonotonicNanos() - start < kPatienceNanos);
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
    server_.reset();  // waits for its threads
  }

 private:
  void Act() {
    const auto action = static_cast<Action>(input_.Take<std::uint8_t>() %
                                            static_cast<std::uint8_t>(Action::kActions));
    if (action == Action::kConnect) return Connect();
    if (action == Action::kSpoil) return descriptors_.Spoil(input_);
    if (action == Action::kPause) {
      // Lets vteed's threads get on.
      std::this_thread::sleep_for(std::chrono::microseconds(input_.Take<std::uint8_t>()));
      return;
    }
    if (programs_.empty()) Connect();
    HostileProgram& program = *programs_[input_.Take<std::uint8_t>() % programs_.size()];
    switch (action) {
      case Action::kHello:
        return program.Hello(input_);
      case Action::kLane:
        return program.AddLane(input_);
      case Action::kRequest:
        return program.Request(input_);
      case Action::kAwait:
        return program.Await(input_);
      case Action::kCancel:
        return program.Cancel(input_);
      case Action::kCloseLane:
        return program.CloseLane(input_);
      case Action::kLeave:
        return program.Leave();
      case Action::kSendOnFirst:
        return program.SendOnFirst(input_);
      case Action::kSendRaw:
        return program.SendRaw(input_);
      default:
        return;
    }
  }
  void Connect() {
    if (programs_.size() == kMaxPrograms) return;
    programs_.push_back(std::make_unique<HostileProgram>(path_, descriptors_));
    server_->Accept();
  }
  bool NothingIsLeft() const {
    const backend::FakeCounters now = tee_->counters();
    return now.open_sessions == 0 && now.registered_memories == 0 && now.calls_in_flight == 0;
  }

  Input input_;
  const std::string path_ = "/tmp/vtee-program-fuzzer-" + std::to_string(getpid());
  mediator::Policy policy_;
  const std::unique_ptr<backend::FakeBackend> tee_ = backend::FakeBackend::WithDefaultScript();
  const ProgramDescriptors descriptors_;
  std::unique_ptr<ProgramServer> server_;
  std::vector<std::unique_ptr<HostileProgram>> programs_;
  bool stop_first_ = false;
};

void RunOne(const std::uint8_t* data, std::size_t size) { World({data, size}).Run(); }

int CountDescriptors() {
  DIR* folder = opendir("/proc/self/fd");
  Require(folder != nullptr);
  int count = 0;
  while (readdir(folder) != nullptr) ++count;
  closedir(folder);
  return count;
}

}  // namespace
}  // namespace vtee::daemon

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vtee::SetLogLevel(vtee::LogLevel::kError);
  static const bool warm = (vtee::daemon::RunOne(data, size), true);  // makes what is made once
  static const int before = vtee::daemon::CountDescriptors();
  if (warm) vtee::daemon::RunOne(data, size);
  vtee::Require(vtee::daemon::CountDescriptors() == before);
  return 0;
}
