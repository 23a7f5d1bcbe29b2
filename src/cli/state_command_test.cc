// SPDX-License-Identifier: BSD-3-Clause
#include "cli/state_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/options.h"
#include "ta/storage/test_state.h"

namespace vtee::cli {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

struct Said {
  int status = 0;
  std::string out, err;
};

class StateCommandTest : public testing::Test {
 protected:
  void SetUp() override { ta::AddObject(vm_, "a"); }

  Said Run(std::vector<std::string> words, const char* answer = nullptr) {
    words.insert(words.begin(), "state");
    Person person{nullptr, answer != nullptr, dir_ / "default"};
    if (answer != nullptr) {
      person.answers = std::tmpfile();
      std::fputs(answer, person.answers);
      std::rewind(person.answers);
    }
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const Options options = ParseOptions(words);
    Said said;
    said.status = options.state ? StateCommand(*options.state, person) : options.exit_status;
    std::fflush(nullptr);
    said.out = testing::internal::GetCapturedStdout();
    said.err = testing::internal::GetCapturedStderr();
    if (person.answers != nullptr) std::fclose(person.answers);
    return said;
  }

  ta::TestDir dir_;
  const std::string vm_ = dir_ / "vm";
  const std::string uuid_ = tee::ToString(ta::TestUuid(7));
};

TEST_F(StateCommandTest, ListsAFolderOfStates) {
  ta::AddObject(dir_ / "other", "a");
  const auto running = ta::MustOpenState(dir_ / "other");
  const Said said = Run({"list", dir_ / ""});
  EXPECT_EQ(said.status, 0);
  EXPECT_EQ(said.err, "");
  EXPECT_THAT(said.out, StartsWith("FOLDER"));
  EXPECT_THAT(said.out, testing::ContainsRegex(vm_ + " +" + uuid_ +
                                               " +web +1 +1 +1 +896 +20[0-9: -]+ +free\n"));
  EXPECT_THAT(said.out, testing::ContainsRegex("other +" + uuid_ + " +web +- .* process " +
                                               std::to_string(getpid()) + "\n"));
}

TEST_F(StateCommandTest, ListsTheDefaultFolderIfThereIsOne) {
  Said said = Run({"list"});
  EXPECT_EQ(said.status, 0);
  EXPECT_THAT(said.err, HasSubstr("there is no state in " + (dir_ / "default")));
  fs::create_directory(dir_ / "default");
  ta::AddObject(dir_ / "default/one", "a");
  said = Run({"list"});
  EXPECT_EQ(said.status, 0);
  EXPECT_THAT(said.out, HasSubstr("default/one"));
}

TEST_F(StateCommandTest, ListSaysWhatIsWrong) {
  fs::remove(vm_ + "/root.sealed");
  Said said = Run({"list", vm_});
  EXPECT_EQ(said.status, kTroubleStatus);
  EXPECT_THAT(said.err, HasSubstr("is missing"));
  said = Run({"list", dir_ / "none"});
  EXPECT_EQ(said.status, kUsageStatus);
  EXPECT_THAT(said.err, HasSubstr("cannot look into"));
}

TEST_F(StateCommandTest, BacksUpAndRestores) {
  const std::string file = dir_ / "b.tar";
  Said said = Run({"backup", vm_, file});
  EXPECT_EQ(said.status, 0) << said.err;
  EXPECT_THAT(said.out,
              AllOf(HasSubstr("has state 2 of the VM " + uuid_), HasSubstr("keep it safe")));
  said = Run({"backup", vm_, file});
  EXPECT_EQ(said.status, kUsageStatus);
  EXPECT_THAT(said.err, HasSubstr("is there already"));
  said = Run({"restore", file, dir_ / "new"});
  EXPECT_EQ(said.status, kUsageStatus);
  EXPECT_THAT(said.err, AllOf(StartsWith("vtee: no anchor"), HasSubstr("--accept-rollback\n")));
  said = Run({"restore", "--accept-rollback", file, dir_ / "new"});
  EXPECT_EQ(said.status, 0) << said.err;
  EXPECT_THAT(said.out, HasSubstr("checked with the host's key"));
  EXPECT_EQ(ta::ObjectsIn(dir_ / "new"), 1U);
}

TEST_F(StateCommandTest, LeavesTheKeyOut) {
  const std::string file = dir_ / "b.tar";
  const Said said = Run({"backup", "--without-key", vm_, file});
  EXPECT_EQ(said.status, 0) << said.err;
  EXPECT_THAT(said.out, HasSubstr("without the host's key"));
  fs::rename(vm_ + ".key", dir_ / "key");
  const Said restored =
      Run({"restore", "--accept-rollback", "--state-key", dir_ / "key", file, dir_ / "new"});
  EXPECT_EQ(restored.status, 0) << restored.err;
}

// What people have at hand reads it, too.
TEST_F(StateCommandTest, TarAndSha256sumReadABackup) {
  if (std::system("command -v tar sha256sum >/dev/null") != 0) GTEST_SKIP() << "no tar here";
  ASSERT_EQ(Run({"backup", vm_, dir_ / "b.tar"}).status, 0);
  fs::create_directory(dir_ / "t");
  const std::string command = "cd '" + (dir_ / "t") +
                              "' && tar xf ../b.tar && sha256sum -c --quiet "
                              "--strict SHA256SUMS && cmp root.sealed ../vm/root.sealed";
  EXPECT_EQ(std::system(command.c_str()), 0);
}

TEST_F(StateCommandTest, DestroysWhenAPersonSaysYes) {
  Said said = Run({"destroy", vm_});
  EXPECT_EQ(said.status, kUsageStatus);
  EXPECT_THAT(said.err, HasSubstr("nobody to ask"));
  for (const char* answer : {"", "no\n", "y\n", "yes please\n"}) {
    said = Run({"destroy", vm_}, answer);
    EXPECT_EQ(said.status, kUsageStatus);
    EXPECT_THAT(said.out, AllOf(HasSubstr(uuid_ + " (web)"), HasSubstr("1 objects")));
    EXPECT_THAT(said.err, HasSubstr("nothing was destroyed"));
  }
  EXPECT_EQ(ta::ObjectsIn(vm_), 1U);
  said = Run({"destroy", vm_}, "yes\n");
  EXPECT_EQ(said.status, 0) << said.err;
  EXPECT_FALSE(fs::exists(vm_));
}

TEST_F(StateCommandTest, DestroysUnaskedOnlyWhatIsFree) {
  auto running = ta::MustOpenState(vm_);
  Said said = Run({"destroy", "--yes", vm_});
  EXPECT_EQ(said.status, kUsageStatus);
  EXPECT_THAT(said.err, HasSubstr("stop the other one first"));
  running.reset();
  EXPECT_EQ(Run({"destroy", "--yes", vm_}).status, 0);
  EXPECT_FALSE(fs::exists(vm_));
}

TEST_F(StateCommandTest, MistakesAreOneSentenceWithAHint) {
  for (const auto& [words, sentence] :
       {std::pair{std::vector<std::string>{}, "a command is missing"},
        {{"frob"}, "there is no option or command 'frob'"},
        {{"backup"}, "FOLDER is missing"},
        {{"backup", "x"}, "FILE is missing"},
        {{"restore", "a", "b", "c"}, "there is no option or command 'c'"},
        {{"list", "--yes"}, "there is no option or command '--yes'"}}) {
    const Said said = Run(words);
    EXPECT_EQ(said.status, kUsageStatus);
    EXPECT_EQ(said.err, "vtee: " + std::string(sentence) + "; see 'vtee help state'\n");
  }
}

TEST_F(StateCommandTest, HasHelp) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"--help"}, {"backup", "--help"}, {"destroy", "--help"}}) {
    const Said said = Run(words);
    EXPECT_EQ(said.status, 0);
    EXPECT_THAT(said.out, HasSubstr("key"));
    for (std::size_t at = 0, end; at < said.out.size(); at = end + 1) {
      end = said.out.find('\n', at);
      EXPECT_LE(end - at, 100U) << said.out.substr(at, end - at);
    }
  }
}

}  // namespace
}  // namespace vtee::cli
