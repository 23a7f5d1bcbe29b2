// SPDX-License-Identifier: BSD-3-Clause
#include "cli/options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vtee::cli {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

TEST(OptionsTest, ReadsARun) {
  const std::vector<std::string> words = {"run",
                                          "--backend",
                                          "host,device=/dev/tee1",
                                          "--config=f.toml",
                                          "--conduit",
                                          "hvc",
                                          "--interrupt",
                                          "12",
                                          "--vmm=qemu",
                                          "--no-dtb",
                                          "--dry-run",
                                          "--name",
                                          "web",
                                          "--log-level",
                                          "debug",
                                          "--log-file",
                                          "l",
                                          "--vteed",
                                          "v",
                                          "--shim",
                                          "s",
                                          "--",
                                          "qemu",
                                          "--dry-run",
                                          "--"};
  const Options options = ParseOptions(words);
  ASSERT_TRUE(options.run);
  const RunOptions& run = *options.run;
  EXPECT_EQ(run.backend, "host,device=/dev/tee1");
  EXPECT_EQ(run.config, "f.toml");
  EXPECT_EQ(run.conduit, Conduit::kHvc);
  EXPECT_EQ(run.interrupt.spi, 12u);
  EXPECT_EQ(run.vmm_kind, VmmKind::kQemu);
  EXPECT_TRUE(run.no_dtb && run.dry_run);
  EXPECT_EQ(run.name + run.log_level + run.log_file + run.vteed + run.shim, "webdebuglvs");
  EXPECT_THAT(run.vmm, ElementsAre("qemu", "--dry-run", "--"));
}

TEST(OptionsTest, HasDefaults) {
  const std::vector<std::string> words = {"run", "--", "x"};
  const Options options = ParseOptions(words);
  ASSERT_TRUE(options.run);
  EXPECT_EQ(options.run->conduit, Conduit::kSmc);
  EXPECT_EQ(options.run->interrupt.kind, InterruptChoice::Kind::kAuto);
  EXPECT_EQ(options.run->vmm_kind, VmmKind::kAuto);
}

TEST(OptionsTest, AProfileWithoutNotificationsNeedsNoInterrupt) {
  for (const auto& [profile, kind] : {std::pair{"linux", InterruptChoice::Kind::kAuto},
                                      {"static", InterruptChoice::Kind::kAuto},
                                      {"u-boot", InterruptChoice::Kind::kNone},
                                      {"edk2", InterruptChoice::Kind::kNone}}) {
    const std::vector<std::string> words = {
        "run", "--tee-profile", profile, "--window", "64K", "--", "x"};
    const Options options = ParseOptions(words);
    ASSERT_TRUE(options.run);
    EXPECT_EQ(options.run->profile, profile);
    EXPECT_EQ(options.run->window, "64K");
    EXPECT_EQ(options.run->interrupt.kind, kind) << profile;
  }
}

TEST(OptionsTest, MistakesAreOneSentenceWithAHint) {
  struct Mistake {
    std::vector<std::string> words;
    std::string sentence;
  };
  const std::vector<Mistake> mistakes = {
      {{}, "a command is missing"},
      {{"frob"}, "there is no option or command 'frob'"},
      {{"help", "frob"}, "there is no option or command 'frob'"},
      {{"--bogus"}, "there is no option or command '--bogus'"},
      {{"run", "--bogus", "--", "x"}, "there is no option or command '--bogus'"},
      {{"run"}, "run needs '--'"},
      {{"run", "--"}, "run needs '--'"},
      {{"run", "--conduit", "smb", "--", "x"}, "--conduit must be smc or hvc, not 'smb'"},
      {{"run", "--tee-profile", "x", "--", "x"},
       "--tee-profile must be linux or linux-no-rpc-arg or static or u-boot or edk2, not 'x'"},
      {{"run", "--interrupt", "x", "--", "x"}, "--interrupt must be auto"},
      {{"run", "--backend", "--", "x"}, "--backend needs a value"},
  };
  for (const Mistake& mistake : mistakes) {
    testing::internal::CaptureStderr();
    const Options options = ParseOptions(mistake.words);
    const std::string said = testing::internal::GetCapturedStderr();
    EXPECT_FALSE(options.run);
    EXPECT_EQ(options.exit_status, kUsageStatus);
    EXPECT_THAT(said, AllOf(HasSubstr("vtee: " + mistake.sentence), HasSubstr("; see 'vtee help")));
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
  }
}

TEST(OptionsTest, HelpAndVersion) {
  const std::vector<std::vector<std::string>> questions = {
      {"--version"}, {"help"}, {"--help"}, {"help", "run"}, {"run", "--help"}};
  for (const std::vector<std::string>& words : questions) {
    testing::internal::CaptureStdout();
    const Options options = ParseOptions(words);
    const std::string said = testing::internal::GetCapturedStdout();
    EXPECT_FALSE(options.run);
    EXPECT_EQ(options.exit_status, 0);
    EXPECT_THAT(said, HasSubstr("vtee"));
    EXPECT_EQ(said.find("--interrupt") != std::string::npos, words.size() == 2) << said;
  }
}

TEST(TaRunOptionsTest, TakesWhatAProgramNeeds) {
  const std::vector<std::string> words = {"ta-run", "--ta-dir", "a",  "--ta-dir", "b",
                                          "--gdb",  "1234",     "--", "xtest",    "--help"};
  const Options options = ParseOptions(words);
  ASSERT_TRUE(options.ta_run.has_value());
  EXPECT_FALSE(options.run.has_value());
  EXPECT_THAT(options.ta_run->ta_folders, ElementsAre("a", "b"));
  EXPECT_EQ(options.ta_run->gdb_port, 1234);
  EXPECT_THAT(options.ta_run->program, ElementsAre("xtest", "--help"));
}

TEST(TaRunOptionsTest, MistakesStartNothing) {
  for (const std::vector<std::string>& words :
       std::vector<std::vector<std::string>>{{"ta-run"},
                                             {"ta-run", "--"},
                                             {"ta-run", "--gdb", "0", "--", "x"},
                                             {"ta-run", "--gdb", "70000", "--", "x"},
                                             {"ta-run", "--conduit", "hvc", "--", "x"}}) {
    const Options options = ParseOptions(words);
    EXPECT_FALSE(options.ta_run.has_value()) << testing::PrintToString(words);
    EXPECT_EQ(options.exit_status, kUsageStatus);
  }
}

}  // namespace
}  // namespace vtee::cli
