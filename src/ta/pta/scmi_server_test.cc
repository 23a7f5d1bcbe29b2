// SPDX-License-Identifier: BSD-3-Clause
#include "ta/pta/scmi_server.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

namespace vtee::ta {
namespace {

constexpr std::uint32_t kBase = 0x10u << 10;
constexpr std::size_t kRoom = 100;

std::vector<std::byte> Words(std::initializer_list<std::uint32_t> words) {
  std::vector<std::byte> bytes(words.size() * 4);
  std::memcpy(bytes.data(), std::data(words), bytes.size());
  return bytes;
}

TEST(ScmiServer, SaysWhoItIs) {
  EXPECT_EQ(AnswerScmi(kBase | 0, {}, kRoom), Words({0, 0x20000}));
  EXPECT_EQ(AnswerScmi(kBase | 1, {}, kRoom), Words({0, 0})) << "no protocols, no agents";
  const auto vendor = AnswerScmi(kBase | 3, {}, kRoom);
  ASSERT_EQ(vendor.size(), 20u);
  EXPECT_STREQ(reinterpret_cast<const char*>(vendor.data() + 4), "vtee");
  const auto sub_vendor = AnswerScmi(kBase | 4, {}, kRoom);
  ASSERT_EQ(sub_vendor.size(), 20u);
  EXPECT_STREQ(reinterpret_cast<const char*>(sub_vendor.data() + 4), "");
  EXPECT_EQ(AnswerScmi(kBase | 5, {}, kRoom), Words({0, 1}));
}

TEST(ScmiServer, ListsNoProtocolsWhateverIsSkipped) {
  for (const std::uint32_t skip : {0u, 1u, 0xFFFFFFFFu}) {
    EXPECT_EQ(AnswerScmi(kBase | 6, Words({skip}), kRoom), Words({0, 0}));
  }
}

TEST(ScmiServer, KnowsItsMessages) {
  for (std::uint32_t message = 0; message <= 6; ++message) {
    EXPECT_EQ(AnswerScmi(kBase | 2, Words({message}), kRoom), Words({0, 0}));
  }
  for (const std::uint32_t message : {7u, 8u, 0x100u, 0xFFFFFFFFu}) {
    EXPECT_EQ(AnswerScmi(kBase | 2, Words({message}), kRoom), Words({0xFFFFFFFC}));  // NOT_FOUND
  }
  for (std::uint32_t message = 7; message <= 0xFF; ++message) {
    EXPECT_EQ(AnswerScmi(kBase | message, {}, kRoom), Words({0xFFFFFFFF}));  // NOT_SUPPORTED
  }
}

TEST(ScmiServer, OtherProtocolsAreNotSupported) {
  for (std::uint32_t protocol = 0; protocol <= 0xFF; ++protocol) {
    if (protocol == 0x10) continue;
    EXPECT_EQ(AnswerScmi(protocol << 10, {}, kRoom), Words({0xFFFFFFFF})) << protocol;
  }
}

TEST(ScmiServer, TypeAndTokenAreTheTransports) {
  EXPECT_EQ(AnswerScmi(0xFFFC0300 | kBase, {}, kRoom), Words({0, 0x20000}));
}

TEST(ScmiServer, PayloadsOfAnotherSizeAreProtocolErrors) {
  for (std::uint32_t message = 0; message <= 6; ++message) {
    const std::size_t right = message == 2 || message == 6 ? 4 : 0;
    for (std::size_t size = 0; size <= kScmiMostPayload; ++size) {
      if (size == right) continue;
      EXPECT_EQ(AnswerScmi(kBase | message, std::vector<std::byte>(size), kRoom),
                Words({0xFFFFFFF6}))
          << message << ", " << size;
    }
  }
}

TEST(ScmiServer, AnswersFitTheRoom) {
  for (std::size_t room = kScmiLeastRoom; room < 20; ++room) {
    EXPECT_EQ(AnswerScmi(kBase | 3, {}, room), Words({0xFFFFFFF6})) << room;
  }
  EXPECT_EQ(AnswerScmi(kBase | 3, {}, 20).size(), 20u);
  EXPECT_EQ(AnswerScmi(kBase | 0, {}, 7), Words({0xFFFFFFF6}));
}

}  // namespace
}  // namespace vtee::ta
