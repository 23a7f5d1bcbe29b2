// SPDX-License-Identifier: BSD-3-Clause
// What a guest may have mapped for pseudo-TAs: the whole buffers of its calls, all together.
#include "dialect/optee/pseudo_memory.h"

#include <gtest/gtest.h>

#include "dialect/optee/test_guest.h"

namespace vtee::optee {
namespace {

constexpr std::uint64_t kCookie = 0x1234'5678'9000;
constexpr std::uint64_t kLimit = 2 * kPage;
constexpr tee::Uuid kOrdinary{{0x5E, 0x0D, 0x01}};

tee::Uuid SelfTests() {
  tee::Uuid uuid;
  EXPECT_TRUE(tee::ParseUuid("d96a5b40-c3e5-21e3-8794-1002a5d5c61b", uuid));
  return uuid;
}

mediator::Policy Limited() {
  mediator::Policy policy;
  policy.max_pseudo_bytes = kLimit;
  return policy;
}

class Buffer final : public tee::RegisteredMemory {
 public:
  explicit Buffer(std::uint64_t size) : size_(size) {}
  std::uint64_t size() const override { return size_; }

 private:
  const std::uint64_t size_;
};

tee::Params Passing(Buffer& buffer) {
  tee::Params params{};
  params[1].kind = tee::Param::Kind::kMemory;
  params[1].memory = &buffer;
  params[1].size = 1;
  return params;
}

TEST(PseudoMemoryTest, CallsAtOneTimeShareTheLimit) {
  const mediator::Policy policy = Limited();
  PseudoMemory memory(policy);
  Buffer page(1);
  std::optional<PseudoMemory::Use> first = memory.Take(SelfTests(), Passing(page));
  std::optional<PseudoMemory::Use> second = memory.Take(SelfTests(), Passing(page));
  ASSERT_TRUE(first && second);
  EXPECT_FALSE(memory.Take(SelfTests(), Passing(page)));
  EXPECT_TRUE(memory.Take(SelfTests(), {})) << "maps nothing";
  EXPECT_TRUE(memory.Take(kOrdinary, Passing(page)));
  first.reset();
  EXPECT_TRUE(memory.Take(SelfTests(), Passing(page))) << "its end has made room";
}

TEST(PseudoMemoryTest, SizesDoNotWrap) {
  const mediator::Policy policy = Limited();
  PseudoMemory memory(policy);
  Buffer all(~std::uint64_t{0});
  tee::Params params = Passing(all);
  params[0] = params[2] = params[3] = params[1];
  EXPECT_FALSE(memory.Take(SelfTests(), params));
  Buffer page(kPage);
  EXPECT_TRUE(memory.Take(SelfTests(), Passing(page)));
}

class PseudoMemoryCallTest : public testing::Test {
 protected:
  void Install(TestGuest& guest, const tee::Uuid& uuid) {
    backend::FakeApplication application;
    application.name = "counts";
    application.open = application.invoke = [this](backend::FakeCall&) {
      ++calls_;
      return tee::Outcome{tee::code::kSuccess, tee::Origin::kTrustedApp};
    };
    guest.tee().SetApplication(uuid, std::move(application));
  }
  // One byte of a registered buffer.
  static TestResult Pass(TestGuest& guest, const tee::Uuid& uuid) {
    const std::uint32_t session = guest.Open(uuid);
    return guest.Invoke(session, 0, {Memory(attr::kRmemIn, 8, 1, kCookie)});
  }

  int calls_ = 0;
};

TEST_F(PseudoMemoryCallTest, AByteOfALargeBufferCountsAsAllOfIt) {
  for (const std::uint64_t pages : {2, 3}) {
    TestGuest guest(Limited());
    Install(guest, SelfTests());
    Install(guest, kOrdinary);
    std::vector<std::uint64_t> list;
    for (std::uint64_t i = 0; i < pages; ++i) list.push_back(guest.ram().Pages(1));
    ASSERT_EQ(guest.Register(kCookie, list, 0, pages * kPage).code(), tee::code::kSuccess);
    calls_ = 0;
    const TestResult result = Pass(guest, SelfTests());
    EXPECT_EQ(result.code(), pages == 2 ? tee::code::kSuccess : tee::code::kOutOfMemory);
    EXPECT_EQ(calls_, pages == 2 ? 2 : 1) << "refused without asking the TEE";
    EXPECT_EQ(Pass(guest, kOrdinary).code(), tee::code::kSuccess);
  }
}

TEST_F(PseudoMemoryCallTest, ThePolicyNamesOthers) {
  mediator::Policy policy = Limited();
  policy.pseudo_applications.insert(kOrdinary);
  TestGuest guest(policy);
  Install(guest, kOrdinary);
  const std::vector<std::uint64_t> list{guest.ram().Pages(1), guest.ram().Pages(1),
                                        guest.ram().Pages(1)};
  ASSERT_EQ(guest.Register(kCookie, list, 0, 3 * kPage).code(), tee::code::kSuccess);
  EXPECT_EQ(Pass(guest, kOrdinary).code(), tee::code::kOutOfMemory);
}

TEST_F(PseudoMemoryCallTest, OpeningASessionCountsToo) {
  TestGuest guest(Limited());
  Install(guest, SelfTests());
  TestMessage open = OpenMessage(SelfTests());
  const std::uint64_t at = guest.ram().Pages(3);
  open.params.push_back(Memory(attr::kTmemIn, at, 2 * kPage + 1));
  EXPECT_EQ(guest.Run(open).code(), tee::code::kOutOfMemory);
  EXPECT_EQ(calls_, 0);
}

}  // namespace
}  // namespace vtee::optee
