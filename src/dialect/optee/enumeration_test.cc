// SPDX-License-Identifier: BSD-3-Clause
// Device enumeration: the guest sees those of the TEE's devices that open from a VM.
#include <gtest/gtest.h>

#include <algorithm>

#include "dialect/optee/test_guest.h"
#include "dialect/optee/test_names.h"

namespace vtee::optee {
namespace {

using backend::FakeApplication;
using backend::FakeBackend;
namespace fake = backend::fake;

constexpr tee::Uuid kRefuser{{0x0F}};
constexpr tee::Uuid kAbsent{{0x0E}};

mediator::Policy WithoutOwnRng() {
  mediator::Policy policy;
  policy.rng = false;
  return policy;
}

std::unique_ptr<FakeBackend> Tee(fake::DeviceLists lists) {
  auto tee = std::make_unique<FakeBackend>();
  tee->SetApplication(fake::kEnumerationUuid, fake::Enumeration(std::move(lists)));
  tee->SetApplication(fake::kRngUuid, fake::Rng());
  tee->SetApplication(fake::kHelloUuid, fake::Hello());
  FakeApplication refuser;
  refuser.name = "kernel only";
  refuser.open = [](backend::FakeCall&) {
    return tee::Outcome{tee::code::kAccessDenied, tee::Origin::kTrustedApp};
  };
  tee->SetApplication(kRefuser, refuser);
  return tee;
}

// What Linux does: ask for the size, then for the list.
std::vector<tee::Uuid> List(TestGuest& guest, std::uint32_t command) {
  const std::uint32_t session = guest.Open(kDeviceEnumerationPta);
  const TestResult size = guest.Invoke(session, command, {Memory(attr::kTmemOut, 0, 0)});
  std::vector<tee::Uuid> list(size.params[0].u[1] / sizeof(tee::Uuid));
  if (size.code() == tee::code::kSuccess) {
    EXPECT_TRUE(list.empty());
    return list;
  }
  EXPECT_EQ(size.code(), tee::code::kShortBuffer);
  const std::uint64_t page = guest.ram().Page();
  const TestResult result =
      guest.Invoke(session, command, {Memory(attr::kTmemOut, page, size.params[0].u[1])});
  EXPECT_EQ(result.code(), tee::code::kSuccess);
  EXPECT_EQ(result.params[0].u[1], size.params[0].u[1]);
  for (std::size_t i = 0; i < list.size(); ++i) {
    list[i] = guest.ram().Get<tee::Uuid>(page + i * sizeof(tee::Uuid));
  }
  EXPECT_EQ(guest.Close(session).code(), tee::code::kSuccess);
  return list;
}

TEST(EnumerationTest, ListsWhatOpens) {
  TestGuest guest(WithoutOwnRng(), true,
                  Tee({.early = {fake::kRngUuid, kRefuser, kAbsent, fake::kHelloUuid},
                       .with_supplicant = {kRefuser},
                       .with_rpmb = {}}));
  EXPECT_EQ(List(guest, 0), (std::vector{fake::kRngUuid, fake::kHelloUuid}));
  EXPECT_EQ(List(guest, 1), std::vector<tee::Uuid>{});
  EXPECT_EQ(guest.tee().counters().open_sessions, 0u);
  EXPECT_EQ(guest.tee().counters().registered_memories, 0u);
}

// The second try is with the login of the guest's kernel, which a clock asks for.
TEST(EnumerationTest, ListsWhatOpensAtTheSecondTry) {
  for (const int opens_at : {1, 2, 3}) {
    int tries = 0;
    FakeApplication clock;
    clock.open = [&](backend::FakeCall&) {
      return ++tries >= opens_at ? tee::Outcome{}
                                 : tee::Outcome{tee::code::kAccessDenied, tee::Origin::kTrustedApp};
    };
    auto tee = Tee({.early = {fake::kHelloUuid}, .with_supplicant = {}, .with_rpmb = {}});
    tee->SetApplication(fake::kHelloUuid, clock);
    TestGuest guest(WithoutOwnRng(), true, std::move(tee));
    EXPECT_EQ(List(guest, 0).size(), opens_at <= 2 ? 1u : 0u);
    EXPECT_EQ(tries, std::min(opens_at, 2));
    EXPECT_EQ(guest.tee().counters().open_sessions, 0u);
  }
}

TEST(EnumerationTest, ListsWhatThePolicyAllows) {
  mediator::Policy policy;  // denying the rng denies the mediator's own, too
  policy.denied_applications = {fake::kRngUuid};
  TestGuest guest(
      policy, true,
      Tee({.early = {fake::kRngUuid, fake::kHelloUuid}, .with_supplicant = {}, .with_rpmb = {}}));
  EXPECT_EQ(List(guest, 0), std::vector{fake::kHelloUuid});
}

TEST(EnumerationTest, AsksTheTeeOncePerGuestStart) {
  TestGuest guest(WithoutOwnRng(), true,
                  Tee({.early = {fake::kRngUuid}, .with_supplicant = {}, .with_rpmb = {}}));
  List(guest, 0);
  const std::uint64_t opens = guest.tee().counters().Calls(backend::FakeVerb::kOpen);
  List(guest, 0);
  EXPECT_EQ(guest.tee().counters().Calls(backend::FakeVerb::kOpen), opens);
  guest.dialect().Reset();
  List(guest, 0);
  EXPECT_GT(guest.tee().counters().Calls(backend::FakeVerb::kOpen), opens);
}

TEST(EnumerationTest, ATeeWithoutItIsItemNotFound) {
  TestGuest guest(WithoutOwnRng(), true, std::make_unique<FakeBackend>());
  const TestResult result = guest.Run(OpenMessage(kDeviceEnumerationPta));
  EXPECT_EQ(result.code(), tee::code::kItemNotFound);
  EXPECT_EQ(result.header.session, 0u);
  EXPECT_EQ(guest.dialect().session_count(), 0u);
}

TEST(EnumerationTest, ALongListIsCut) {
  std::vector<tee::Uuid> many;
  for (int i = 0; i < 300; ++i) many.push_back(fake::kRngUuid);
  TestGuest guest(WithoutOwnRng(), true,
                  Tee({.early = many, .with_supplicant = {}, .with_rpmb = {}}));
  // More than one page of UUIDs: the TEE says so, and the guest gets none rather than garbage.
  EXPECT_EQ(guest.Run(OpenMessage(kDeviceEnumerationPta)).code(), tee::code::kItemNotFound);
}

// ---- the mediator's own hwrng ---------------------------------------------------------------

TEST(OwnRngTest, IsListedWhereTheTeeHasNone) {
  TestGuest with({}, true,
                 Tee({.early = {fake::kHelloUuid}, .with_supplicant = {}, .with_rpmb = {}}));
  EXPECT_EQ(List(with, 0), (std::vector{fake::kHelloUuid, fake::kRngUuid}));
  EXPECT_EQ(List(with, 1), std::vector<tee::Uuid>{});
  TestGuest alone({}, true, std::make_unique<FakeBackend>());
  EXPECT_EQ(List(alone, 0), std::vector{fake::kRngUuid});
  mediator::Policy others;
  others.allowed_applications = {fake::kHelloUuid};
  TestGuest forbidden(others, true, std::make_unique<FakeBackend>());
  EXPECT_EQ(forbidden.Run(OpenMessage(kDeviceEnumerationPta)).code(), tee::code::kItemNotFound);
  EXPECT_EQ(forbidden.Run(OpenMessage(fake::kRngUuid)).code(), tee::code::kAccessDenied);
}

TEST(OwnRngTest, TheTeesOwnComesFirst) {
  TestGuest guest({}, true,
                  Tee({.early = {fake::kRngUuid}, .with_supplicant = {}, .with_rpmb = {}}));
  EXPECT_EQ(List(guest, 0), std::vector{fake::kRngUuid});
  guest.Open(fake::kRngUuid);
  EXPECT_EQ(guest.tee().counters().open_sessions, 1u);
}

TEST(OwnRngTest, GivesBytesAndItsQuality) {
  TestGuest guest({}, true, std::make_unique<FakeBackend>());
  const std::uint32_t session = guest.Open(fake::kRngUuid);
  const TestResult info = guest.Invoke(session, 1, {Value(attr::kValueOut, 0, 0, 7)});
  EXPECT_EQ(info.code(), tee::code::kSuccess);
  EXPECT_GT(info.params[0].u[0], 0u);
  EXPECT_EQ(info.params[0].u[1], 1024u);
  const std::vector<std::uint64_t> pages = guest.ram().Scattered(2);
  ASSERT_EQ(guest.Register(0x77, pages, 0, 2 * kPage).code(), tee::code::kSuccess);
  const TestResult entropy = guest.Invoke(session, 0, {Memory(attr::kRmemInOut, 4000, 200, 0x77)});
  EXPECT_EQ(entropy.code(), tee::code::kSuccess);
  EXPECT_EQ(entropy.params[0].u[1], 200u);
  const auto bytes = guest.ram().GetBytes(pages, 0, 2 * kPage);
  const auto zero = [&](std::size_t from, std::size_t to) {
    return std::count(bytes.begin() + static_cast<std::ptrdiff_t>(from),
                      bytes.begin() + static_cast<std::ptrdiff_t>(to), std::byte{0});
  };
  EXPECT_EQ(zero(0, 4000), 4000);
  EXPECT_LT(zero(4000, 4200), 50);
  EXPECT_EQ(zero(4200, 2 * kPage), static_cast<std::ptrdiff_t>(2 * kPage - 4200));
  const TestResult big = guest.Invoke(session, 0, {Memory(attr::kRmemInOut, 0, 8192, 0x77)});
  EXPECT_EQ(big.params[0].u[1], 4096u);
}

TEST(OwnRngTest, BadQuestions) {
  TestGuest guest({}, true, std::make_unique<FakeBackend>());
  const std::uint32_t session = guest.Open(fake::kRngUuid);
  const MsgParam page = Memory(attr::kTmemInOut, guest.ram().Page(), 64);
  const MsgParam input = Memory(attr::kTmemIn, guest.ram().Page(), 64);
  const MsgParam null = Memory(attr::kTmemOut, 0, 64);
  const MsgParam rom = Memory(attr::kTmemOut, TestRam::kRom, 64);
  EXPECT_EQ(guest.Invoke(session, 0).code(), tee::code::kBadParameters);
  EXPECT_EQ(guest.Invoke(session, 0, {Value(attr::kValueOut)}).code(), tee::code::kBadParameters);
  EXPECT_EQ(guest.Invoke(session, 0, {input}).code(), tee::code::kBadParameters);
  EXPECT_EQ(guest.Invoke(session, 0, {null}).code(), tee::code::kBadParameters);
  EXPECT_EQ(guest.Invoke(session, 0, {rom}).code(), tee::code::kCommunication);
  EXPECT_EQ(guest.Invoke(session, 1, {page}).code(), tee::code::kBadParameters);
  EXPECT_EQ(guest.Invoke(session, 1, {Value(attr::kValueIn)}).code(), tee::code::kBadParameters);
  EXPECT_EQ(guest.Invoke(session, 2, {page}).code(), tee::code::kNotImplemented);
  EXPECT_EQ(guest.Run({cmd::kCancel, 0, session, 0, {}}).code(), tee::code::kSuccess);
  EXPECT_EQ(guest.Close(session).code(), tee::code::kSuccess);
}

// ---- bad questions ------------------------------------------------------------------------

struct BadCase {
  const char* name;
  std::uint32_t command;
  MsgParam param;
  std::uint32_t code;
};

const BadCase kBad[] = {
    {"NoMemory", 0, Value(attr::kNone), tee::code::kBadParameters},
    {"ValueForMemory", 0, Value(attr::kValueOut), tee::code::kBadParameters},
    {"InputMemory", 0, Memory(attr::kTmemIn, 0x4000'8000, 4096), tee::code::kBadParameters},
    {"InOutMemory", 0, Memory(attr::kTmemInOut, 0x4000'8000, 4096), tee::code::kBadParameters},
    {"OneByteShort", 0, Memory(attr::kTmemOut, 0x4000'8000, 31), tee::code::kShortBuffer},
    {"NullWithSize", 0, Memory(attr::kTmemOut, 0, 4096), tee::code::kShortBuffer},
    {"Fits", 0, Memory(attr::kTmemOut, 0x4000'8000, 32), tee::code::kSuccess},
    {"Rpmb", 2, Memory(attr::kTmemOut, 0x4000'8000, 4096), tee::code::kNotSupported},
    {"UnknownCommand", 3, Memory(attr::kTmemOut, 0x4000'8000, 4096), tee::code::kNotSupported},
    {"CommandAllOnes", 0xFFFFFFFF, Memory(attr::kTmemOut, 0x4000'8000, 4096),
     tee::code::kNotSupported},
    {"ReadOnlyMemory", 0, Memory(attr::kTmemOut, TestRam::kRom, 4096), tee::code::kCommunication},
};

class BadEnumerationTest : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadEnumerationTest, HasItsCode) {
  TestGuest guest(
      WithoutOwnRng(), true,
      Tee({.early = {fake::kRngUuid, fake::kHelloUuid}, .with_supplicant = {}, .with_rpmb = {}}));
  const std::uint32_t session = guest.Open(kDeviceEnumerationPta);
  const TestResult result = guest.Invoke(session, GetParam().command, {GetParam().param});
  EXPECT_EQ(result.code(), GetParam().code);
  if (GetParam().code == tee::code::kShortBuffer) {
    EXPECT_EQ(result.params[0].u[1], 32u);
  }
}

INSTANTIATE_TEST_SUITE_P(Table, BadEnumerationTest, ::testing::ValuesIn(kBad), RowName());

}  // namespace
}  // namespace vtee::optee
