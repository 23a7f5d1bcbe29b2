// SPDX-License-Identifier: BSD-3-Clause
// Shared memory: registering, page lists good and bad, temporary references, quotas.
#include <gtest/gtest.h>

#include <functional>

#include "dialect/optee/test_guest.h"
#include "dialect/optee/test_names.h"

namespace vtee::optee {
namespace {

constexpr std::uint64_t kCookie = 0x1000;
constexpr std::uint64_t kScattered = attr::kNonContiguous;

class ShmTest : public ::testing::Test {
 protected:
  ShmTest() : guest_(SmallPolicy()) {}
  static mediator::Policy SmallPolicy() {
    mediator::Policy policy;
    policy.max_shm_objects = 8;
    policy.max_shm_bytes = 16 << 20;
    return policy;
  }
  TestResult RegisterParam(const MsgParam& param) {
    return guest_.Run({cmd::kRegisterShm, 0, 0, 0, {param}});
  }
  // Reverses `size` bytes through the echo TA and tells whether exactly they changed.
  void ExpectReversed(const MsgParam& param, std::span<const std::uint64_t> pages,
                      std::uint64_t start, std::uint64_t size) {
    const auto pattern = guest::TestPattern(pages.size() * kPage, size);
    guest_.ram().PutBytes(pages, 0, pattern);
    const std::uint32_t session = guest_.Open(backend::fake::kEchoUuid);
    const TestResult result = guest_.Invoke(session, 1, {param});
    ASSERT_EQ(result.code(), tee::code::kSuccess);
    EXPECT_EQ(result.params[0].u[1], size);
    auto expected = pattern;
    const auto from = expected.begin() + static_cast<std::ptrdiff_t>(start);
    std::reverse(from, from + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(guest_.ram().GetBytes(pages, 0, pattern.size()), expected);
  }
  TestGuest guest_;
};

// ---- good buffers -------------------------------------------------------------------------

struct SizeCase {
  const char* name;
  std::uint64_t offset;
  std::uint64_t size;
};

const SizeCase kSizes[] = {
    {"OneByte", 0, 1},
    {"LastByteOfAPage", 4095, 1},
    {"OnePage", 0, kPage},
    {"OnePageShifted", 1, kPage},
    {"PageMinusOne", 0, kPage - 1},
    {"PagePlusOne", 0, kPage + 1},
    {"FullListPage", 0, 511 * kPage},
    {"FullListPageShifted", 8, 511 * kPage - 8},
    {"OneEntryInASecondListPage", 0, 511 * kPage + 1},
    {"TwoListPagesAndOne", 100, 1023 * kPage - 100},
};

class GoodBufferTest : public ShmTest, public ::testing::WithParamInterface<SizeCase> {
 protected:
  std::size_t PageCount() const {
    return static_cast<std::size_t>((GetParam().offset + GetParam().size + kPage - 1) / kPage);
  }
};

TEST_P(GoodBufferTest, ScatteredAndRegistered) {
  const auto pages = guest_.ram().Scattered(PageCount());
  ASSERT_EQ(guest_.Register(kCookie, pages, GetParam().offset, GetParam().size).code(),
            tee::code::kSuccess);
  ExpectReversed(Memory(attr::kRmemInOut, 0, GetParam().size, kCookie), pages, GetParam().offset,
                 GetParam().size);
  EXPECT_EQ(guest_.Unregister(kCookie).code(), tee::code::kSuccess);
  EXPECT_EQ(guest_.tee().counters().registered_memories, 0u);
}

TEST_P(GoodBufferTest, ScatteredAndTemporary) {
  const auto pages = guest_.ram().Scattered(PageCount());
  ExpectReversed(Memory(attr::kTmemInOut | kScattered, guest_.ram().List(pages) + GetParam().offset,
                        GetParam().size),
                 pages, GetParam().offset, GetParam().size);
  EXPECT_EQ(guest_.tee().counters().registered_memories, 0u);
}

TEST_P(GoodBufferTest, ContiguousAndTemporary) {
  const std::uint64_t base = guest_.ram().Pages(PageCount());
  std::vector<std::uint64_t> pages;
  for (std::size_t i = 0; i < PageCount(); ++i) pages.push_back(base + i * kPage);
  ExpectReversed(Memory(attr::kTmemInOut, base + GetParam().offset, GetParam().size), pages,
                 GetParam().offset, GetParam().size);
  EXPECT_EQ(guest_.tee().counters().registered_memories, 0u);
}

INSTANTIATE_TEST_SUITE_P(Table, GoodBufferTest, ::testing::ValuesIn(kSizes), RowName());

TEST_F(ShmTest, ATemporaryBufferMayCrossSlotsThatTouch) {
  const std::vector<std::uint64_t> pages = {TestRam::kFirstEnd - kPage, TestRam::kFirstEnd};
  ExpectReversed(Memory(attr::kTmemInOut, TestRam::kFirstEnd - 10, 20), pages, kPage - 10, 20);
}

TEST_F(ShmTest, TheSamePageMayStandInAListTwice) {
  const std::uint64_t page = guest_.ram().Page();
  EXPECT_EQ(guest_.Register(kCookie, std::vector{page, page}, 0, 2 * kPage).code(),
            tee::code::kSuccess);
}

// ---- bad buffers --------------------------------------------------------------------------

struct BadBufferCase {
  const char* name;
  // Makes the parameter (its attribute is set by the test) that shall be refused.
  std::function<MsgParam(TestRam&)> make;
};

MsgParam OneEntry(TestRam& ram, std::uint64_t entry, std::uint64_t size = kPage) {
  return Memory(0, ram.List(std::vector{entry}), size, kCookie);
}

// A list of two pages whose second is `next`.
MsgParam TwoListPages(TestRam& ram, std::uint64_t next) {
  const auto pages = ram.Scattered(511);
  const std::uint64_t list = ram.List(pages);
  ram.Put(list + 511 * 8, next);
  return Memory(0, list, 512 * kPage, kCookie);
}

const BadBufferCase kBadBuffers[] = {
    {"ListInNoSlot", [](TestRam&) { return Memory(0, TestRam::kHole, kPage, kCookie); }},
    {"ListAtTheEndOfMemory",
     [](TestRam&) { return Memory(0, TestRam::kSecondEnd, kPage, kCookie); }},
    {"ListNotShareable", [](TestRam&) { return Memory(0, TestRam::kUnshared, kPage, kCookie); }},
    {"ListAllOnes", [](TestRam&) { return Memory(0, ~std::uint64_t{0}, kPage, kCookie); }},
    {"EntryInNoSlot", [](TestRam& ram) { return OneEntry(ram, TestRam::kHole); }},
    {"EntryZero", [](TestRam& ram) { return OneEntry(ram, 0); }},
    {"EntryMisaligned", [](TestRam& ram) { return OneEntry(ram, ram.Page() + 8); }},
    {"EntryOddByte", [](TestRam& ram) { return OneEntry(ram, ram.Page() + 1); }},
    {"EntryAllOnes", [](TestRam& ram) { return OneEntry(ram, ~std::uint64_t{0}); }},
    {"EntryTopPage", [](TestRam& ram) { return OneEntry(ram, ~std::uint64_t{0xFFF}); }},
    {"EntryPast52Bits", [](TestRam& ram) { return OneEntry(ram, std::uint64_t{1} << 52); }},
    {"EntryNotShareable", [](TestRam& ram) { return OneEntry(ram, TestRam::kUnshared); }},
    {"SecondEntryMissing",
     [](TestRam& ram) {
       const std::vector<std::uint64_t> pages = {ram.Page(), TestRam::kHole};
       return Memory(0, ram.List(pages), kPage + 1, kCookie);
     }},
    {"OffsetNeedsAnotherPage",
     [](TestRam& ram) {
       const std::vector<std::uint64_t> pages = {ram.Page(), 0};
       return Memory(0, ram.List(pages) + 1, kPage, kCookie);
     }},
    {"NextListInNoSlot", [](TestRam& ram) { return TwoListPages(ram, TestRam::kHole); }},
    {"NextListZero", [](TestRam& ram) { return TwoListPages(ram, 0); }},
    {"NextListMisaligned", [](TestRam& ram) { return TwoListPages(ram, ram.Page() + 8); }},
    {"NextListAllOnes", [](TestRam& ram) { return TwoListPages(ram, ~std::uint64_t{0}); }},
    {"SizeZero", [](TestRam& ram) { return OneEntry(ram, ram.Page(), 0); }},
    {"SizeWraps", [](TestRam& ram) { return OneEntry(ram, ram.Page(), ~std::uint64_t{0}); }},
    {"SizeAndOffsetWrap",
     [](TestRam& ram) {
       MsgParam param = OneEntry(ram, ram.Page(), ~std::uint64_t{0} - 8);
       param.u[0] += 16;
       return param;
     }},
    {"SizeBeyondTheList", [](TestRam& ram) { return OneEntry(ram, ram.Page(), 2 * kPage); }},
    {"SizeHuge", [](TestRam& ram) { return OneEntry(ram, ram.Page(), std::uint64_t{1} << 60); }},
};

class BadBufferTest : public ShmTest, public ::testing::WithParamInterface<BadBufferCase> {};

TEST_P(BadBufferTest, IsNotRegistered) {
  MsgParam param = GetParam().make(guest_.ram());
  param.attr = attr::kTmemOut | kScattered;
  const TestResult result = RegisterParam(param);
  EXPECT_EQ(result.a0, ret::kOk);
  EXPECT_TRUE(result.code() == tee::code::kBadParameters ||
              (param.u[1] > (16u << 20) && result.code() == tee::code::kOutOfMemory))
      << std::hex << result.code();
  EXPECT_EQ(guest_.dialect().shm_count(), 0u);
}

TEST_P(BadBufferTest, IsNoParameterEither) {
  MsgParam param = GetParam().make(guest_.ram());
  param.attr = attr::kTmemInOut | kScattered;
  const std::uint32_t session = guest_.Open(backend::fake::kEchoUuid);
  const TestResult result = guest_.Invoke(session, 1, {param});
  EXPECT_EQ(result.a0, ret::kOk);
  EXPECT_TRUE(result.code() == tee::code::kBadParameters ||
              (param.u[1] > (16u << 20) && result.code() == tee::code::kOutOfMemory))
      << std::hex << result.code();
  EXPECT_EQ(guest_.tee().counters().Calls(backend::FakeVerb::kInvoke), 0u);
  EXPECT_EQ(guest_.tee().counters().registered_memories, 0u);
}

INSTANTIATE_TEST_SUITE_P(Table, BadBufferTest, ::testing::ValuesIn(kBadBuffers), RowName());

// A list page that names itself as the next: as long as the size says, then it ends.
TEST_F(ShmTest, ALoopingListEnds) {
  const auto pages = guest_.ram().Scattered(511);
  const std::uint64_t list = guest_.ram().List(pages);
  guest_.ram().Put(list + 511 * 8, list);
  EXPECT_EQ(RegisterParam(Memory(attr::kTmemOut | kScattered, list, 3000 * kPage, kCookie)).code(),
            tee::code::kSuccess);
  EXPECT_EQ(
      RegisterParam(Memory(attr::kTmemOut | kScattered, list, std::uint64_t{1} << 50, kCookie + 1))
          .code(),
      tee::code::kOutOfMemory);
}

struct RangeCase {
  const char* name;
  std::uint64_t address;
  std::uint64_t size;
};

const RangeCase kBadRanges[] = {
    {"InAHole", TestRam::kHole, 8},
    {"RunsIntoAHole", TestRam::kSecondEnd - 8, 16},
    {"BeginsInAHole", TestRam::kAreas[0].base - 8, 16},
    {"NotShareable", TestRam::kUnshared, 8},
    {"WholeAddressSpace", 0x1000, ~std::uint64_t{0} - 0x1000},
    {"Wraps", ~std::uint64_t{0} - 7, 16},
    {"LastByte", ~std::uint64_t{0}, 1},
    {"EmptyButNotNull", TestRam::kAreas[0].base, 0},
    {"BeyondTheSlot", TestRam::kAreas[2].base, TestRam::kAreas[2].pages* kPage + 1},
    {"Past52Bits", std::uint64_t{1} << 52, 8},
};

class BadRangeTest : public ShmTest, public ::testing::WithParamInterface<RangeCase> {};

TEST_P(BadRangeTest, OfContiguousMemoryIsRefused) {
  const std::uint32_t session = guest_.Open(backend::fake::kEchoUuid);
  const TestResult result =
      guest_.Invoke(session, 1, {Memory(attr::kTmemInOut, GetParam().address, GetParam().size)});
  EXPECT_TRUE(result.code() == tee::code::kBadParameters ||
              (GetParam().size > (16u << 20) && result.code() == tee::code::kOutOfMemory));
  EXPECT_EQ(guest_.tee().counters().Calls(backend::FakeVerb::kInvoke), 0u);
}

INSTANTIATE_TEST_SUITE_P(Table, BadRangeTest, ::testing::ValuesIn(kBadRanges), RowName());

struct AttrCase {
  const char* name;
  std::uint64_t attribute;
};

const AttrCase kBadAttributes[] = {
    {"Input", attr::kTmemIn | kScattered},
    {"InOut", attr::kTmemInOut | kScattered},
    {"Contiguous", attr::kTmemOut},
    {"Rmem", attr::kRmemOut | kScattered},
    {"Meta", attr::kTmemOut | kScattered | attr::kMeta},
    {"Cache", attr::kTmemOut | kScattered | 1u << 16},
    {"Bit63", attr::kTmemOut | kScattered | std::uint64_t{1} << 63},
    {"None", attr::kNone},
    {"Value", attr::kValueIn},
};

class BadRegistrationTest : public ShmTest, public ::testing::WithParamInterface<AttrCase> {};

TEST_P(BadRegistrationTest, IsBadParameters) {
  MsgParam param = OneEntry(guest_.ram(), guest_.ram().Page());
  param.attr = GetParam().attribute;
  EXPECT_EQ(RegisterParam(param).code(), tee::code::kBadParameters);
}

INSTANTIATE_TEST_SUITE_P(Table, BadRegistrationTest, ::testing::ValuesIn(kBadAttributes),
                         RowName());

TEST_F(ShmTest, ParameterCountsOfRegistrations) {
  for (const std::uint32_t command : {cmd::kRegisterShm, cmd::kUnregisterShm}) {
    for (const std::size_t count : {0u, 2u, 6u, 7u}) {
      TestMessage message{command, 0, 0, 0, {}};
      message.params.resize(count, OneEntry(guest_.ram(), guest_.ram().Page()));
      EXPECT_EQ(guest_.Run(message).code(), tee::code::kBadParameters) << command << ' ' << count;
    }
  }
}

TEST_F(ShmTest, UnregisterWantsARegisteredReference) {
  const auto pages = guest_.ram().Scattered(1);
  ASSERT_EQ(guest_.Register(kCookie, pages, 0, kPage).code(), tee::code::kSuccess);
  for (const std::uint64_t attribute :
       {attr::kNone, attr::kValueIn, attr::kRmemOut, attr::kTmemIn, attr::kRmemIn | attr::kMeta}) {
    TestMessage message{cmd::kUnregisterShm, 0, 0, 0, {Memory(attribute, 0, 0, kCookie)}};
    EXPECT_EQ(guest_.Run(message).code(), tee::code::kBadParameters) << attribute;
  }
  EXPECT_EQ(guest_.dialect().shm_count(), 1u);
}

// ---- cookies and quotas -------------------------------------------------------------------

TEST_F(ShmTest, ACookieCannotBeTakenTwice) {
  const auto pages = guest_.ram().Scattered(2);
  EXPECT_EQ(guest_.Register(kCookie, std::span(pages).first(1), 0, kPage).code(),
            tee::code::kSuccess);
  EXPECT_EQ(guest_.Register(kCookie, std::span(pages).last(1), 0, kPage).code(),
            tee::code::kBadParameters);
  ExpectReversed(Memory(attr::kRmemInOut, 0, kPage, kCookie), std::span(pages).first(1), 0, kPage);
  EXPECT_EQ(guest_.Unregister(kCookie).code(), tee::code::kSuccess);
  EXPECT_EQ(guest_.Register(kCookie, std::span(pages).last(1), 0, kPage).code(),
            tee::code::kSuccess);
  ExpectReversed(Memory(attr::kRmemInOut, 0, kPage, kCookie), std::span(pages).last(1), 0, kPage);
}

TEST_F(ShmTest, UnknownCookies) {
  const std::uint32_t session = guest_.Open(backend::fake::kEchoUuid);
  for (const std::uint64_t cookie : {std::uint64_t{1}, ~std::uint64_t{0}, kCookie << 32}) {
    EXPECT_EQ(guest_.Unregister(cookie).code(), tee::code::kBadParameters);
    EXPECT_EQ(guest_.Invoke(session, 1, {Memory(attr::kRmemInOut, 0, 8, cookie)}).code(),
              tee::code::kBadParameters);
  }
}

TEST_F(ShmTest, QuotaOfObjects) {
  const auto pages = guest_.ram().Scattered(1);
  for (std::uint64_t i = 0; i < 8; ++i) {
    EXPECT_EQ(guest_.Register(kCookie + i, pages, 0, 1).code(), tee::code::kSuccess);
  }
  EXPECT_EQ(guest_.Register(kCookie + 8, pages, 0, 1).code(), tee::code::kOutOfMemory);
  EXPECT_EQ(guest_.Unregister(kCookie).code(), tee::code::kSuccess);
  EXPECT_EQ(guest_.Register(kCookie + 8, pages, 0, 1).code(), tee::code::kSuccess);
}

TEST_F(ShmTest, QuotaOfBytes) {
  const auto page = guest_.ram().Page();
  const std::vector<std::uint64_t> half(2048, page);  // 8 MiB of one page
  EXPECT_EQ(guest_.Register(kCookie, half, 0, 8 << 20).code(), tee::code::kSuccess);
  EXPECT_EQ(guest_.Register(kCookie + 1, half, 0, 8 << 20).code(), tee::code::kSuccess);
  EXPECT_EQ(guest_.Register(kCookie + 2, std::vector{page}, 0, 1).code(), tee::code::kOutOfMemory);
  EXPECT_EQ(guest_.Unregister(kCookie).code(), tee::code::kSuccess);
  EXPECT_EQ(guest_.Register(kCookie + 2, std::vector{page}, 0, 1).code(), tee::code::kSuccess);
  EXPECT_EQ(guest_.Register(kCookie + 3, half, 0, 8 << 20).code(), tee::code::kOutOfMemory);
}

TEST_F(ShmTest, ARefusedRegistrationTakesNoQuota) {
  const std::vector<std::uint64_t> bad(4096, TestRam::kHole);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(guest_.Register(kCookie, bad, 0, 16 << 20).code(), tee::code::kBadParameters);
  }
  const std::vector<std::uint64_t> good(4096, guest_.ram().Page());
  EXPECT_EQ(guest_.Register(kCookie, good, 0, 16 << 20).code(), tee::code::kSuccess);
}

// Temporary references are bounded by the same number of bytes: they cost the host the same.
TEST_F(ShmTest, TemporaryReferencesCountWhileTheyLast) {
  const std::uint32_t session = guest_.Open(backend::fake::kHelloUuid);
  const std::uint64_t list =
      guest_.ram().List(std::vector<std::uint64_t>(2048, guest_.ram().Page()));
  const MsgParam half = Memory(attr::kTmemIn | kScattered, list, 8 << 20);
  EXPECT_EQ(guest_.Invoke(session, 0, {half, half, half}).code(), tee::code::kOutOfMemory);
  EXPECT_NE(guest_.Invoke(session, 0, {half, half}).code(), tee::code::kOutOfMemory);
  EXPECT_NE(guest_.Invoke(session, 0, {half, half}).code(), tee::code::kOutOfMemory);
}

TEST_F(ShmTest, UnregisterWaitsForTheUser) {
  const auto gate = std::make_shared<backend::FakeGate>();
  const tee::Uuid uuid{{0xAA}};
  guest_.tee().SetApplication(uuid,
                              {.name = "gate", .open = {}, .invoke = HeldAt(gate), .close = {}});
  const auto pages = guest_.ram().Scattered(1);
  ASSERT_EQ(guest_.Register(kCookie, pages, 0, kPage).code(), tee::code::kSuccess);
  const std::uint32_t session = guest_.Open(uuid);
  TestCall user(guest_, InvokeMessage(session, 0, {Memory(attr::kRmemIn, 0, 8, kCookie)}));
  user.Start();
  ASSERT_TRUE(gate->WaitForCalls(1, std::chrono::seconds(5)));

  TestCall leaver(guest_, {cmd::kUnregisterShm, 0, 0, 0, {Memory(attr::kRmemIn, 0, 0, kCookie)}});
  leaver.Start();
  EXPECT_FALSE(leaver.Wait(std::chrono::milliseconds(30)));
  // While it leaves it can neither be used, nor leave twice, nor come again.
  EXPECT_EQ(guest_.Unregister(kCookie).code(), tee::code::kBadParameters);
  EXPECT_EQ(guest_.Register(kCookie, pages, 0, kPage).code(), tee::code::kBadParameters);
  EXPECT_EQ(guest_.Invoke(session, 0, {Memory(attr::kRmemIn, 0, 8, kCookie)}).code(),
            tee::code::kBadParameters);
  gate->Release();
  EXPECT_EQ(user.Finish().code(), tee::code::kSuccess);
  EXPECT_EQ(leaver.Finish().code(), tee::code::kSuccess);
  EXPECT_EQ(guest_.Register(kCookie, pages, 0, kPage).code(), tee::code::kSuccess);
}

TEST_F(ShmTest, ABufferCannotBeUnregisteredByAMessageInside) {
  const auto pages = guest_.ram().Scattered(1);
  ASSERT_EQ(guest_.Register(kCookie, pages, 0, kPage).code(), tee::code::kSuccess);
  guest_.Place(pages[0], {cmd::kUnregisterShm, 0, 0, 0, {Memory(attr::kRmemIn, 0, 0, kCookie)}});
  EXPECT_EQ(guest_.Smc0({smc::kCallWithRegdArg, kCookie >> 32, kCookie & 0xFFFFFFFF, 0}), ret::kOk);
  EXPECT_EQ(guest_.ram().Get<MsgHeader>(pages[0]).ret, tee::code::kBadParameters);
  EXPECT_EQ(guest_.Unregister(kCookie).code(), tee::code::kSuccess);
}

TEST_F(ShmTest, ARegistrationOutlivesItsSlotAndHarmsNothing) {
  const std::vector<std::uint64_t> pages = {TestRam::kAreas[1].base};
  ASSERT_EQ(guest_.Register(kCookie, pages, 0, kPage).code(), tee::code::kSuccess);
  guest_.ram().RemoveSlot(1);
  const std::uint32_t session = guest_.Open(backend::fake::kEchoUuid);
  EXPECT_EQ(guest_.Invoke(session, 1, {Memory(attr::kRmemInOut, 0, 8, kCookie)}).code(),
            tee::code::kSuccess);
  EXPECT_EQ(guest_.Unregister(kCookie).code(), tee::code::kSuccess);
}

}  // namespace
}  // namespace vtee::optee
