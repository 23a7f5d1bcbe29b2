// SPDX-License-Identifier: BSD-3-Clause
#include "ta/pta/rtc_pta.h"

#include <cstring>
#include <ctime>

#include "ta/pta/device_pta.h"
#include "ta/pta/pta_test.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

class Rtc : public PtaTest {
 protected:
  void SetUp() override {
    client.login = static_cast<std::uint32_t>(tee::Login::kReeKernel);
    Open(kRtcPta);
  }
  std::uint32_t Get(RtcTime& time) {
    const TestMemory memory(sizeof(time));
    EntryParams params = Params(0x0006);
    Give(params[0], memory);
    const std::uint32_t result = Invoke(1, params);
    std::memcpy(&time, memory.bytes.data(), sizeof(time));
    return result;
  }
  std::uint32_t Set(const RtcTime& time) {
    TestMemory memory(sizeof(time));
    std::memcpy(memory.bytes.data(), &time, sizeof(time));
    EntryParams params = Params(0x0005);
    Give(params[0], memory);
    return Invoke(2, params);
  }
};

TEST_F(Rtc, TellsTheHostsTimeUntilItIsSet) {
  RtcTime time;
  const std::int64_t before = std::time(nullptr);
  ASSERT_EQ(Get(time), code::kSuccess);
  const auto got = FromRtc(time);
  ASSERT_TRUE(got);
  EXPECT_GE(*got, before);
  EXPECT_LE(*got, before + 60);
  const RtcTime other{.second = 5, .minute = 4, .hour = 3, .day = 29, .month = 1, .year = 2040};
  ASSERT_EQ(Set(other), code::kSuccess);
  ASSERT_EQ(Get(time), code::kSuccess);
  EXPECT_GE(*FromRtc(time), *FromRtc(other));
  EXPECT_LE(*FromRtc(time), *FromRtc(other) + 60);
  EXPECT_EQ(time.weekday, 3u);  // a Wednesday, whatever was set
  EXPECT_LE(std::time(nullptr), before + 60) << "the host's clock stays";
}

TEST_F(Rtc, TimesThatAreNoneAreRefused) {
  const RtcTime good{.day = 28, .month = 1, .year = 2023};
  ASSERT_EQ(Set(good), code::kSuccess);
  for (const auto& [field, value] : {std::pair{&RtcTime::second, 60u},
                                     {&RtcTime::minute, 60u},
                                     {&RtcTime::hour, 24u},
                                     {&RtcTime::day, 0u},
                                     {&RtcTime::day, 29u},
                                     {&RtcTime::day, 0xFFFFFFFFu},
                                     {&RtcTime::month, 12u},
                                     {&RtcTime::month, 0xFFFFFFFFu},
                                     {&RtcTime::year, 1999u},
                                     {&RtcTime::year, 2100u},
                                     {&RtcTime::year, 0xFFFFFFFFu}}) {
    RtcTime bad = good;
    bad.*field = value;
    EXPECT_EQ(Set(bad), code::kBadParameters) << value;
  }
}

TEST_F(Rtc, ConversionsAgreeWithTheCLibrary) {
  for (std::int64_t at = 946684800; at < 4102444800; at += 86400 * 13 + 12345) {
    const time_t seconds = at;
    tm expected{};
    gmtime_r(&seconds, &expected);
    const auto time = ToRtc(at);
    ASSERT_TRUE(time);
    EXPECT_EQ(FromRtc(*time), at);
    EXPECT_EQ(time->year, static_cast<unsigned>(expected.tm_year + 1900));
    EXPECT_EQ(time->month, static_cast<unsigned>(expected.tm_mon));
    EXPECT_EQ(time->day, static_cast<unsigned>(expected.tm_mday));
    EXPECT_EQ(time->hour, static_cast<unsigned>(expected.tm_hour));
    EXPECT_EQ(time->weekday, static_cast<unsigned>(expected.tm_wday));
  }
  EXPECT_FALSE(ToRtc(946684799));
  EXPECT_FALSE(ToRtc(4102444800));
}

TEST_F(Rtc, SaysWhatItIsAndNeedsExactSizes) {
  const TestMemory memory(72);
  EntryParams params = Params(0x0006);
  Give(params[0], memory);
  EXPECT_EQ(Invoke(0, params), code::kSuccess);
  EXPECT_EQ(memory.bytes[0], std::byte{1});
  EXPECT_EQ(memory.bytes[8], std::byte{0});  // no features
  for (const std::uint64_t size : {71u, 28u, 0u}) {
    params[0].size = size;
    EXPECT_EQ(Invoke(0, params), code::kBadParameters);
  }
  params = Params(0x0006);
  params[0].size = sizeof(RtcTime);  // at NULL
  EXPECT_EQ(Invoke(1, params), code::kBadParameters);
  EXPECT_EQ(Invoke(2), code::kBadParameters);
  for (std::uint32_t command = 3; command <= 10; ++command) {
    EXPECT_EQ(Invoke(command), code::kNotSupported);
  }
  EXPECT_EQ(Invoke(11), code::kNotImplemented);
}

TEST_F(Rtc, IsADeviceOfTheGuestsKernelAlone) {
  EntryParams none{};
  for (const tee::Login login : {tee::Login::kPublic, tee::Login::kUser}) {
    const ClientIdentity program{static_cast<std::uint32_t>(login), {}};
    EXPECT_EQ(
        core->OpenSession(call, call.cancellation, nullptr, program, kRtcPta, none, session).code,
        code::kAccessDenied);
  }
  Open(kDevicePta);
  const TestMemory memory(64);
  EntryParams params = Params(0x0006);
  Give(params[0], memory);
  ASSERT_EQ(Invoke(0, params), code::kSuccess);
  const auto octets = std::as_bytes(std::span(kRtcPta.octets));
  EXPECT_FALSE(std::ranges::search(memory.bytes, octets).empty());
  Give(params[0], memory);
  ASSERT_EQ(Invoke(1, params), code::kSuccess);
  EXPECT_EQ(params[0].size, 0u);  // it does not wait for the supplicant
}

}  // namespace
}  // namespace vtee::ta
