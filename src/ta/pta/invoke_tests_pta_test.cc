// SPDX-License-Identifier: BSD-3-Clause
#include "ta/pta/invoke_tests_pta.h"

#include <numeric>
#include <stdexcept>
#include <thread>

#include "ta/pta/pta_test.h"
#include "ta/pta/self_tests.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

class InvokeTests : public PtaTest {
 protected:
  void SetUp() override { Open(kInvokeTestsPta); }
};

TEST_F(InvokeTests, ValuesAreAddedUp) {
  for (int at = 0; at < 4; ++at) {
    EntryParams params = Params(3u << (4 * at));
    params[at].a = 0xFFFFFFFF;
    params[at].b = 3;
    EXPECT_EQ(Invoke(1, params), code::kSuccess);
    EXPECT_EQ(params[at].a, 2u);
    params = Params((0x1111u & ~(0xFu << (4 * at))) | 2u << (4 * at));
    for (EntryParam& param : params) param.a = 5, param.b = 7;
    EXPECT_EQ(Invoke(1, params), code::kSuccess);
    EXPECT_EQ(params[at].a, 15u);
    EXPECT_EQ(params[at].b, 21u);
  }
}

TEST_F(InvokeTests, TheFirstByteBecomesTheSumOfAll) {
  for (int at = 0; at < 4; ++at) {
    TestMemory memory(9000);
    for (std::size_t i = 0; i < memory.bytes.size(); ++i) {
      memory.bytes[i] = static_cast<std::byte>(i * 7);
    }
    const unsigned sum =
        std::accumulate(memory.bytes.begin(), memory.bytes.end(), 0u,
                        [](unsigned n, std::byte b) { return n + std::to_integer<unsigned>(b); });
    EntryParams params = Params(7u << (4 * at));
    Give(params[at], memory);
    EXPECT_EQ(Invoke(1, params), code::kSuccess);
    EXPECT_EQ(std::to_integer<unsigned>(memory.bytes[0]), sum & 0xFF);
    params[at].size += 1;  // more than there is
    EXPECT_EQ(Invoke(1, params), code::kAccessDenied);
  }
}

TEST_F(InvokeTests, OtherParametersAreBad) {
  for (const std::uint32_t types :
       {0x0000u, 0x0033u, 0x0001u, 0x2211u, 0x0005u, 0x0007u, 0x1111u}) {
    EntryParams params = Params(types);  // buffers are NULL
    EXPECT_EQ(Invoke(1, params), code::kBadParameters) << std::hex << types;
  }
  EXPECT_EQ(Invoke(13), code::kBadParameters);
}

TEST_F(InvokeTests, ANullMemrefIsOneWithoutSize) {
  EntryParams params = Params(0x0007);
  EXPECT_EQ(Invoke(10, params), code::kSuccess);
  params[0].size = 1;
  EXPECT_EQ(Invoke(10, params), code::kBadParameters);
  const TestMemory memory(0);
  Give(params[0], memory);
  EXPECT_EQ(Invoke(10, params), code::kBadParameters);
  params = Params(0x0005);
  EXPECT_EQ(Invoke(10, params), code::kBadParameters);
}

TEST_F(InvokeTests, SelfTestsPassAndFailuresAreSeen) {
  EXPECT_EQ(Invoke(2), code::kSuccess);
  EXPECT_EQ(Invoke(6), code::kSuccess);
  EXPECT_EQ(CoreSelfTests().size(), 4u);
  EXPECT_EQ(StorageSelfTests().size(), 2u);
  const SelfTest tests[] = {{"good", [] { return true; }},
                            {"bad", [] { return false; }},
                            {"throws", []() -> bool { throw std::runtime_error("no"); }}};
  EXPECT_EQ(FailedTests(tests), (std::vector<std::string_view>{"bad", "throws"}));
}

TEST_F(InvokeTests, DevicesOnTheListHaveToBeWhatItSays) {
  AddTa(1, 0x200);
  AddTa(2, 0);
  EXPECT_EQ(Invoke(11), code::kSuccess);
  // What is installed goes first, and this one is no device.
  ASSERT_EQ(core->files().Install(Ta(1, 0)), code::kSuccess);
  EXPECT_EQ(Invoke(11), code::kGeneric);
}

TEST_F(InvokeTests, WhatVteeHasNotIsNotSupported) {
  for (const std::uint32_t command : {3u, 4u, 5u, 8u, 12u}) {
    EXPECT_EQ(Invoke(command), code::kNotSupported) << command;
  }
}

TEST_F(InvokeTests, OneWriterAtATimeAndReadersSeeWholeSteps) {
  constexpr int kThreads = 6;
  std::atomic<int> wrong = 0;
  std::vector<std::thread> threads;
  for (int n = 0; n < kThreads; ++n) {
    threads.emplace_back([&, n] {
      tee::CallContext own;
      Call mine{own, {}, 0, nullptr};
      for (int i = 0; i < 20; ++i) {
        EntryParams params = Params(0x0021);
        params[0].a = n % 3 == 0 ? 0 : 1;
        params[0].b = 2000;
        const auto outcome = core->Invoke(mine, mine.cancellation, nullptr, session, 7, params);
        const bool alone = params[1].b == 1;
        const bool some = params[1].b >= 1 && params[1].b <= kThreads && params[1].a >= 1;
        if (!outcome.ok() || !some || (params[0].a == 0 && !alone)) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EntryParams params = Params(0x0021);
  params[0].a = 2;
  EXPECT_EQ(Invoke(7, params), code::kBadParameters);
  params[0].a = 0;
  params[0].b = (1u << 20) + 1;
  EXPECT_EQ(Invoke(7, params), code::kBadParameters);
  params = Params(0x0011);
  EXPECT_EQ(Invoke(7, params), code::kBadParameters);
}

TEST_F(InvokeTests, AesGoesThereAndBack) {
  const auto run = [&](std::uint32_t how, std::uint32_t mode, std::uint64_t repeats,
                       std::uint64_t unit, const TestMemory& in, const TestMemory& out) {
    EntryParams params = Params(0x7711);
    params[0].a = how;
    params[0].b = mode;
    params[1].a = repeats;
    params[1].b = unit;
    Give(params[2], in);
    Give(params[3], out);
    return Invoke(9, params);
  };
  constexpr std::uint32_t kDecrypt = 1u << 16;
  for (std::uint32_t mode = 0; mode < 5; ++mode) {
    const TestMemory plain(std::vector<std::byte>(320, std::byte{0x42}));
    const TestMemory coded(320);
    const TestMemory back(400);
    EXPECT_EQ(run(256, mode, 1, 64, plain, coded), code::kSuccess) << mode;
    EXPECT_NE(coded.bytes, plain.bytes) << mode;
    EXPECT_EQ(run(kDecrypt | 256, mode, 1, 32, coded, back), code::kSuccess) << mode;
    EXPECT_TRUE(std::ranges::equal(plain.bytes, std::span(back.bytes).first(320))) << mode;
    EXPECT_EQ(run(128, mode, 3, 64, plain, coded), code::kSuccess) << mode;
    EXPECT_EQ(run(256, mode, 1, 64, back, coded), code::kBadParameters) << "no room " << mode;
    EXPECT_EQ(run(129, mode, 1, 64, plain, coded), code::kBadParameters) << mode;
    EXPECT_EQ(run(512, mode, 1, 64, plain, coded), code::kBadParameters) << mode;
    EXPECT_EQ(run(256, mode, 1, 0, plain, coded), code::kBadParameters) << mode;
    EXPECT_EQ(run(256, mode, 1u << 20, 64, plain, coded), code::kBadParameters) << mode;
    EXPECT_EQ(run(256, mode, ~std::uint64_t{0}, 64, plain, coded), code::kBadParameters) << mode;
  }
  const TestMemory memory(16);
  EXPECT_EQ(run(256, 5, 1, 16, memory, memory), code::kBadParameters);
}

}  // namespace
}  // namespace vtee::ta
