// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/test_life.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>

#include "backend/fake/fake_application.h"
#include "base/clock.h"

namespace vtee::daemon {
namespace {

namespace attr = optee::attr;
namespace cmd = optee::cmd;
namespace fake = backend::fake;
namespace ret = optee::ret;
namespace smc = optee::smc;
using optee::MsgHeader;
using optee::MsgParam;
using optee::MsgSize;

constexpr std::uint64_t kMillisecond = 1'000'000;
// A vCPU that waits longer than this for vteed wants its thread back.
constexpr std::uint64_t kPatience = 15 * kMillisecond;
constexpr std::uint64_t kNotSupported = ~std::uint64_t{0};
constexpr std::uint32_t kCancelId = 77;
constexpr std::uint64_t kCookie = 0x1234;
constexpr std::size_t kBufferBytes = 3 * 4096 + 100;
constexpr std::uint64_t kPageBytes = 4096;

// Of a real TEE: optee_test, ta/os_test.
constexpr tee::Uuid kOsTestUuid{{0x5b, 0x9e, 0x0e, 0x40, 0x26, 0x36, 0x11, 0xe1, 0xad, 0x9e, 0x00,
                                 0x02, 0xa5, 0xd5, 0xc5, 0x1b}};
constexpr std::uint32_t kOsTestWait = 9;
constexpr std::uint32_t kNoSuchCommand = 0x7FFF0000;

MsgParam Value(std::uint64_t direction, std::uint64_t a = 0) { return {direction, {a, 0, 0}}; }

UniqueFd MakeFile(const char* name, std::uint64_t bytes) {
  UniqueFd file(memfd_create(name, MFD_CLOEXEC));
  if (!file || ftruncate(file.get(), static_cast<off_t>(bytes)) != 0) std::abort();
  return file;
}

struct StopAfter {
  std::uint64_t deadline;
  static int Asked(void* context, int) {
    return MonotonicNanos() > static_cast<StopAfter*>(context)->deadline ? 1 : 0;
  }
};

}  // namespace

std::uint32_t CountDescriptors(std::uint32_t pid) {
  std::error_code error;
  std::uint32_t count = 0;
  const std::string folder = "/proc/" + std::to_string(pid) + "/fd";
  for (auto it = std::filesystem::directory_iterator(folder, error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    ++count;
  }
  return count;
}

TestLife::TestLife(LifeShared& shared)
    : shared_(shared),
      ram_file_(MakeFile("life-ram", kRamBytes)),
      device_file_(MakeFile("life-device", kDeviceBytes)),
      interrupt_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  void* base = mmap(nullptr, kRamBytes, PROT_READ | PROT_WRITE, MAP_SHARED, ram_file_.get(), 0);
  if (base == MAP_FAILED) std::abort();
  ram_ = static_cast<std::byte*>(base);
}

TestLife::~TestLife() { munmap(ram_, kRamBytes); }

void TestLife::Demand(bool good, const char* what) {
  if (good || shared_.failures.fetch_add(1) != 0) return;
  std::snprintf(shared_.failure, sizeof shared_.failure, "%s", what);
}

void TestLife::Expect(bool good, const char* what) {
  if (good || shared_.judge == LifeJudge::kAnswered) return;
  Demand(shared_.judge == LifeJudge::kUntilLost && Lost(), what);
}

bool TestLife::Lost() { return vtee_vm_alive(vm_) == 0; }

void TestLife::Run(int control_fd) {
  const std::uint32_t before = CountDescriptors(static_cast<std::uint32_t>(getpid()));
  shared_.attached = Attach(control_fd) ? 1 : 0;
  Demand(shared_.attached != 0 || shared_.judge != LifeJudge::kStrict, "attach");
  if (shared_.attached != 0) {
    SetUp();
    UseMemory();
    Upcalls();
    TakeLong();
    CancelWhatTakesLong();
    PauseAndMove();
    Restart();
    if (shared_.look_at_vteed != 0) LookAtVteed();
    shared_.lost = Lost() ? 1 : 0;
    Demand(shared_.lost == (vtee_vm_error(vm_)[0] != '\0' ? 1u : 0u), "the sentence when lost");
    vtee_vm_detach(vm_);
  } else {
    close(control_fd);
  }
  // The control socket has gone with the VM.
  const std::uint32_t after = CountDescriptors(static_cast<std::uint32_t>(getpid()));
  shared_.own_descriptors = after + 1 - before;
}

bool TestLife::Attach(int control_fd) {
  std::array<char, 512> error{};
  vtee_attach attach{};
  attach.size = sizeof attach;
  attach.vcpus = 2;
  attach.control_fd = control_fd;
  attach.timeout_ms = 10'000;
  attach.message = [](void* context, const char* sentence) {
    static_cast<TestLife*>(context)->shared_.sentences.fetch_add(1);
    std::fprintf(stderr, "life: %s\n", sentence);
  };
  attach.message_context = this;
  attach.error = error.data();
  attach.error_size = error.size();
  if (vtee_vm_attach(&attach, &vm_) == 0) return true;
  Demand(error[0] != '\0', "a sentence for a failed attach");
  shared_.sentences.fetch_add(1);
  std::fprintf(stderr, "life: %s\n", error.data());
  return false;
}

int TestLife::SetSlot(std::uint32_t slot, std::uint64_t at, std::uint64_t bytes,
                      const UniqueFd& file) {
  const vtee_slot given{sizeof given, slot, at, bytes, 0, file.get(), 0, nullptr};
  return vtee_vm_set_slot(vm_, &given);
}

void TestLife::SetUp() {
  Expect(vtee_vm_set_interrupt(vm_, interrupt_.get()) == 0, "interrupt");
  Expect(SetSlot(0, kRam, kRamBytes, ram_file_) == 0, "slot of RAM");
  Expect(SetSlot(1, kDevice, kDeviceBytes, device_file_) == 0, "second slot");
  Expect(Fast(smc::kCallsUid) == optee::kApiUid[0], "CALLS_UID");
  Expect(Fast(smc::kExchangeCapabilities) == ret::kOk, "EXCHANGE_CAPABILITIES");
  Expect(Fast(smc::kEnableAsyncNotif) == ret::kOk, "ENABLE_ASYNC_NOTIF");
  Expect(Fast(0x3200'00FF) == kNotSupported, "an unknown function");
}

// One SMC of a vCPU, interrupted whenever it takes long.
std::array<std::uint64_t, VTEE_CALL_REGISTERS> TestLife::Smc(
    std::uint32_t vcpu, std::array<std::uint64_t, 6> registers) {
  vtee_call call{};
  call.size = sizeof call;
  call.conduit = VTEE_CONDUIT_SMC;
  std::copy(registers.begin(), registers.end(), call.x);
  StopAfter stop{MonotonicNanos() + kPatience};
  call.should_stop = StopAfter::Asked;
  call.stop_context = &stop;
  const bool lost_before = Lost();
  shared_.in_call.fetch_add(1);
  int result = vtee_vm_call(vm_, vcpu, &call);
  while (result == -EINTR) {
    shared_.interruptions.fetch_add(1);
    stop.deadline = MonotonicNanos() + kPatience;
    result = vtee_vm_resume(vm_, vcpu, &call);
  }
  shared_.in_call.fetch_sub(1);
  shared_.calls.fetch_add(1);
  Demand(result == 0, "a call that is not answered");
  Demand(!lost_before || call.x[0] == kNotSupported, "NOT_SUPPORTED once vteed is lost");
  std::array<std::uint64_t, VTEE_CALL_REGISTERS> reply{};
  std::copy_n(call.x, reply.size(), reply.begin());
  return reply;
}

std::uint64_t TestLife::Fast(std::uint32_t function, std::uint64_t a1) {
  return Smc(0, {function, a1})[0];
}

TestLife::Answer TestLife::Yield(std::uint32_t vcpu, const Message& message,
                                 std::uint32_t function) {
  const std::uint64_t page = kRam + vcpu * 2 * kPageBytes;
  const std::uint64_t lent = page + kPageBytes;  // what an ALLOC RPC gets
  const std::uint32_t count = message.header.num_params;
  std::memcpy(At(page), &message, MsgSize(count));
  const std::uint32_t unanswered = 0xDEADBEEF;
  std::memcpy(At(page) + offsetof(MsgHeader, ret), &unanswered, sizeof unanswered);
  std::array<std::uint64_t, 6> call = {function, 0, page};
  Answer answer;
  for (int limited = 0;;) {
    const auto reply = Smc(vcpu, call);
    answer.a0 = reply[0];
    if (reply[0] == ret::kThreadLimit && ++limited < 1000) continue;
    if (reply[0] >> 16 != 0xFFFF) break;
    call = {smc::kReturnFromRpc, reply[1], reply[2], reply[3], 0, 0};
    if (reply[0] == ret::kRpcAlloc) call = {smc::kReturnFromRpc, 0, lent, reply[3], 0, lent};
    if (reply[0] == ret::kRpcCommand) AnswerRpc(vcpu, reply[2] != 0 ? lent : page + MsgSize(count));
  }
  std::memcpy(static_cast<void*>(&answer.message), At(page), MsgSize(count));
  Demand(answer.a0 != ret::kOk || answer.message.header.ret != unanswered,
         "a call that ended without a result");
  return answer;
}

void TestLife::AnswerRpc(std::uint32_t vcpu, std::uint64_t at) {
  Message rpc;
  std::memcpy(static_cast<void*>(&rpc), At(at), MsgSize(optee::kRpcParams));
  rpc.header.ret = tee::code::kSuccess;
  if (rpc.header.cmd == optee::rpc::kGetTime) {
    rpc.params[0].u[0] = 1'700'000'000;
    rpc.params[0].u[1] = 42;
  } else if (rpc.header.cmd != optee::rpc::kNotification ||
             !WaitNotification(vcpu, static_cast<std::uint32_t>(rpc.params[0].u[1]))) {
    rpc.header.ret = tee::code::kGeneric;
  }
  std::memcpy(At(at), &rpc, MsgSize(rpc.header.num_params));
}

bool TestLife::WaitNotification(std::uint32_t vcpu, std::uint32_t value) {
  const bool patient = shared_.judge != LifeJudge::kAnswered;
  const std::uint64_t deadline = MonotonicNanos() + (patient ? 5'000 : 300) * kMillisecond;
  while (MonotonicNanos() < deadline && !Lost()) {
    {
      const std::lock_guard lock(mutex_);
      if (notified_.erase(value) != 0) return true;
    }
    pollfd ready{interrupt_.get(), POLLIN, 0};
    poll(&ready, 1, 20);
    std::uint64_t raised = 0;
    if (read(interrupt_.get(), &raised, sizeof raised) < 0) continue;
    for (bool more = true; more;) {
      const auto reply = Smc(vcpu, {smc::kGetAsyncNotifValue});
      more = reply[0] == ret::kOk && (reply[2] & optee::kAsyncNotifPending) != 0;
      const std::lock_guard lock(mutex_);
      if (reply[0] == ret::kOk && (reply[2] & optee::kAsyncNotifValid) != 0) {
        notified_.insert(static_cast<std::uint32_t>(reply[1]));
      }
    }
  }
  return false;
}

TestLife::Answer TestLife::Open(const tee::Uuid& application) {
  MsgParam uuid = Value(attr::kMeta | attr::kValueIn);
  const tee::Uuid& wanted = shared_.real_tee ? kOsTestUuid : application;
  std::memcpy(uuid.u, wanted.octets.data(), wanted.octets.size());
  return Command(cmd::kOpenSession, 0, {uuid, Value(attr::kMeta | attr::kValueIn)});
}

TestLife::Answer TestLife::Command(std::uint32_t command, std::uint32_t session,
                                   std::vector<MsgParam> params, std::uint32_t cancel_id) {
  Message message;
  message.header.cmd = command;
  message.header.session = session;
  message.header.cancel_id = cancel_id;
  message.header.num_params = static_cast<std::uint32_t>(params.size());
  std::copy(params.begin(), params.end(), message.params.begin());
  return Yield(0, message);
}

TestLife::Answer TestLife::Invoke(std::uint32_t vcpu, std::uint32_t session, std::uint32_t function,
                                  std::vector<MsgParam> params, std::uint32_t cancel_id,
                                  std::uint32_t smc) {
  Message message;
  if (shared_.real_tee) {
    const bool wait = params.size() == 1 && params[0].attr == attr::kValueIn;
    function = wait ? kOsTestWait : kNoSuchCommand;
  }
  message.header = {cmd::kInvokeCommand,
                    function,
                    session,
                    cancel_id,
                    0,
                    0,
                    0,
                    static_cast<std::uint32_t>(params.size())};
  std::copy(params.begin(), params.end(), message.params.begin());
  return Yield(vcpu, message, smc);
}

void TestLife::UseMemory() {
  // Four scattered pages, their list in another one.
  const std::uint64_t list = kRam + 8 * kPageBytes;
  std::array<std::uint64_t, 4> pages{};
  for (std::size_t i = 0; i < pages.size(); ++i) pages[i] = kRam + (30 - 3 * i) * kPageBytes;
  std::memcpy(At(list), pages.data(), sizeof pages);
  const auto byte = [&](std::size_t at) { return At(pages[at / kPageBytes] + at % kPageBytes); };
  for (std::size_t i = 0; i < kBufferBytes; ++i) *byte(i) = static_cast<std::byte>(i * 7);
  Expect(Command(cmd::kRegisterShm, 0,
                 {{attr::kTmemOut | attr::kNonContiguous, {list, kBufferBytes, kCookie}}})
             .ok(),
         "REGISTER_SHM");
  const Answer opened = Open(fake::kEchoUuid);
  const std::uint32_t session = opened.message.header.session;
  Expect(opened.ok(), "open echo");
  const Answer reversed = Invoke(0, session, 1, {{attr::kRmemInOut, {0, kBufferBytes, kCookie}}});
  Expect(reversed.ok(), "invoke with registered memory");
  bool right = true;
  for (std::size_t i = 0; i < kBufferBytes; ++i) {
    right &= *byte(i) == static_cast<std::byte>((kBufferBytes - 1 - i) * 7);
  }
  Demand(!reversed.ok() || right, "the bytes of registered memory");
  const std::uint64_t from = kRam + 10 * kPageBytes;
  const std::uint64_t to = kRam + 12 * kPageBytes;
  std::memset(At(from), 0x5A, 5000);
  std::memset(At(to), 0, 5000);
  const Answer copied =
      Invoke(0, session, 0, {{attr::kTmemIn, {from, 5000, 0}}, {attr::kTmemOut, {to, 5000, 0}}});
  Expect(copied.ok(), "invoke with temporary memory");
  Demand(!copied.ok() || std::memcmp(At(from), At(to), 5000) == 0, "the bytes of temporary memory");
  Expect(Command(cmd::kUnregisterShm, 0, {{attr::kRmemIn, {0, 0, kCookie}}}).ok(),
         "UNREGISTER_SHM");
  Expect(Command(cmd::kCloseSession, session).ok(), "close echo");
}

void TestLife::Upcalls() {
  const std::uint32_t session = Open(fake::kEchoUuid).message.header.session;
  for (const std::uint32_t function : {smc::kCallWithRpcArg, smc::kCallWithArg}) {
    const Answer time = Invoke(0, session, 3, {Value(attr::kValueOut)}, 0, function);
    Expect(time.ok(), "an upcall");
    Demand(!time.ok() || time.message.params[0].u[0] == 1'700'000'000, "the answer of an upcall");
  }
  Expect(Command(cmd::kCloseSession, session).ok(), "close after upcalls");
}

void TestLife::TakeLong() {
  const Answer opened = Open(fake::kSlowUuid);
  const std::uint32_t session = opened.message.header.session;
  Expect(opened.ok(), "open slow");
  Expect(Invoke(0, session, 0, {Value(attr::kValueIn, 15)}).ok(), "a call that is parked");
  Expect(Command(cmd::kCloseSession, session).ok(), "close slow");
}

void TestLife::CancelWhatTakesLong() {
  const std::uint32_t session = Open(fake::kSlowUuid).message.header.session;
  const std::uint64_t milliseconds = shared_.judge == LifeJudge::kAnswered ? 300 : 20'000;
  std::atomic<bool> over{false};
  Answer slow;
  std::thread second([&] {
    slow = Invoke(1, session, 0, {Value(attr::kValueIn, milliseconds)}, kCancelId);
    over.store(true);
  });
  // Until it is over: the first may come before there is anything to cancel.
  while (!over.load()) {
    Command(cmd::kCancel, session, {}, kCancelId);
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  second.join();
  Expect(slow.a0 == ret::kOk && slow.message.header.ret == tee::code::kCancel, "CANCEL");
  Expect(Command(cmd::kCloseSession, session).ok(), "close after CANCEL");
}

void TestLife::PauseAndMove() {
  Expect(vtee_vm_event(vm_, VTEE_EVENT_PAUSED) == 0, "pause");
  Expect(vtee_vm_event(vm_, VTEE_EVENT_RESUMED) == 0, "resume");
  Expect(vtee_vm_remove_slot(vm_, 1) == 0, "remove slot");
  Expect(SetSlot(1, kDevice + kDeviceBytes, kDeviceBytes, device_file_) == 0, "move slot");
  const Answer opened = Open(fake::kHelloUuid);
  const std::uint32_t session = opened.message.header.session;
  const Answer more = Invoke(0, session, 0, {Value(attr::kValueInOut, 41)});
  Expect(more.ok(), "a call after the move");
  Demand(!more.ok() || more.message.params[0].u[0] == 42, "the value of a call after the move");
}

// With a session and a buffer left behind.
void TestLife::Restart() {
  const std::uint64_t list = kRam + 8 * kPageBytes;
  const std::uint64_t page = kRam + 20 * kPageBytes;
  std::memcpy(At(list), &page, sizeof page);
  Expect(Command(cmd::kRegisterShm, 0,
                 {{attr::kTmemOut | attr::kNonContiguous, {list, kPageBytes, kCookie}}})
             .ok(),
         "register before the restart");
  Expect(vtee_vm_event(vm_, VTEE_EVENT_RESET) == 0, "reset");
  const Answer stale = Command(cmd::kUnregisterShm, 0, {{attr::kRmemIn, {0, 0, kCookie}}});
  Expect(stale.a0 == ret::kOk && !stale.ok(), "a buffer of before the restart");
  const Answer opened = Open(fake::kHelloUuid);
  Expect(opened.ok(), "open after the restart");
  Expect(Command(cmd::kCloseSession, opened.message.header.session).ok(), "the last close");
  Expect(vtee_vm_event(vm_, VTEE_EVENT_RESET) == 0, "second reset");
}

void TestLife::LookAtVteed() {
  const std::string folder = "/proc/" + std::to_string(shared_.look_at_vteed);
  shared_.descriptors = CountDescriptors(shared_.look_at_vteed);
  std::error_code error;
  for (auto it = std::filesystem::directory_iterator(folder + "/task", error);
       !error && it != std::filesystem::directory_iterator(); it.increment(error)) {
    ++shared_.threads;
  }
  std::ifstream maps(folder + "/maps");
  for (std::string line; std::getline(maps, line);) {
    shared_.guest_mappings += line.find("memfd:life-") != std::string::npos ? 1 : 0;
  }
}

}  // namespace vtee::daemon
