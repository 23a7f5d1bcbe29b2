// SPDX-License-Identifier: BSD-3-Clause
// Where messages lie and what their headers say: everything a guest can get wrong about it.
#include <gtest/gtest.h>

#include "dialect/optee/test_guest.h"
#include "dialect/optee/test_names.h"

namespace vtee::optee {
namespace {

constexpr std::uint64_t kCookie = 0x77;

class MessageTest : public ::testing::Test {
 protected:
  std::uint64_t CallAt(std::uint32_t function, std::uint64_t where, std::uint64_t a3 = 0,
                       std::uint64_t top = 0) {
    return guest_.Smc0({function, top | where >> 32, top | (where & 0xFFFFFFFF), a3});
  }
  std::uint64_t PlaceNothing(std::uint64_t at, std::uint32_t num_params) {
    MsgHeader header{};
    header.cmd = cmd::kDoBottomHalf;
    header.num_params = num_params;
    guest_.ram().Put(at, header);
    return at;
  }
  // A registered buffer of `size` bytes that starts `offset` into its first page.
  std::vector<std::uint64_t> RegisterBuffer(std::uint64_t offset, std::uint64_t size) {
    auto pages =
        guest_.ram().Scattered(static_cast<std::size_t>((offset + size + kPage - 1) / kPage));
    EXPECT_EQ(guest_.Register(kCookie, pages, offset, size).code(), tee::code::kSuccess);
    return pages;
  }
  TestGuest guest_;
};

struct PlaceCase {
  const char* name;
  std::uint64_t address;
};

const PlaceCase kBadPlaces[] = {
    {"Zero", 0},
    {"Hole", TestRam::kHole},
    {"PastTheLastSlot", TestRam::kSecondEnd},
    {"AllOnesPage", 0xFFFF'FFFF'FFFF'F000},
    {"PastTheAddressSpace", std::uint64_t{1} << 52},
    {"Bit63", std::uint64_t{1} << 63},
    {"NotShareable", TestRam::kUnshared},
    {"ReadOnly", TestRam::kRom},
    {"OffByOne", 0x4000'0001},
    {"OffByEight", 0x4000'0008},
    {"LastByteOfAPage", 0x4000'0FFF},
    {"AllOnes", ~std::uint64_t{0}},
};

class BadPlaceTest : public MessageTest, public ::testing::WithParamInterface<PlaceCase> {};

TEST_P(BadPlaceTest, ByAddressIsBadAddress) {
  for (const std::uint32_t function : {smc::kCallWithArg, smc::kCallWithRpcArg}) {
    EXPECT_EQ(CallAt(function, GetParam().address), ret::kBadAddress);
  }
}

TEST_P(BadPlaceTest, AsACookieIsBadAddress) {
  EXPECT_EQ(CallAt(smc::kCallWithRegdArg, GetParam().address), ret::kBadAddress);
}

INSTANTIATE_TEST_SUITE_P(Table, BadPlaceTest, ::testing::ValuesIn(kBadPlaces), RowName());

struct CountCase {
  const char* name;
  std::uint32_t num_params;
  std::uint64_t with_arg;      // expected a0 by CALL_WITH_ARG
  std::uint64_t with_rpc_arg;  // and when an RPC argument must follow in the page
};

const CountCase kCounts[] = {
    {"None", 0, ret::kOk, ret::kOk},
    {"MostOfAnyCommand", 6, ret::kOk, ret::kOk},
    {"MoreThanAnyCommand", 7, ret::kOk, ret::kOk},
    {"MostWithRpc", 122, ret::kOk, ret::kOk},
    {"OneTooManyForRpc", 123, ret::kOk, ret::kBadAddress},
    {"FullPage", 127, ret::kOk, ret::kBadAddress},
    {"PastThePage", 128, ret::kBadAddress, ret::kBadAddress},
    {"SizeWrapsTo32Bits", 0x0800'0000, ret::kBadAddress, ret::kBadAddress},
    {"MaxInt", 0x7FFF'FFFF, ret::kBadAddress, ret::kBadAddress},
    {"AllOnes", 0xFFFF'FFFF, ret::kBadAddress, ret::kBadAddress},
};

class ParamCountTest : public MessageTest, public ::testing::WithParamInterface<CountCase> {};

TEST_P(ParamCountTest, IsBoundedByThePage) {
  const std::uint64_t at = PlaceNothing(guest_.ram().Page(), GetParam().num_params);
  EXPECT_EQ(CallAt(smc::kCallWithArg, at), GetParam().with_arg);
  EXPECT_EQ(CallAt(smc::kCallWithRpcArg, at), GetParam().with_rpc_arg);
}

// Every command with every count: a code, and nothing that was taken is kept (CVE-2022-46152).
TEST_P(ParamCountTest, EveryCommandWithEveryCountIsAnswered) {
  for (std::uint32_t command = 0; command < 14; ++command) {
    MsgHeader header{};
    header.cmd = command;
    header.num_params = GetParam().num_params;
    const std::uint64_t at = guest_.ram().Page();
    guest_.ram().Put(at, header);
    const std::uint64_t a0 = CallAt(smc::kCallWithArg, at);
    EXPECT_TRUE(a0 == ret::kOk || a0 == ret::kBadAddress || a0 == ret::kBadCommand) << command;
    guest_.ram().FreePage(at);
  }
  EXPECT_EQ(guest_.dialect().session_count(), 0u);
  EXPECT_EQ(guest_.dialect().shm_count(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Table, ParamCountTest, ::testing::ValuesIn(kCounts), RowName());

struct RegdCase {
  const char* name;
  std::uint64_t size;    // of the registered buffer
  std::uint64_t offset;  // a3
  std::uint32_t num_params;
  std::uint64_t a0;
};

const RegdCase kRegdCases[] = {
    {"AtTheStart", 4096, 0, 0, ret::kOk},
    {"TightFit", 32 + 160, 0, 0, ret::kOk},
    {"OneByteShort", 32 + 159, 0, 0, ret::kBadAddress},
    {"HeaderOnly", 32, 0, 0, ret::kBadAddress},
    {"ShorterThanAHeader", 31, 0, 0, ret::kBadAddress},
    {"OneByte", 1, 0, 0, ret::kBadAddress},
    {"AtTheEndOfAPage", 8192, 4096 - 16, 0, ret::kOk},
    {"SecondPage", 8192, 4096, 6, ret::kOk},
    {"LastFit", 8192, 8192 - 192, 0, ret::kOk},
    {"LastFitPlus8", 8192, 8192 - 184, 0, ret::kBadAddress},
    {"ParamsDoNotFit", 4096, 4096 - 192, 1, ret::kBadAddress},
    {"OffsetAtTheSize", 4096, 4096, 0, ret::kBadAddress},
    {"OffsetPastTheSize", 4096, 8192, 0, ret::kBadAddress},
    {"OffsetAllOnes", 4096, 0xFFFFFFF8, 0, ret::kBadAddress},
    {"OffsetMisalignedBy1", 4096, 1, 0, ret::kBadAddress},
    {"OffsetMisalignedBy4", 4096, 4, 0, ret::kBadAddress},
};

class RegdArgTest : public MessageTest, public ::testing::WithParamInterface<RegdCase> {};

TEST_P(RegdArgTest, MessagesLieWhollyInTheirBuffer) {
  const auto pages = RegisterBuffer(0, GetParam().size);
  if (GetParam().offset + sizeof(MsgHeader) <= pages.size() * kPage) {
    MsgHeader header{};
    header.cmd = cmd::kDoBottomHalf;
    header.num_params = GetParam().num_params;
    guest_.ram().PutBytes(pages, GetParam().offset, std::as_bytes(std::span(&header, 1)));
  }
  EXPECT_EQ(CallAt(smc::kCallWithRegdArg, kCookie, GetParam().offset), GetParam().a0);
  EXPECT_EQ(guest_.Unregister(kCookie).code(), tee::code::kSuccess);
}

INSTANTIATE_TEST_SUITE_P(Table, RegdArgTest, ::testing::ValuesIn(kRegdCases), RowName());

TEST_F(MessageTest, TopHalvesOfAddressRegistersMeanNothing) {
  const std::uint64_t at = PlaceNothing(guest_.ram().Page(), 0);
  EXPECT_EQ(CallAt(smc::kCallWithArg, at, 0, 0xFFFFFFFF'00000000), ret::kOk);
  RegisterBuffer(0, kPage);
  EXPECT_EQ(CallAt(smc::kCallWithRegdArg, kCookie, 0xDEADBEEF'00000000, 0xABCDEF01'00000000),
            ret::kOk);
}

TEST_F(MessageTest, AMessageIn64BitMemoryIsFound) {
  EXPECT_EQ(CallAt(smc::kCallWithArg, PlaceNothing(TestRam::kAreas[2].base, 0)), ret::kOk);
}

TEST_F(MessageTest, AMessageInTheLastPageOfASlotIsFound) {
  EXPECT_EQ(CallAt(smc::kCallWithArg, PlaceNothing(TestRam::kSecondEnd - kPage, 127)), ret::kOk);
}

TEST_F(MessageTest, AMessageInReadOnlyMemoryIsRefused) {
  PlaceNothing(TestRam::kRom, 0);
  EXPECT_EQ(CallAt(smc::kCallWithArg, TestRam::kRom), ret::kBadAddress);
}

TEST_F(MessageTest, AMessageWhoseSlotIsGoneIsBadAddress) {
  const std::uint64_t at = PlaceNothing(TestRam::kAreas[1].base, 0);
  EXPECT_EQ(CallAt(smc::kCallWithArg, at), ret::kOk);
  guest_.ram().RemoveSlot(1);
  EXPECT_EQ(CallAt(smc::kCallWithArg, at), ret::kBadAddress);
  guest_.ram().SetSlot(1);
  EXPECT_EQ(CallAt(smc::kCallWithArg, at), ret::kOk);
}

TEST_F(MessageTest, AVanishedPageIsBadAddressForThatCallOnly) {
  const std::uint64_t at = PlaceNothing(TestRam::kSecondEnd - kPage, 0);
  ASSERT_EQ(ftruncate(guest_.ram().file(1).get(), 0), 0);
  EXPECT_EQ(CallAt(smc::kCallWithArg, at), ret::kBadAddress);
  EXPECT_EQ(CallAt(smc::kCallWithArg, PlaceNothing(guest_.ram().Page(), 0)), ret::kOk);
}

struct CommandCase {
  const char* name;
  std::uint32_t command;
  std::uint64_t a0;
};

const CommandCase kCommands[] = {
    {"DoBottomHalf", cmd::kDoBottomHalf, ret::kOk},
    {"StopAsyncNotif", cmd::kStopAsyncNotif, ret::kOk},
    {"LendProtectedMemory", cmd::kLendProtectedMemory, ret::kBadCommand},
    {"ReclaimProtectedMemory", cmd::kReclaimProtectedMemory, ret::kBadCommand},
    {"GetProtectedMemoryConfig", cmd::kGetProtectedMemoryConfig, ret::kBadCommand},
    {"AssignProtectedMemory", cmd::kAssignProtectedMemory, ret::kBadCommand},
    {"Twelve", 12, ret::kBadCommand},
    {"FfaUnregister", 0x100, ret::kBadCommand},
    {"AllOnes", 0xFFFFFFFF, ret::kBadCommand},
};

class CommandTest : public MessageTest, public ::testing::WithParamInterface<CommandCase> {};

TEST_P(CommandTest, IsKnownOrBadCommand) {
  for (const std::uint32_t params : {0u, 2u}) {
    TestMessage message{GetParam().command, 0, 0, 0, {}};
    message.params.resize(params, Value(attr::kValueIn));
    EXPECT_EQ(guest_.Run(message).a0, GetParam().a0);
  }
}

INSTANTIATE_TEST_SUITE_P(Table, CommandTest, ::testing::ValuesIn(kCommands), RowName());

TEST_F(MessageTest, AnAnswerLeavesTheRestOfTheMessageAlone) {
  const TestResult result = guest_.Run({cmd::kDoBottomHalf, 0x11, 0x22, 0x33, {}});
  EXPECT_EQ(result.header.func, 0x11u);
  EXPECT_EQ(result.header.session, 0x22u);
  EXPECT_EQ(result.header.cancel_id, 0x33u);
  EXPECT_EQ(result.header.ret, tee::code::kSuccess);
  EXPECT_EQ(result.header.ret_origin, static_cast<std::uint32_t>(tee::Origin::kTee));
}

}  // namespace
}  // namespace vtee::optee
