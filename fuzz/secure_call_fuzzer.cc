// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes the OP-TEE dialect as a guest reaches it: registers, messages, page lists, RPC answers.
//
// Input: one byte, the number of calls (at most 16) and in its top three bits the profile; for each
// call 33 bytes: which function (from 0x80 on: any id near the ends of a claimed range, or outside
// of all), then x1 to x4; the rest is the guest's memory from kRam on. The TEE is the fake one,
// with its echo application (which can copy between buffers and ask the guest for the time) and the
// hello one. What must hold: each call gets exactly one reply, with a code of the ABI; and a
// restart leaves no session, no buffer and no call in the TEE.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <list>
#include <thread>
#include <vector>

#include "backend/fake/fake_backend.h"
#include "base/log.h"
#include "dialect/optee/optee_dialect.h"
#include "dialect/optee/wire.h"
#include "fuzz_input.h"
#include "guest/test_memory.h"
#include "mediator/test_reply_port.h"
#include "nothing_left.h"

namespace vtee::optee {
namespace {

constexpr std::uint64_t kRam = 0x10000;
constexpr std::uint64_t kRamBytes = 16 * guest::kPageSize;
constexpr std::size_t kMaxCalls = 16;

constexpr std::array<std::uint32_t, 12> kFunctions = {
    smc::kCallWithRpcArg,  smc::kCallWithArg,      smc::kCallWithRegdArg,
    smc::kReturnFromRpc,   smc::kEnableAsyncNotif, smc::kGetAsyncNotifValue,
    smc::kDisableShmCache, smc::kEnableShmCache,   smc::kExchangeCapabilities,
    smc::kGetShmConfig,    smc::kCallsUid,         0x32000005,
};

struct CallSpec {
  std::uint8_t function = 0;
  std::array<std::uint64_t, 4> x{};
};

std::uint64_t FunctionId(const CallSpec& spec) {
  // Four ranges, in each eight ids from the start of a page of 256 and eight up to its end.
  constexpr std::array<std::uint32_t, 4> kBases = {0x32000000, 0xB2000000, 0xBF00FF00, 0xC4000000};
  if (spec.function < 0x80) return kFunctions[spec.function % kFunctions.size()];
  const std::uint32_t low = spec.function & 0x0F;
  // The top half of the register means nothing, whatever it holds.
  const std::uint64_t top = (spec.function & 0x10) != 0 ? spec.x[3] << 32 : 0;
  return top | (kBases[(spec.function >> 5) & 3] + (low < 8 ? low : 0xF0 + low));
}

// One call of a vCPU; its thread may be left waiting for the guest's answer to an RPC.
struct Call {
  mediator::TestReplyPort port;
  std::thread thread;
};

std::vector<CallSpec> TakeCalls(const std::uint8_t*& data, std::size_t& size) {
  constexpr std::size_t kBytes = 33;
  std::vector<CallSpec> calls(size == 0 ? 0 : std::min<std::size_t>(*data & 0x1F, kMaxCalls));
  if (size != 0) ++data, --size;
  for (CallSpec& call : calls) {
    if (size < kBytes) break;
    call.function = data[0];
    std::memcpy(call.x.data(), data + 1, kBytes - 1);
    data += kBytes;
    size -= kBytes;
  }
  return calls;
}

void Make(OpteeDialect& dialect, const CallSpec& spec, Call& call) {
  mediator::SecureCall secure;
  secure.x[0] = FunctionId(spec);
  for (std::size_t i = 0; i < spec.x.size(); ++i) secure.x[i + 1] = spec.x[i];
  mediator::Responder responder = call.port.NewRequest();
  call.thread = std::thread([&dialect, secure, responder = std::move(responder)]() mutable {
    dialect.Handle(secure, std::move(responder));
  });
  // No application here waits by itself, but a call may wait for another that waits for the guest
  // (UNREGISTER_SHM of a buffer in use): then the VMM wants its vCPU back.
  auto reply = call.port.WaitReply(std::chrono::milliseconds(5));
  if (!reply) {
    call.port.AskToPark();
    reply = call.port.WaitReply(std::chrono::seconds(20));
  }
  Require(reply.has_value() && reply->count >= 1);
  const std::uint64_t a0 = reply->x[0];
  const bool rpc = (a0 >> 16) == 0xFFFF && a0 <= ret::kRpcCommand;
  Require(a0 <= 0xFFFFFFFF || a0 == ret::kUnknownFunction);
  // Identities and revisions are as large as they like.
  const std::uint32_t id = static_cast<std::uint32_t>(secure.x[0]);
  if (id >> 24 != 0xBF && id != smc::kGetOsUuid && id != smc::kGetOsRevision) {
    Require(a0 <= ret::kNotAvailable || rpc || a0 == ret::kUnknownFunction);
  }
}

void RunOne(const std::uint8_t* data, std::size_t size) {
  static guest::TestMemory& test = *new guest::TestMemory(kRam, kRamBytes);
  static const bool quiet = (SetLogLevel(LogLevel::kError), true);
  Require(quiet);
  GuestSetup setup;
  setup.profile = &kProfiles[size == 0 ? 0 : (*data >> 5) % kProfiles.size()];
  if (setup.profile->window) setup.window = {kRam, kRamBytes - guest::kPageSize};
  const std::vector<CallSpec> specs = TakeCalls(data, size);
  std::vector<std::byte> ram(kRamBytes);
  if (size != 0) std::memcpy(ram.data(), data, std::min<std::size_t>(size, kRamBytes));
  test.Put(kRam, ram);

  mediator::Policy policy;
  policy.max_calls = 4;
  policy.max_sessions = 4;
  policy.max_shm_objects = 8;
  policy.max_shm_bytes = 1 << 20;
  backend::FakeBackend tee;
  tee.SetApplication(backend::fake::kEchoUuid, backend::fake::Echo());
  tee.SetApplication(backend::fake::kHelloUuid, backend::fake::Hello());
  std::list<Call> calls;
  {
    OpteeDialect dialect(test.memory(), tee, policy, setup);
    for (const CallSpec& spec : specs) Make(dialect, spec, calls.emplace_back());
    dialect.Reset();
    for (Call& call : calls) {
      call.thread.join();
      Require(call.port.protocol_errors() == 0);
    }
    RequireNothingKept(dialect);
  }
  RequireNothingLeft(tee);
}

}  // namespace
}  // namespace vtee::optee

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vtee::optee::RunOne(data, size);
  return 0;
}
