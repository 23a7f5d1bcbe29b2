// SPDX-License-Identifier: BSD-3-Clause
// Sessions and their parameters: every form the ABI has, as the TA and then the guest sees it.
#include <gtest/gtest.h>

#include "dialect/optee/test_guest.h"
#include "dialect/optee/test_names.h"

namespace vtee::optee {
namespace {

using backend::FakeCall;
using tee::Direction;
using tee::Param;

constexpr tee::Uuid kProbe{{0x11, 0x22, 0x33, 0x44}};
constexpr std::uint64_t kCookie = 0xFFFF8000'12345678;
constexpr std::uint64_t kMeta = attr::kMeta | attr::kValueIn;
constexpr tee::Outcome kOk{tee::code::kSuccess, tee::Origin::kTrustedApp};

// A TA that keeps what it was given and answers as told.
class SessionTest : public ::testing::Test {
 protected:
  SessionTest() { InstallProbe(guest_); }
  void InstallProbe(TestGuest& guest) {
    backend::FakeApplication probe;
    probe.name = "probe";
    probe.open = probe.invoke = [this](FakeCall& call) {
      ++calls_;
      seen_ = call.params();
      for (std::size_t i = 0; i < 4; ++i)
        bytes_[i] = call.Read(i).value_or(std::vector<std::byte>());
      return answer_ ? answer_(call) : kOk;
    };
    guest.tee().SetApplication(kProbe, std::move(probe));
  }
  TestResult InvokeProbe(std::vector<MsgParam> params) {
    return guest_.Invoke(guest_.Open(kProbe), 0, std::move(params));
  }

  int calls_ = 0;
  tee::Params seen_{};
  std::array<std::vector<std::byte>, 4> bytes_;
  backend::FakeHandler answer_;
  TestGuest guest_;
};

// ---- opening ------------------------------------------------------------------------------

struct MetaCase {
  const char* name;
  std::uint64_t attr0;
  std::uint64_t attr1;
  std::size_t params;
};

const MetaCase kBadMeta[] = {
    {"NoParams", kMeta, kMeta, 0},
    {"OneParam", kMeta, kMeta, 1},
    {"FirstNotMeta", attr::kValueIn, kMeta, 2},
    {"SecondNotMeta", kMeta, attr::kValueIn, 2},
    {"FirstNone", 0, kMeta, 2},
    {"FirstOutput", attr::kMeta | attr::kValueOut, kMeta, 2},
    {"SecondInOut", kMeta, attr::kMeta | attr::kValueInOut, 2},
    {"FirstMemory", attr::kMeta | attr::kTmemIn, kMeta, 2},
    {"UnknownBit", kMeta | (1u << 10), kMeta, 2},
    {"CacheAttribute", kMeta, kMeta | (1u << 16), 2},
    {"TopHalfBit", kMeta | (std::uint64_t{1} << 32), kMeta, 2},
    {"SevenParams", kMeta, kMeta, 7},
};

class BadMetaTest : public SessionTest, public ::testing::WithParamInterface<MetaCase> {};

TEST_P(BadMetaTest, IsBadParametersAndOpensNothing) {
  TestMessage message = OpenMessage(kProbe);
  message.params[0].attr = GetParam().attr0;
  message.params[1].attr = GetParam().attr1;
  message.params.resize(GetParam().params);
  message.session = 0x55;
  const TestResult result = guest_.Run(message);
  EXPECT_EQ(result.a0, ret::kOk);
  EXPECT_EQ(result.code(), tee::code::kBadParameters);
  EXPECT_EQ(result.header.ret_origin, static_cast<std::uint32_t>(tee::Origin::kTee));
  EXPECT_EQ(calls_, 0);
  EXPECT_EQ(guest_.dialect().session_count(), 0u);
}

INSTANTIATE_TEST_SUITE_P(Table, BadMetaTest, ::testing::ValuesIn(kBadMeta), RowName());

TEST_F(SessionTest, OpenInvokeClose) {
  const std::uint32_t session = guest_.Open(backend::fake::kHelloUuid);
  EXPECT_NE(session, 0u);
  const TestResult result = guest_.Invoke(session, 0, {Value(attr::kValueInOut, 41, 7, 9)});
  EXPECT_EQ(result.a0, ret::kOk);
  EXPECT_EQ(result.code(), tee::code::kSuccess);
  EXPECT_EQ(result.header.ret_origin, static_cast<std::uint32_t>(tee::Origin::kTrustedApp));
  EXPECT_EQ(result.params[0].u[0], 42u);
  EXPECT_EQ(guest_.Close(session).code(), tee::code::kSuccess);
  EXPECT_EQ(guest_.tee().counters().open_sessions, 0u);
  EXPECT_EQ(guest_.Invoke(session, 0).code(), tee::code::kBadParameters);
}

TEST_F(SessionTest, UnknownApplicationIsItemNotFoundAndSessionZero) {
  TestMessage message = OpenMessage(tee::Uuid{{9, 9, 9}});
  message.session = 0x55;
  const TestResult result = guest_.Run(message);
  EXPECT_EQ(result.code(), tee::code::kItemNotFound);
  EXPECT_EQ(result.header.session, 0u);
}

TEST_F(SessionTest, TheTasOwnRefusalReachesTheGuestWithItsOrigin) {
  answer_ = [](FakeCall&) { return tee::Outcome{0x12345678, tee::Origin::kTrustedApp}; };
  const TestResult result = guest_.Run(OpenMessage(kProbe));
  EXPECT_EQ(result.code(), 0x12345678u);
  EXPECT_EQ(result.header.ret_origin, static_cast<std::uint32_t>(tee::Origin::kTrustedApp));
  EXPECT_EQ(guest_.dialect().session_count(), 0u);
}

TEST_F(SessionTest, OpenPassesAndReturnsParameters) {
  answer_ = [](FakeCall& call) {
    call.param(1).a = 0x1111;
    call.param(1).b = 0x2222;
    call.param(1).c = 0x3333;
    return kOk;
  };
  const TestResult result = guest_.Run(
      OpenMessage(kProbe, {Value(attr::kValueIn, 1, 2, 3), Value(attr::kValueOut, 4, 5, 6)}));
  EXPECT_EQ(result.code(), tee::code::kSuccess);
  EXPECT_EQ(seen_[0].kind, Param::Kind::kValue);
  EXPECT_EQ(seen_[0].a, 1u);
  EXPECT_EQ(seen_[0].b, 2u);
  EXPECT_EQ(result.params[2].u[0], 1u);
  EXPECT_EQ(result.params[3].u[0], 0x1111u);
  EXPECT_EQ(result.params[3].u[1], 0x2222u);
  EXPECT_EQ(result.params[3].u[2], 6u);  // OP-TEE leaves c alone
}

TEST_F(SessionTest, SessionIdsAreNotReused) {
  std::uint32_t last = 0;
  for (int i = 0; i < 20; ++i) {
    const std::uint32_t session = guest_.Open(kProbe);
    EXPECT_GT(session, last);
    last = session;
    EXPECT_EQ(guest_.Close(session).code(), tee::code::kSuccess);
  }
}

TEST_F(SessionTest, QuotaOfSessions) {
  mediator::Policy policy;
  policy.max_sessions = 3;
  TestGuest guest(policy);
  const std::uint32_t first = guest.Open(backend::fake::kHelloUuid);
  guest.Open(backend::fake::kHelloUuid);
  guest.Open(kDeviceEnumerationPta);
  for (const tee::Uuid& uuid : {backend::fake::kHelloUuid, kDeviceEnumerationPta}) {
    EXPECT_EQ(guest.Run(OpenMessage(uuid)).code(), tee::code::kOutOfMemory);
  }
  EXPECT_EQ(guest.tee().counters().open_sessions, 2u);
  EXPECT_EQ(guest.Close(first).code(), tee::code::kSuccess);
  guest.Open(backend::fake::kHelloUuid);
}

TEST_F(SessionTest, AFailedOpenGivesItsQuotaBack) {
  mediator::Policy policy;
  policy.max_sessions = 1;
  TestGuest guest(policy);
  for (int i = 0; i < 5; ++i) {
    EXPECT_EQ(guest.Run(OpenMessage(tee::Uuid{{9}})).code(), tee::code::kItemNotFound);
  }
  guest.Open(backend::fake::kHelloUuid);
}

TEST_F(SessionTest, PolicyDeniesAndAllows) {
  mediator::Policy policy;
  policy.denied_applications = {backend::fake::kEchoUuid};
  TestGuest denying(policy);
  EXPECT_EQ(denying.Run(OpenMessage(backend::fake::kEchoUuid)).code(), tee::code::kAccessDenied);
  denying.Open(backend::fake::kHelloUuid);
  denying.Open(kDeviceEnumerationPta);

  policy.allowed_applications = {backend::fake::kHelloUuid, backend::fake::kEchoUuid};
  TestGuest allowing(policy);
  allowing.Open(backend::fake::kHelloUuid);
  EXPECT_EQ(allowing.Run(OpenMessage(backend::fake::kEchoUuid)).code(), tee::code::kAccessDenied);
  EXPECT_EQ(allowing.Run(OpenMessage(backend::fake::kSlowUuid)).code(), tee::code::kAccessDenied);
  allowing.Open(kDeviceEnumerationPta);
  EXPECT_EQ(allowing.tee().counters().Calls(backend::FakeVerb::kOpen), 2u);  // the allowed and the
                                                                             // backend's own list
  policy.denied_applications = {kDeviceEnumerationPta};
  TestGuest blind(policy);
  EXPECT_EQ(blind.Run(OpenMessage(kDeviceEnumerationPta)).code(), tee::code::kItemNotFound);
}

TEST_F(SessionTest, CloseOfAnUnknownSession) {
  for (const std::uint32_t session : {0u, 1u, 77u, 0xFFFFFFFFu}) {
    EXPECT_EQ(guest_.Close(session).code(), tee::code::kItemNotFound) << session;
  }
  const std::uint32_t session = guest_.Open(kProbe);
  TestMessage message{cmd::kCloseSession, 0, session, 0, {Value(attr::kValueIn)}};
  EXPECT_EQ(guest_.Run(message).code(), tee::code::kBadParameters);
  EXPECT_EQ(guest_.dialect().session_count(), 1u);
  EXPECT_EQ(guest_.Close(session).code(), tee::code::kSuccess);
  EXPECT_EQ(guest_.Close(session).code(), tee::code::kItemNotFound);
}

TEST_F(SessionTest, CancelOfNothing) {
  const std::uint32_t session = guest_.Open(kProbe);
  EXPECT_EQ(guest_.Run({cmd::kCancel, 0, session, 5, {}}).code(), tee::code::kSuccess);
  EXPECT_EQ(guest_.Run({cmd::kCancel, 0, 4711, 5, {}}).code(), tee::code::kBadParameters);
  EXPECT_EQ(guest_.Run({cmd::kCancel, 0, session, 5, {Value(attr::kValueIn)}}).code(),
            tee::code::kBadParameters);
  EXPECT_EQ(guest_.tee().counters().Calls(backend::FakeVerb::kCancel), 0u);
}

// ---- parameters ---------------------------------------------------------------------------

struct ValueCase {
  const char* name;
  std::uint64_t attribute;
  Direction direction;
  bool written_back;
};

const ValueCase kValues[] = {
    {"In", attr::kValueIn, Direction::kIn, false},
    {"Out", attr::kValueOut, Direction::kOut, true},
    {"InOut", attr::kValueInOut, Direction::kInOut, true},
};

class ValueTest : public SessionTest, public ::testing::WithParamInterface<ValueCase> {};

TEST_P(ValueTest, GoesInAndComesBackInEveryPlace) {
  answer_ = [](FakeCall& call) {
    for (std::size_t i = 0; i < 4; ++i) {
      call.param(i).a += 100;
      call.param(i).b += 100;
      call.param(i).c += 100;
    }
    return kOk;
  };
  std::vector<MsgParam> params;
  for (std::uint64_t i = 0; i < 4; ++i) {
    params.push_back(Value(GetParam().attribute, i, ~i, 0x1'0000'0000 + i));
  }
  const TestResult result = InvokeProbe(params);
  ASSERT_EQ(result.code(), tee::code::kSuccess);
  for (std::uint64_t i = 0; i < 4; ++i) {
    EXPECT_EQ(seen_[i].direction, GetParam().direction);
    EXPECT_EQ(seen_[i].a, i);
    EXPECT_EQ(seen_[i].b, ~i);
    const std::uint64_t change = GetParam().written_back ? 100 : 0;
    EXPECT_EQ(result.params[i].attr, GetParam().attribute);
    EXPECT_EQ(result.params[i].u[0], i + change);
    EXPECT_EQ(result.params[i].u[1], ~i + change);
    EXPECT_EQ(result.params[i].u[2], 0x1'0000'0000 + i);
  }
}

INSTANTIATE_TEST_SUITE_P(Table, ValueTest, ::testing::ValuesIn(kValues), RowName());

struct AttrCase {
  const char* name;
  std::uint64_t attribute;
};

const AttrCase kBadAttributes[] = {
    {"Type4", 4},
    {"Type8", 8},
    {"Type12", 0xC},
    {"Type255", 0xFF},
    {"Meta", kMeta},
    {"MetaNone", attr::kMeta},
    {"NoncontigValue", attr::kValueIn | attr::kNonContiguous},
    {"NoncontigNone", attr::kNonContiguous},
    {"NoncontigRmem", attr::kRmemIn | attr::kNonContiguous},
    {"Cache1", attr::kTmemIn | 1u << 16},
    {"Cache4", attr::kValueIn | 4u << 16},
    {"Bit10", attr::kValueIn | 1u << 10},
    {"Bit15", attr::kRmemIn | 1u << 15},
    {"Bit19", attr::kTmemIn | 1u << 19},
    {"Bit31", attr::kValueIn | 1u << 31},
    {"Bit32", attr::kValueIn | std::uint64_t{1} << 32},
    {"Bit63", attr::kRmemIn | std::uint64_t{1} << 63},
    {"AllOnes", ~std::uint64_t{0}},
};

class BadAttributeTest : public SessionTest, public ::testing::WithParamInterface<AttrCase> {};

// In every place, after parameters that have taken something already (optee_os 51d99cd24).
TEST_P(BadAttributeTest, IsBadParametersAndKeepsNothing) {
  const auto pages = guest_.ram().Scattered(2);
  ASSERT_EQ(guest_.Register(kCookie, pages, 0, 2 * kPage).code(), tee::code::kSuccess);
  const std::uint32_t session = guest_.Open(kProbe);
  calls_ = 0;
  for (std::size_t place = 0; place < 4; ++place) {
    std::vector<MsgParam> params(4, Memory(attr::kTmemInOut, guest_.ram().Page(), 64));
    params[1] = Memory(attr::kRmemIn, 0, 64, kCookie);
    params[place].attr = GetParam().attribute;
    EXPECT_EQ(guest_.Invoke(session, 0, params).code(), tee::code::kBadParameters) << place;
    EXPECT_EQ(guest_.Run(OpenMessage(kProbe, params)).code(), tee::code::kBadParameters) << place;
  }
  EXPECT_EQ(calls_, 0);
  EXPECT_EQ(guest_.dialect().session_count(), 1u);
  // Nothing holds the buffer: it can be unregistered, and then the TEE holds nothing at all.
  EXPECT_EQ(guest_.Unregister(kCookie).code(), tee::code::kSuccess);
  EXPECT_EQ(guest_.tee().counters().registered_memories, 0u);
}

INSTANTIATE_TEST_SUITE_P(Table, BadAttributeTest, ::testing::ValuesIn(kBadAttributes), RowName());

TEST_F(SessionTest, MoreThanFourParametersAreBadParameters) {
  const std::uint32_t session = guest_.Open(kProbe);
  for (std::size_t count = 5; count <= 7; ++count) {
    const std::vector<MsgParam> params(count, Value(attr::kValueIn));
    EXPECT_EQ(guest_.Invoke(session, 0, params).code(), tee::code::kBadParameters);
  }
  EXPECT_EQ(calls_, 1);
}

struct RangeCase {
  const char* name;
  std::uint64_t offset;
  std::uint64_t size;
  std::uint32_t code;
};

constexpr std::uint64_t kBuffer = 3 * kPage + 100;  // starts 24 bytes into its first page

const RangeCase kRanges[] = {
    {"Whole", 0, kBuffer, tee::code::kSuccess},
    {"Empty", 0, 0, tee::code::kSuccess},
    {"EmptyAtTheEnd", kBuffer, 0, tee::code::kSuccess},
    {"OneByteAtTheEnd", kBuffer - 1, 1, tee::code::kSuccess},
    {"AcrossPages", kPage - 30, 60, tee::code::kSuccess},
    {"UnalignedMiddle", 5001, 4097, tee::code::kSuccess},
    {"OneByteTooLong", 0, kBuffer + 1, tee::code::kSecurity},
    {"StartsAtTheEnd", kBuffer, 1, tee::code::kSecurity},
    {"StartsPastTheEnd", kBuffer + 1, 0, tee::code::kSecurity},
    {"Wraps", 8, ~std::uint64_t{0} - 7, tee::code::kSecurity},
    {"WrapsToInside", ~std::uint64_t{0} - 15, 32, tee::code::kSecurity},
    {"OffsetAllOnes", ~std::uint64_t{0}, 1, tee::code::kSecurity},
    {"SizeAllOnes", 0, ~std::uint64_t{0}, tee::code::kSecurity},
    {"Size2To32", 0, std::uint64_t{1} << 32, tee::code::kSecurity},
};

class SubRangeTest : public SessionTest, public ::testing::WithParamInterface<RangeCase> {};

TEST_P(SubRangeTest, OfARegisteredBufferIsInsideIt) {
  const auto pages = guest_.ram().Scattered(4);
  const auto pattern = guest::TestPattern(4 * kPage);
  guest_.ram().PutBytes(pages, 0, pattern);
  ASSERT_EQ(guest_.Register(kCookie, pages, 24, kBuffer).code(), tee::code::kSuccess);
  answer_ = [](FakeCall& call) {
    return call.param(0).size == 0
               ? kOk
               : call.Write(0, std::vector<std::byte>(static_cast<std::size_t>(call.param(0).size),
                                                      std::byte{0xEE}));
  };
  const TestResult result =
      InvokeProbe({Memory(attr::kRmemInOut, GetParam().offset, GetParam().size, kCookie)});
  EXPECT_EQ(result.code(), GetParam().code);
  auto expected = pattern;
  if (GetParam().code == tee::code::kSuccess) {
    const auto from = pattern.begin() + 24 + static_cast<std::ptrdiff_t>(GetParam().offset);
    const auto size = static_cast<std::ptrdiff_t>(GetParam().size);
    EXPECT_EQ(bytes_[0], std::vector<std::byte>(from, from + size));
    std::fill_n(expected.begin() + (from - pattern.begin()), size, std::byte{0xEE});
  }
  EXPECT_EQ(guest_.ram().GetBytes(pages, 0, 4 * kPage), expected);
}

INSTANTIATE_TEST_SUITE_P(Table, SubRangeTest, ::testing::ValuesIn(kRanges), RowName());

struct NullCase {
  const char* name;
  std::uint64_t attribute;
  std::uint64_t size;
};

const NullCase kNulls[] = {
    {"RmemIn", attr::kRmemIn, 0},
    {"RmemOut", attr::kRmemOut, 0},
    {"RmemInOut", attr::kRmemInOut, 0},
    {"RmemOutSizeQuery", attr::kRmemOut, 4096},
    {"TmemIn", attr::kTmemIn, 0},
    {"TmemOut", attr::kTmemOut, 0},
    {"TmemInOut", attr::kTmemInOut, 0},
    {"TmemOutSizeQuery", attr::kTmemOut, 77},
    {"TmemNoncontig", attr::kTmemIn | attr::kNonContiguous, 0},
};

class NullMemrefTest : public SessionTest, public ::testing::WithParamInterface<NullCase> {};

TEST_P(NullMemrefTest, ReachesTheTaAsNull) {
  answer_ = [](FakeCall& call) {
    call.param(2).size = 1234;
    return tee::Outcome{tee::code::kShortBuffer, tee::Origin::kTrustedApp};
  };
  const TestResult result =
      guest_.Invoke(guest_.Open(backend::fake::kHelloUuid), 7);  // unrelated session first
  EXPECT_NE(result.code(), tee::code::kSuccess);
  answer_ = nullptr;
  const std::uint32_t session = guest_.Open(kProbe);
  answer_ = [](FakeCall& call) {
    call.param(2).size = 1234;
    return tee::Outcome{tee::code::kShortBuffer, tee::Origin::kTrustedApp};
  };
  const TestResult query = guest_.Invoke(
      session, 0,
      {Value(attr::kNone), Value(attr::kNone), Memory(GetParam().attribute, 0, GetParam().size)});
  EXPECT_EQ(query.code(), tee::code::kShortBuffer);
  EXPECT_EQ(seen_[2].kind, Param::Kind::kMemory);
  EXPECT_EQ(seen_[2].memory, nullptr);
  EXPECT_EQ(seen_[2].size, GetParam().size);
  const bool out = seen_[2].direction != Direction::kIn;
  EXPECT_EQ(query.params[2].u[1], out ? 1234 : GetParam().size);
}

INSTANTIATE_TEST_SUITE_P(Table, NullMemrefTest, ::testing::ValuesIn(kNulls), RowName());

TEST_F(SessionTest, ShortBufferTellsTheSizeNeeded) {
  const std::uint64_t page = guest_.ram().Page();
  answer_ = [](FakeCall& call) { return call.Write(0, std::vector<std::byte>(500)); };
  const std::uint32_t session = [&] {
    auto keep = std::exchange(answer_, nullptr);
    const std::uint32_t opened = guest_.Open(kProbe);
    answer_ = std::move(keep);
    return opened;
  }();
  const TestResult result = guest_.Invoke(session, 0, {Memory(attr::kTmemOut, page, 499)});
  EXPECT_EQ(result.code(), tee::code::kShortBuffer);
  EXPECT_EQ(result.params[0].u[0], page);
  EXPECT_EQ(result.params[0].u[1], 500u);
}

TEST_F(SessionTest, InvokeOfASessionThatIsNot) {
  for (const std::uint32_t session : {0u, 1u, 0x80000000u, 0xFFFFFFFFu}) {
    const TestResult result =
        guest_.Invoke(session, 0, {Memory(attr::kTmemIn, guest_.ram().Page(), 8)});
    EXPECT_EQ(result.code(), tee::code::kBadParameters);
  }
  EXPECT_EQ(guest_.tee().counters().registered_memories, 0u);
}

TEST_F(SessionTest, ATeeThatTakesNoMemoryIsOutOfMemory) {
  const std::uint32_t session = guest_.Open(kProbe);
  const auto pages = guest_.ram().Scattered(1);
  ASSERT_EQ(guest_.Register(kCookie, pages, 0, kPage).code(), tee::code::kSuccess);
  const tee::Outcome refusal{tee::code::kOutOfMemory, tee::Origin::kTee};
  for (const MsgParam& param :
       {Memory(attr::kRmemIn, 0, 64, kCookie), Memory(attr::kTmemIn, guest_.ram().Page(), 64)}) {
    guest_.tee().FailNth(backend::FakeVerb::kRegister, 1, refusal);
    EXPECT_EQ(guest_.Invoke(session, 0, {param}).code(), tee::code::kOutOfMemory);
    EXPECT_EQ(guest_.Invoke(session, 0, {param}).code(), tee::code::kSuccess);
  }
}

}  // namespace
}  // namespace vtee::optee
