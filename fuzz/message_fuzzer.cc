// SPDX-License-Identifier: BSD-3-Clause
// Fuzzes the OP-TEE dialect with whole conversations: messages with parameters that name real
// buffers, page lists of every kind, RPCs that the guest answers as it likes or not at all, calls
// that wait, and words that change while they are read.
//
// Input: records of 112 bytes (hostile_guest.h says what each means); a mutator of its own keeps
// them whole and puts in values that matter. secure_call_fuzzer covers what this form cannot say.
// What must hold: each call gets exactly one reply, with a code of the ABI; and a restart leaves no
// session, no buffer and no call in the TEE.
#include "backend/fake/fake_backend.h"
#include "base/log.h"
#include "dialect/optee/optee_dialect.h"
#include "fuzz_input.h"
#include "hostile_guest.h"
#include "nothing_left.h"
#include "tee/upcalls.h"

namespace vtee::optee {
namespace {

constexpr std::size_t kMaxSteps = 16;
constexpr std::size_t kMaxPending = 4;

// A TA that asks the guest for what the command's bits say.
tee::Outcome Ask(backend::FakeCall& call) {
  static constexpr std::array kKinds = {tee::UpcallKind::kLoadTa,  tee::UpcallKind::kGetTime,
                                        tee::UpcallKind::kRpmb,    tee::UpcallKind::kFileSystem,
                                        tee::UpcallKind::kSuspend, tee::UpcallKind::kSocket,
                                        tee::UpcallKind::kPlugin,  tee::UpcallKind::kFtrace};
  static constexpr std::size_t kLarge = (64u << 20) + 1;  // more than a guest may be asked to lend
  static auto& large = *new std::vector<std::byte>(kLarge);
  static constexpr std::array<std::size_t, 4> kSizes = {0, 24, 5000, kLarge};
  const std::uint32_t bits = call.command();
  std::array<std::vector<std::byte>, 4> buffers;
  for (std::uint32_t round = 0; round <= (bits & 1); ++round) {
    tee::Upcall upcall;
    upcall.kind = kKinds[(bits >> 1) & 7];
    for (std::size_t i = 0; i < upcall.params.size(); ++i) {
      tee::UpcallParam& param = upcall.params[i];
      param.kind = static_cast<tee::UpcallParam::Kind>(((bits >> (4 + 3 * i)) & 7) % 7);
      const std::size_t size = kSizes[(bits >> (16 + 2 * i)) & 3];
      buffers[i].assign(size == kLarge ? 0 : size, std::byte{0x5A});
      param.bytes = size == kLarge ? std::span(large) : std::span(buffers[i]);
      param.size = size;
    }
    const tee::Outcome answer = call.Upcall(upcall);
    if (!answer.ok()) return answer;
  }
  return {};
}

void Drive(HostileGuest& guest, const std::vector<Step>& steps) {
  std::vector<GuestCall*> pending;
  for (const Step& step : steps) {
    const Flipper flipper(guest, step);
    switch (static_cast<Step::Action>(step.action %
                                      static_cast<std::uint8_t>(Step::Action::kActions))) {
      case Step::Action::kCall: {
        GuestCall& call = guest.Start(step);
        if (!guest.AnswerRpcs(call, step) && pending.size() < kMaxPending) pending.push_back(&call);
        break;
      }
      case Step::Action::kResume: {
        if (pending.empty()) break;
        const std::size_t which = step.session % pending.size();
        if (guest.Resume(*pending[which], step)) pending.erase(pending.begin() + which);
        break;
      }
      case Step::Action::kFast:
        guest.FastCall(step);
        break;
      case Step::Action::kReset:
        guest.Reset();
        pending.clear();
        break;
      case Step::Action::kActions:
        break;
    }
  }
}

void RunOne(Input input) {
  std::vector<Step> steps;
  while (!input.empty() && steps.size() < kMaxSteps) steps.push_back(input.Take<Step>());
  GuestSetup setup;
  if (!steps.empty()) setup.profile = &kProfiles[(steps[0].cancel_id >> 5) % kProfiles.size()];
  if (setup.profile->window) setup.window = HostileGuest::window();
  mediator::Policy policy;
  policy.max_calls = 4;
  policy.max_sessions = 4;
  policy.max_shm_objects = 8;
  policy.max_shm_bytes = 8 << 20;
  backend::FakeBackend tee;
  tee.SetApplication(backend::fake::kEchoUuid, backend::fake::Echo());
  tee.SetApplication(backend::fake::kHelloUuid, backend::fake::Hello());
  tee.SetApplication(kAskerUuid, {.name = "asker", .open = Ask, .invoke = Ask, .close = {}});
  tee.SetApplication(backend::fake::kEnumerationUuid,
                     backend::fake::Enumeration({{backend::fake::kHelloUuid}, {kAskerUuid}, {}}));
  {
    OpteeDialect dialect(HostileGuest::memory(), tee, policy, setup);
    HostileGuest guest(dialect);
    Drive(guest, steps);
    guest.Reset();
    RequireNothingKept(dialect);
  }
  RequireNothingLeft(tee);
}

}  // namespace
}  // namespace vtee::optee

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  vtee::SetLogLevel(vtee::LogLevel::kError);
  vtee::optee::RunOne({data, size});
  return 0;
}

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t max_size);

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t max_size, unsigned int seed) {
  return vtee::optee::MutateSteps({data, max_size}, size, seed, LLVMFuzzerMutate);
}
