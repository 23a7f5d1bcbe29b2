// SPDX-License-Identifier: BSD-3-Clause
// Fast calls: every one of the ABI, and every register value that is none.
#include <gtest/gtest.h>

#include <vector>

#include "dialect/optee/test_guest.h"
#include "dialect/optee/test_names.h"

namespace vtee::optee {
namespace {

constexpr std::uint64_t kNotSupported = ret::kUnknownFunction;
constexpr std::uint64_t kTopHalf = 0xDEADBEEF'00000000;
constexpr std::uint32_t kCaps =
    kSecCapUnregisteredShm | kSecCapDynamicShm | kSecCapMemrefNull | kSecCapRpcArg;

struct FastCase {
  const char* name;
  std::vector<std::uint64_t> in;
  std::vector<std::uint64_t> out;  // x0..
  bool interrupt = true;
};

mediator::SecureCall CallOf(const std::vector<std::uint64_t>& registers, std::uint64_t top = 0) {
  mediator::SecureCall call;
  for (std::size_t i = 0; i < call.x.size(); ++i) {
    call.x[i] = top | (i < registers.size() ? registers[i] : 0);
  }
  return call;
}

mediator::RegisterReply Make(TestGuest& guest, const mediator::SecureCall& call) {
  mediator::TestReplyPort port;
  guest.dialect().Handle(call, port.NewRequest());
  const auto reply = port.WaitReply(std::chrono::milliseconds(0));
  EXPECT_TRUE(reply) << "a fast call is answered at once";
  EXPECT_EQ(port.protocol_errors(), 0);
  return reply.value_or(mediator::RegisterReply{});
}

const FastCase kFastCases[] = {
    {"CallsCount", {smc::kCallsCount}, {12, 0, 0, 0}},
    {"CallsUid", {smc::kCallsUid}, {0x384fb3e0, 0xe7f811e3, 0xaf630002, 0xa5d5c51b}},
    {"CallsRevision", {smc::kCallsRevision}, {2, 0}},
    {"GetOsUuid", {smc::kGetOsUuid}, {0x486178e0, 0xe7f811e3, 0xbc5e0002, 0xa5d5c51b}},
    {"GetOsRevision", {smc::kGetOsRevision}, {4, 0, 0}},
    {"GetShmConfigHasNone", {smc::kGetShmConfig}, {ret::kNotAvailable, 0, 0, 0}},
    {"Capabilities", {smc::kExchangeCapabilities, 0}, {0, kCaps | kSecCapAsyncNotif, 255, 4}},
    {"CapabilitiesUniprocessor",
     {smc::kExchangeCapabilities, 1},
     {0, kCaps | kSecCapAsyncNotif, 255, 4}},
    {"CapabilitiesWithoutInterrupt",
     {smc::kExchangeCapabilities, 0},
     {0, kCaps, 0, 4},
     /*interrupt=*/false},
    {"CapabilitiesUnknownBit1", {smc::kExchangeCapabilities, 2}, {ret::kNotAvailable, 0}},
    {"CapabilitiesUnknownBit31", {smc::kExchangeCapabilities, 1u << 31}, {ret::kNotAvailable, 0}},
    {"CapabilitiesAllBits", {smc::kExchangeCapabilities, 0xFFFFFFFF}, {ret::kNotAvailable, 0}},
    {"DisableShmCacheIsEmpty", {smc::kDisableShmCache}, {ret::kNotAvailable, 0, 0}},
    {"EnableShmCache", {smc::kEnableShmCache}, {0}},
    {"GetThreadCount", {smc::kGetThreadCount}, {0, 16}},
    {"EnableAsyncNotif", {smc::kEnableAsyncNotif}, {0}},
    {"EnableAsyncNotifWithoutInterrupt",
     {smc::kEnableAsyncNotif},
     {kNotSupported},
     /*interrupt=*/false},
    {"GetAsyncNotifValueHasNone", {smc::kGetAsyncNotifValue}, {0, 0, 0}},
    {"GetAsyncNotifValueWithoutInterrupt", {smc::kGetAsyncNotifValue}, {0, 0, 0}, false},
    {"ImageLoad", {0xBF000002}, {kNotSupported}},
    {"L2ccMutex", {0xB2000008}, {kNotSupported}},
    {"BootSecondary", {0xB200000C}, {kNotSupported}},
    {"VmCreated", {0xB200000D, 1}, {kNotSupported}},
    {"VmDestroyed", {0xB200000E, 1}, {kNotSupported}},
    {"GetProtmemConfig", {0xB2000014}, {kNotSupported}},
    {"FastUnused2", {0xB2000002}, {kNotSupported}},
    {"FastLast", {0xB200FFFF}, {kNotSupported}},
    {"StdUnused0", {0x32000000}, {kNotSupported}},
    {"StdUnused5", {0x32000005}, {kNotSupported}},
    {"StdTrusty", {0x32000014}, {kNotSupported}},
    {"StdLast", {0x3200FFFF}, {kNotSupported}},
    {"QueriesUnused2", {0xBF00FF02}, {kNotSupported}},
    {"Fast64Twin", {0xF2000000}, {kNotSupported}},
    {"Std64Twin", {0x72000004}, {kNotSupported}},
    {"Zero", {0}, {kNotSupported}},
    {"AllOnes", {~std::uint64_t{0}}, {kNotSupported}},
};

class FastCallTest : public ::testing::TestWithParam<FastCase> {};

TEST_P(FastCallTest, AnswersAsTheAbiSays) {
  TestGuest guest({}, GetParam().interrupt);
  const auto reply = Make(guest, CallOf(GetParam().in));
  ASSERT_GE(reply.count, GetParam().out.size());
  for (std::size_t i = 0; i < GetParam().out.size(); ++i) {
    EXPECT_EQ(reply.x[i], GetParam().out[i]) << "x" << i;
  }
}

// SMC32: the top halves of registers are the guest's leftovers (Xen commit ede2583fa1).
TEST_P(FastCallTest, TopHalvesOfRegistersMeanNothing) {
  TestGuest guest({}, GetParam().interrupt);
  const auto plain = Make(guest, CallOf(GetParam().in));
  TestGuest other({}, GetParam().interrupt);
  const auto garbage = Make(other, CallOf(GetParam().in, kTopHalf));
  EXPECT_EQ(plain.count, garbage.count);
  EXPECT_EQ(plain.x, garbage.x);
}

TEST_P(FastCallTest, HvcAnswersLikeSmc) {
  TestGuest guest({}, GetParam().interrupt);
  mediator::SecureCall call = CallOf(GetParam().in);
  const auto smc = Make(guest, call);
  TestGuest other({}, GetParam().interrupt);
  call.is_smc = false;
  EXPECT_EQ(smc.x, Make(other, call).x);
}

INSTANTIATE_TEST_SUITE_P(Table, FastCallTest, ::testing::ValuesIn(kFastCases), RowName());

TEST(FastCallsTest, EveryIdOfEveryRangeIsAnswered) {
  TestGuest guest;
  for (const mediator::FunctionRange& range : guest.dialect().ranges()) {
    for (std::uint32_t i = 0; i < range.count; ++i) {
      const auto reply = Make(guest, CallOf({range.base + i, kTopHalf, kTopHalf, kTopHalf}));
      ASSERT_GE(reply.count, 1u);
      const bool known = reply.x[0] == kNotSupported || reply.x[0] < 0x100000000;
      ASSERT_TRUE(known) << std::hex << range.base + i;
    }
  }
}

TEST(FastCallsTest, RevisionOfATeeThatDoesNotTellIsTheAbis) {
  tee::BackendCapabilities capabilities;
  capabilities.null_memref = false;
  TestGuest guest({}, false, std::make_unique<backend::FakeBackend>(capabilities));
  const auto revision = guest.Smc({smc::kGetOsRevision});
  EXPECT_EQ(revision.x[0], 4u);
  EXPECT_EQ(revision.x[1], 5u);
  const auto offered = guest.Smc({smc::kExchangeCapabilities});
  EXPECT_EQ(offered.x[1], kCaps & ~kSecCapMemrefNull);
}

TEST(FastCallsTest, ThreadCountIsThePolicys) {
  mediator::Policy policy;
  policy.max_calls = 3;
  TestGuest guest(policy);
  EXPECT_EQ(guest.Smc({smc::kGetThreadCount}).x[1], 3u);
}

}  // namespace
}  // namespace vtee::optee
