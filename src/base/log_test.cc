// SPDX-License-Identifier: BSD-3-Clause
#include "base/log.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"

namespace vtee {
namespace {

class LogTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/vtee-log-test-XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    folder_ = name;
    ASSERT_TRUE(SetLogFile(Path()).ok());
    SetLogLevel(LogLevel::kInfo);
  }
  void TearDown() override {
    SetLogLevel(LogLevel::kInfo);
    unlink(Path().c_str());
    rmdir(folder_.c_str());
  }

  std::string Path() const { return folder_ + "/log"; }
  std::vector<std::string> Lines() const {
    std::vector<std::string> lines;
    std::ifstream file(Path());
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
  }
  // The one line, without its time.
  std::string OnlyLine() const {
    const std::vector<std::string> lines = Lines();
    EXPECT_EQ(lines.size(), 1u);
    return lines.empty() ? "" : lines[0].substr(lines[0].find(' ') + 1);
  }

  std::string folder_;
};

TEST_F(LogTest, LineHasTimeLevelEventAndFields) {
  Log(LogLevel::kWarning, "vm.start",
      {{"name", "one"}, {"ipa", Hex(0x40000000)}, {"n", 7u}, {"m", -1}});
  EXPECT_EQ(OnlyLine(), "warning vm.start name=one ipa=0x40000000 n=7 m=-1");
  const std::string line = Lines().at(0);
  EXPECT_EQ(line.find("Z "), 26u) << line;  // 2025-01-01T00:00:00.000000Z
}

TEST_F(LogTest, ValuesCannotForgeLinesOrFields) {
  const struct {
    std::string value;
    std::string written;
  } cases[] = {
      {"", "\"\""},
      {"a b", "\"a b\""},
      {"a\nerror forged", "\"a\\x0aerror forged\""},
      {"x=1", "\"x=1\""},
      {"quote\"", "\"quote\\\"\""},
      {"back\\slash", "\"back\\\\slash\""},
      {std::string("nul\0", 4), "\"nul\\x00\""},
      {"\x1b[2J", "\"\\x1b[2J\""},
      {"\x7f\x80\xff", "\"\\x7f\\x80\\xff\""},
      {"plain-09:/.~", "plain-09:/.~"},
  };
  for (const auto& test : cases) Log(LogLevel::kInfo, "e", {{"v", test.value}});
  const std::vector<std::string> lines = Lines();
  ASSERT_EQ(lines.size(), std::size(cases));
  for (std::size_t i = 0; i < lines.size(); ++i) {
    EXPECT_EQ(lines[i].substr(lines[i].find(' ') + 1), "info e v=" + cases[i].written);
  }
}

TEST_F(LogTest, LongValuesAreCut) {
  Log(LogLevel::kInfo, "e", {{"v", std::string(100'000, 'x')}});
  const std::string line = OnlyLine();
  EXPECT_LT(line.size(), 1100u);
  EXPECT_EQ(line.substr(line.size() - 5), "x...\"");
}

TEST_F(LogTest, LevelFilters) {
  SetLogLevel(LogLevel::kWarning);
  Log(LogLevel::kDebug, "a");
  Log(LogLevel::kInfo, "b");
  LogGuest(LogLevel::kInfo, "c");
  EXPECT_TRUE(Lines().empty());
  Log(LogLevel::kWarning, "d");
  Log(LogLevel::kError, "e");
  EXPECT_EQ(Lines().size(), 2u);
  SetLogLevel(LogLevel::kDebug);
  Log(LogLevel::kDebug, "f");
  EXPECT_EQ(Lines().size(), 3u);
}

TEST_F(LogTest, ParsesLevels) {
  EXPECT_EQ(*ParseLogLevel("debug"), LogLevel::kDebug);
  EXPECT_EQ(*ParseLogLevel("error"), LogLevel::kError);
  for (const char* name : {"", "Debug", "warn", "info "}) {
    EXPECT_EQ(ParseLogLevel(name).error().code, ErrorCode::kInvalidArgument);
  }
}

TEST_F(LogTest, GuestEventsAreLimitedPerName) {
  const std::uint64_t before = DroppedGuestLogLines();
  for (int i = 0; i < 2000; ++i) LogGuest(LogLevel::kInfo, "flood.one", {{"i", i}});
  const std::uint64_t dropped = DroppedGuestLogLines() - before;
  EXPECT_GE(dropped, 1900u);
  EXPECT_GE(Lines().size(), 20u);
  EXPECT_LE(Lines().size(), 2000 - dropped + 10);
  LogGuest(LogLevel::kInfo, "flood.two");  // another name has its own burst
  EXPECT_NE(Lines().back().find("flood.two"), std::string::npos);
  for (int i = 0; i < 200; ++i) Log(LogLevel::kInfo, "own");  // the process's own are not limited
  EXPECT_NE(Lines().back().find("own"), std::string::npos);
}

TEST_F(LogTest, DroppedLinesAreReportedWhenTheFloodEnds) {
  for (int i = 0; i < 50; ++i) LogGuest(LogLevel::kInfo, "flood.three");
  usleep(600'000);  // one token comes every half second
  LogGuest(LogLevel::kInfo, "flood.three");
  const std::vector<std::string> lines = Lines();
  ASSERT_GE(lines.size(), 2u);
  EXPECT_NE(lines[lines.size() - 2].find("log.dropped of=flood.three lines="), std::string::npos)
      << lines[lines.size() - 2];
}

TEST_F(LogTest, ThreadsDoNotMixLines) {
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([] {
      for (int i = 0; i < 200; ++i) Log(LogLevel::kInfo, "e", {{"v", std::string(100, 'x')}});
    });
  }
  for (std::thread& thread : threads) thread.join();
  const std::vector<std::string> lines = Lines();
  EXPECT_EQ(lines.size(), 800u);
  for (const std::string& line : lines) EXPECT_EQ(line.size(), lines[0].size());
}

TEST_F(LogTest, FileIsPrivateAndNoSymlinkIsFollowed) {
  struct stat info {};
  ASSERT_EQ(stat(Path().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0077u, 0u);
  const std::string link = folder_ + "/link";
  ASSERT_EQ(symlink(Path().c_str(), link.c_str()), 0);
  EXPECT_FALSE(SetLogFile(link).ok());
  unlink(link.c_str());
  EXPECT_EQ(SetLogFile(folder_ + "/none/log").error().code, ErrorCode::kNotFound);
  Log(LogLevel::kInfo, "still.here");  // the old file stays in use
  EXPECT_EQ(OnlyLine(), "info still.here");
}

TEST_F(LogTest, AClosedPipeDoesNotEndTheProcess) {
  const std::string fifo = folder_ + "/fifo";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    signal(SIGPIPE, SIG_DFL);
    UniqueFd reader(open(fifo.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    if (!SetLogFile(fifo).ok()) _exit(1);
    reader.Reset();
    Log(LogLevel::kError, "nobody.reads");
    _exit(7);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 7) << status;
  unlink(fifo.c_str());
}

}  // namespace
}  // namespace vtee
