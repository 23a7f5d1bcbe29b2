// SPDX-License-Identifier: BSD-3-Clause
#include "ta/pta/stats_pta.h"

#include <cstring>
#include <ctime>

#include "ta/pta/pta_test.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

class Stats : public PtaTest {
 protected:
  void SetUp() override { Open(kStatsPta); }
};

std::uint32_t Word(std::span<const std::byte> bytes, std::size_t at) {
  std::uint32_t word = 0;
  std::memcpy(&word, bytes.subspan(at, sizeof(word)).data(), sizeof(word));
  return word;
}

TEST_F(Stats, ThereAreFivePoolsOrOne) {
  EntryParams params = Params(0x0061);
  EXPECT_EQ(Invoke(1, params), code::kShortBuffer);
  EXPECT_EQ(params[1].size, 5u * 64);
  const TestMemory memory(400);
  Give(params[1], memory);
  EXPECT_EQ(Invoke(1, params), code::kSuccess);
  EXPECT_EQ(params[1].size, 5u * 64);
  const std::span<const std::byte> tas = std::span(memory.bytes).subspan(2 * 64, 64);
  EXPECT_STREQ(reinterpret_cast<const char*>(tas.data()), "Memory of TAs");
  EXPECT_EQ(Word(tas, 40), 0u);           // nothing runs
  EXPECT_EQ(Word(tas, 48), 0xFFFFFFFFu);  // 8 GiB do not fit
  EXPECT_EQ(memory.bytes[5 * 64], std::byte{0});
  const TestMemory one(64);
  params = Params(0x0061);
  params[0].a = 3;
  Give(params[1], one);
  EXPECT_EQ(Invoke(1, params), code::kSuccess);
  EXPECT_TRUE(std::ranges::equal(one.bytes, tas));
  for (const std::uint64_t pool : {std::uint64_t{6}, std::uint64_t{1} << 32}) {
    params[0].a = pool;
    EXPECT_EQ(Invoke(1, params), code::kBadParameters);
  }
}

TEST_F(Stats, OfTasHaveTheLayoutOfOpTee) {
  EntryParams params = Params(0x0006);
  EXPECT_EQ(Invoke(3, params), code::kItemNotFound);
  tee::Uuid uuid;
  for (std::size_t i = 0; i < uuid.octets.size(); ++i)
    uuid.octets[i] = static_cast<std::uint8_t>(i);
  const TeeCore::Running running[] = {{uuid, false, 2, 0x5000}, {uuid, true, 0, 1ull << 40}};
  const std::vector<std::byte> bytes = EncodeTaStats(running, 0x10000);
  ASSERT_EQ(bytes.size(), 2u * 88);
  EXPECT_EQ(Word(bytes, 0), 0x00010203u);
  EXPECT_EQ(Word(bytes, 16), 0u);
  EXPECT_EQ(Word(bytes, 20), 2u);
  EXPECT_EQ(Word(bytes, 24 + 40), 0x5000u);
  EXPECT_EQ(Word(bytes, 24 + 48), 0x10000u);
  EXPECT_EQ(Word(bytes, 88 + 16), 1u);
  EXPECT_EQ(Word(bytes, 88 + 24 + 40), 0xFFFFFFFFu);
}

TEST_F(Stats, TimesAreTheGuestsAndTheTees) {
  EntryParams params = Params(0x0022);
  const auto before = static_cast<std::uint64_t>(time(nullptr));
  EXPECT_EQ(Invoke(4, params), code::kSuccess);
  EXPECT_GE(params[0].a, before);
  EXPECT_LE(params[0].a, before + 60);
  EXPECT_LT(params[1].a, 60u);  // since it was started
  EXPECT_LT(params[1].b, 1000u);
}

TEST_F(Stats, ThereAreNoPagerClocksOrRegulators) {
  EntryParams params = Params(0x0222);
  params[0].b = 7;
  EXPECT_EQ(Invoke(0, params), code::kSuccess);
  EXPECT_EQ(params[0].b, 0u);
  EXPECT_EQ(Invoke(2), code::kSuccess);
  params = Params(0x0001);
  EXPECT_EQ(Invoke(5, params), code::kNotSupported);
  params[0].a = 2;
  EXPECT_EQ(Invoke(5, params), code::kBadParameters);
}

TEST_F(Stats, OtherParametersAreBad) {
  for (std::uint32_t command = 0; command < 7; ++command) {
    EntryParams params = Params(0x0007);
    EXPECT_EQ(Invoke(command, params), code::kBadParameters) << command;
  }
}

}  // namespace
}  // namespace vtee::ta
