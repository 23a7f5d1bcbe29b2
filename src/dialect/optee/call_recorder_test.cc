// SPDX-License-Identifier: BSD-3-Clause
#include "dialect/optee/call_recorder.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "dialect/optee/test_guest.h"

namespace vtee::optee {
namespace {

class CallRecorderTest : public ::testing::Test {
 protected:
  CallRecorderTest() : path_(testing::TempDir() + "vtee-record-" + std::to_string(getpid())) {
    std::filesystem::remove(path_);
    auto recorder = CallRecorder::Create(path_);
    EXPECT_TRUE(recorder.ok());
    guest_.dialect().SetRecorder(std::move(recorder).value());
  }
  ~CallRecorderTest() override { std::filesystem::remove(path_); }

  std::vector<std::vector<std::string>> Lines() const {
    std::vector<std::vector<std::string>> lines;
    std::ifstream file(path_);
    for (std::string line; std::getline(file, line);) {
      std::istringstream words(line);
      lines.emplace_back(std::istream_iterator<std::string>(words),
                         std::istream_iterator<std::string>());
    }
    return lines;
  }

  const std::string path_;
  TestGuest guest_;
};

TEST_F(CallRecorderTest, WritesRegistersMessagesAndListsButNoContents) {
  guest_.Smc({smc::kExchangeCapabilities, 1});
  const auto pages = guest_.ram().Scattered(2);
  guest_.ram().PutBytes(pages, 0, std::as_bytes(std::span("secret")));
  EXPECT_EQ(guest_.Register(0x77, pages, 8, kPage).code(), tee::code::kSuccess);
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[0], (std::vector<std::string>{"call", "0", "b2000009", "1", "0", "0", "0", "0"}));
  const auto& message = lines[1];
  ASSERT_EQ(message.size(), 15u);
  EXPECT_EQ(message[2], "32000012");
  EXPECT_EQ(message[8], "message");
  EXPECT_EQ(message[10].size(), 2 * MsgSize(1));
  EXPECT_EQ(message[10].substr(0, 8), "04000000");  // REGISTER_SHM
  EXPECT_EQ(message[11], "list");
  EXPECT_EQ(message[13], "1000");
  EXPECT_EQ(message[14].size(), 2 * 3 * sizeof(std::uint64_t));
  EXPECT_EQ(message[14].find("736563726574"), std::string::npos);
}

TEST_F(CallRecorderTest, AMessageInARegisteredBufferIsFound) {
  const auto pages = guest_.ram().Scattered(1);
  ASSERT_EQ(guest_.Register(0x77, pages, 0, kPage).code(), tee::code::kSuccess);
  guest_.Place(pages[0], OpenMessage(backend::fake::kHelloUuid));
  EXPECT_EQ(guest_.Smc0({smc::kCallWithRegdArg, 0, 0x77, 0}), ret::kOk);
  const auto lines = Lines();
  ASSERT_EQ(lines.size(), 2u);
  ASSERT_EQ(lines[1].size(), 11u);
  EXPECT_EQ(lines[1][9], "0");
  EXPECT_EQ(lines[1][10].size(), 2 * MsgSize(2));
}

TEST_F(CallRecorderTest, TheFileIsPrivateAndNew) {
  struct stat info {};
  ASSERT_EQ(stat(path_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0600u);
  const auto again = CallRecorder::Create(path_);
  ASSERT_FALSE(again.ok());
  EXPECT_NE(again.error().message.find(path_), std::string::npos);
}

}  // namespace
}  // namespace vtee::optee
