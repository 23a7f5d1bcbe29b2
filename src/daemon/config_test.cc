// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/config.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>

namespace vtee::daemon {
namespace {

constexpr tee::Uuid kUuid{{0x70, 0x11, 0xa6, 0x88, 0xdd, 0xde, 0x40, 0x53, 0xa5, 0xa9, 0x7b, 0x3c,
                           0x4d, 0xdf, 0x13, 0xb8}};

TEST(ConfigTest, NothingIsTheDefaults) {
  Config config;
  ASSERT_TRUE(ParseConfig("", "f", config).ok());
  EXPECT_EQ(config.name, "vm");
  EXPECT_EQ(config.backend.kind, "");
  EXPECT_EQ(config.interrupt, -1);
  EXPECT_TRUE(config.log_file.empty());
  EXPECT_EQ(config.policy.max_calls, mediator::Policy{}.max_calls);
}

TEST(ConfigTest, QuotedTextMayHoldAnyLetter) {
  for (const char* text :
       {"name = \"\u00e4\\\" \u201c\" # \u00e4", "name = '\u00e4\"'",
        "name = \"\"\"\u00e4\n\"\u00e4\"\"\"", "\xEF\xBB\xBFname = \"\" # '\u00e4"}) {
    Config config;
    const Status status = ParseConfig(text, "f", config);
    EXPECT_TRUE(status.ok()) << status.error().message;
  }
}

TEST(ConfigTest, EveryKey) {
  Config config;
  const Status status = ParseConfig(R"(
name = "guest-7"
uuid = "7011A688-ddde-4053-a5a9-7b3c4ddf13b8"
backend = "host,device=/dev/tee1"
interrupt = 40

[optee]
profile = "static"
window = "1M@0x9000000"

[log]
level = "debug"
file = "/var/log/vteed.log"

[policy]
allow = ["7011a688-ddde-4053-a5a9-7b3c4ddf13b8"]
deny = ["00000000-0000-0000-0000-000000000000", "7011a688-ddde-4053-a5a9-7b3c4ddf13b8"]
rng = false
one_driver = false
notice_kill = true
max_calls = 254
max_sessions = 5
max_shm_objects = 6
max_shm_bytes = 1_048_576
pseudo_tas = ["d96a5b40-c3e5-21e3-8794-1002a5d5c61b"]
max_pseudo_ta_bytes = 65_536
park_after_us = 1000000
)",
                                    "f", config);
  ASSERT_TRUE(status.ok()) << status.error().message;
  EXPECT_EQ(config.name, "guest-7");
  EXPECT_EQ(config.uuid, kUuid);
  EXPECT_EQ(config.backend.kind, "host");
  EXPECT_EQ(config.backend.device, "/dev/tee1");
  EXPECT_EQ(config.interrupt, 40);
  EXPECT_EQ(config.log_level, LogLevel::kDebug);
  EXPECT_EQ(config.log_file, "/var/log/vteed.log");
  EXPECT_EQ(config.policy.allowed_applications, std::set{kUuid});
  EXPECT_EQ(config.policy.denied_applications, (std::set{tee::Uuid{}, kUuid}));
  EXPECT_EQ(config.optee.profile->name, "static");
  EXPECT_EQ(config.optee.window.size, 1u << 20);
  EXPECT_EQ(config.optee.window.base, 0x9000000u);
  EXPECT_FALSE(config.policy.rng);
  EXPECT_FALSE(config.policy.one_driver);
  EXPECT_TRUE(config.policy.notice_kill);
  EXPECT_EQ(config.policy.max_calls, 254u);
  EXPECT_EQ(config.policy.max_sessions, 5u);
  EXPECT_EQ(config.policy.max_shm_objects, 6u);
  EXPECT_EQ(config.policy.max_shm_bytes, 1u << 20);
  EXPECT_EQ(config.policy.pseudo_applications.size(), 1u);
  EXPECT_EQ(config.policy.max_pseudo_bytes, 65536u);
  EXPECT_EQ(config.policy.park_after_us, 1000000u);
}

// Every refusal names file, line and column, and says what would be right.
struct BadCase {
  const char* name;
  const char* text;
  const char* where;
  const char* says;
};

const BadCase kBad[] = {
    {"UnknownKey", "nmae = \"x\"", "f:1:1: ", "unknown key 'nmae'; known here: backend, "},
    {"UnknownSection", "\n\n[polcy]\nmax_calls = 1", "f:3:", "unknown key 'polcy'"},
    {"UnknownKeyInSection", "[policy]\nmax_call = 1", "f:2:1: ", "unknown key 'max_call'"},
    {"UnknownDottedKey", "policy.max_call = 1", "f:1:", "unknown key 'max_call'"},
    {"UnknownLogKey", "[log]\nlevl = \"info\"", "f:2:1: ", "known here: file, level"},
    {"NameIsNumber", "name = 5", "f:1:8: ", "must be a string in quotes"},
    {"NameIsArray", "name = [\"a\"]", "f:1:8: ", "must be a string"},
    {"UuidIsShort", "uuid = \"7011a688-ddde-4053-a5a9-7b3c4ddf13b\"", "f:1:8: ", "must be a UUID"},
    {"UuidHasBraces", "uuid = \"{7011a688-ddde-4053-a5a9-7b3c4ddf13b8}\"", "f:1:8: ", "UUID"},
    {"UuidIsNumber", "uuid = 1", "f:1:8: ", "must be a UUID"},
    {"BackendUnknown", "backend = \"hots\"", "f:1:11: ", "unknown backend 'hots'"},
    {"BackendIsTable", "[backend]\nkind = \"host\"", "f:1:1: ", "must be a string"},
    {"InterruptIsString", "interrupt = \"40\"", "f:1:13: ", "whole number from -1 to 959"},
    {"InterruptIsFloat", "interrupt = 40.0", "f:1:13: ", "whole number"},
    {"InterruptTooLow", "interrupt = -2", "f:1:13: ", "from -1 to 959"},
    {"InterruptTooHigh", "interrupt = 960", "f:1:13: ", "from -1 to 959"},
    {"ProfileUnknown", "[optee]\nprofile = \"linus\"",
     "f:2:11: ", "it has linux, linux-no-rpc-arg, static, u-boot, edk2"},
    {"ProfileIsNumber", "[optee]\nprofile = 1", "f:2:11: ", "must be a string"},
    {"WindowIsNumber", "[optee]\nwindow = 4096", "f:2:10: ", "must be a string"},
    {"WindowIsNone", "[optee]\nwindow = \"\"", "f:2:10: ", "like 4M@0xe000000"},
    {"OpteeKeyUnknown", "[optee]\nprofil = \"static\"", "f:2:1: ", "known here: profile, window"},
    {"LogIsString", "log = \"debug\"", "f:1:7: ", "must be a table"},
    {"LevelUnknown", "[log]\nlevel = \"loud\"", "f:2:9: ", "loud"},
    {"LevelIsNumber", "[log]\nlevel = 3", "f:2:9: ", ""},
    {"FileIsBool", "[log]\nfile = true", "f:2:8: ", "must be a string"},
    {"PolicyIsArray", "policy = []", "f:1:10: ", "must be a table"},
    {"PolicyIsArrayOfTables", "[[policy]]\nmax_calls = 1", "f:1:", "must be a table"},
    {"AllowIsString", "[policy]\nallow = \"7011a688-ddde-4053-a5a9-7b3c4ddf13b8\"",
     "f:2:9: ", "must be an array"},
    {"AllowHoldsNumber", "[policy]\nallow = [\n  1]", "f:3:3: ", "must be a UUID"},
    {"DenyHoldsRubbish", "[policy]\ndeny = [\"xyz\"]", "f:2:9: ", "must be a UUID"},
    {"RngIsNumber", "[policy]\nrng = 1", "f:2:7: ", ""},
    {"RngIsString", "[policy]\nrng = \"no\"", "f:2:7: ", ""},
    {"CallsZero", "[policy]\nmax_calls = 0", "f:2:13: ", "from 1 to 254"},
    {"CallsMoreThanNotifications", "[policy]\nmax_calls = 255", "f:2:13: ", "from 1 to 254"},
    {"CallsNegative", "[policy]\nmax_calls = -1", "f:2:13: ", "from 1 to 254"},
    {"SessionsZero", "[policy]\nmax_sessions = 0", "f:2:16: ", "from 1 to"},
    {"SessionsTooMany", "[policy]\nmax_sessions = 2147483648", "f:2:16: ", "to 2147483647"},
    {"ObjectsZero", "[policy]\nmax_shm_objects = 0", "f:2:19: ", "from 1 to"},
    {"BytesLessThanAPage", "[policy]\nmax_shm_bytes = 4095", "f:2:17: ", "from 4096 to"},
    {"PseudoBytesTooMany", "[policy]\nmax_pseudo_ta_bytes = 1073741825", "f:2:23: ", "from 0 to"},
    {"BytesTooBigForToml", "[policy]\nmax_shm_bytes = 9223372036854775808", "f:2:", ""},
    {"TableWithoutAName", "[=]", "f:1:", ""},
    {"ControlCharacter", "name = \"x\"\n[\x01]", "f:2:2: ", ""},
    {"LetterOutsideOfQuotes", "# \u00e4\nn\u00e4me = \"x\"", "f:2:", ""},
    {"TypographicQuotes", "name = \u201cx\u201d", "f:1:8: ", ""},
    {"ParkZero", "[policy]\npark_after_us = 0", "f:2:17: ", "from 1 to 1000000"},
    {"ParkTooLong", "[policy]\npark_after_us = 1000001", "f:2:17: ", "from 1 to 1000000"},
    {"NoValue", "name =", "f:1:7: ", ""},
    {"NoQuoteAtTheEnd", "name = \"x", "f:1:", ""},
    {"NoEquals", "\nname \"x\"", "f:2:", ""},
    {"SectionNotClosed", "[policy", "f:1:", ""},
    {"KeyTwice", "name = \"a\"\nname = \"b\"", "f:2:", ""},
    {"SectionTwice", "[log]\n[log]", "f:2:", ""},
    {"NotUtf8", "name = \"\xff\xfe\"", "f:1:", ""},
    {"NulByte", "name = \"a\\u0000\"\n\x01", "f:2:", ""},
};

class BadConfigTest : public ::testing::TestWithParam<BadCase> {};

TEST_P(BadConfigTest, NamesThePlaceAndTheRemedy) {
  Config config;
  const Status status = ParseConfig(GetParam().text, "f", config);
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
  const std::string& message = status.error().message;
  EXPECT_EQ(message.rfind(GetParam().where, 0), 0u) << message;
  EXPECT_NE(message.find(GetParam().says), std::string::npos) << message;
  EXPECT_EQ(message.find('\n'), std::string::npos) << message;
}

INSTANTIATE_TEST_SUITE_P(Table, BadConfigTest, ::testing::ValuesIn(kBad),
                         [](const auto& row) { return std::string(row.param.name); });

TEST(ConfigTest, ADeeplyNestedFileIsRefusedAndNotRecursedInto) {
  Config config;
  const std::string deep = "name = " + std::string(100'000, '[') + std::string(100'000, ']');
  EXPECT_FALSE(ParseConfig(deep, "f", config).ok());
}

TEST(ConfigTest, LoadReadsAFileAndNamesIt) {
  const std::string path = ::testing::TempDir() + "/vtee-config-" + std::to_string(getpid());
  std::ofstream(path) << "interrupt = 7\n";
  Config config;
  EXPECT_TRUE(LoadConfig(path, config).ok());
  EXPECT_EQ(config.interrupt, 7);
  std::ofstream(path) << "\n\n  oops = 7\n";
  const Status bad = LoadConfig(path, config);
  ASSERT_FALSE(bad.ok());
  EXPECT_EQ(bad.error().message.rfind(path + ":3:3: ", 0), 0u) << bad.error().message;
  unlink(path.c_str());
  const Status missing = LoadConfig(path, config);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code, ErrorCode::kNotFound);
  EXPECT_NE(missing.error().message.find(path), std::string::npos);
}

TEST(ConfigTest, ADirectoryIsNoConfiguration) {
  Config config;
  const Status status = LoadConfig(::testing::TempDir(), config);
  EXPECT_FALSE(status.ok());
}

// ---- profile and window -------------------------------------------------------------------

TEST(ParseWindowTest, GoodOnes) {
  struct Good {
    const char* text;
    std::uint64_t size, base;
  };
  for (const Good& good :
       {Good{"4M", 4u << 20, 0xe000000}, Good{"64K@0x10000", 64u << 10, 0x10000},
        Good{"65536@1G", 65536, 1u << 30}, Good{"0x400000@0XE000000", 4u << 20, 0xe000000},
        Good{"3G@1G", 3ull << 30, 1u << 30}}) {
    optee::StaticWindow window;
    ASSERT_TRUE(ParseWindow(good.text, window).ok()) << good.text;
    EXPECT_EQ(window.size, good.size) << good.text;
    EXPECT_EQ(window.base, good.base) << good.text;
  }
}

TEST(ParseWindowTest, BadOnes) {
  for (const char* text : {"",
                           "@",
                           "M",
                           "4M@",
                           "@0xe000000",
                           "0",
                           "4K",
                           "4097",
                           "4M@0xe001000",
                           "4M@0",
                           "-4M",
                           "4m",
                           "4M@0xg",
                           "0x",
                           "4 M",
                           "4M@0xe000000 ",
                           "4M@0xe000000@1",
                           "4G",
                           "3G@2G",
                           "4M@0xfffff0000",
                           "18446744073709551615",
                           "4294967296",
                           "0x4M",
                           "4MK"}) {
    optee::StaticWindow window{1, 1};
    const Status status = ParseWindow(text, window);
    ASSERT_FALSE(status.ok()) << text;
    EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
    EXPECT_EQ(window.size, 1u) << "untouched";
  }
}

TEST(FinishConfigTest, TheProfileDecidesOnWindowAndInterrupt) {
  for (const optee::Profile& profile : optee::kProfiles) {
    Config config;
    config.interrupt = 40;
    ASSERT_TRUE(ParseProfile(profile.name, config.optee).ok());
    ASSERT_TRUE(FinishConfig(config).ok()) << profile.name;
    EXPECT_EQ(config.interrupt, profile.notifications ? 40 : -1) << profile.name;
    EXPECT_EQ(config.optee.window.size, profile.window ? 4u << 20 : 0u) << profile.name;
    EXPECT_EQ(config.optee.window.base, profile.window ? 0xe000000u : 0u) << profile.name;
  }
}

TEST(FinishConfigTest, AWindowNeedsAProfileThatHasOne) {
  Config config;
  ASSERT_TRUE(ParseWindow("1M", config.optee.window).ok());
  const Status status = FinishConfig(config);
  ASSERT_FALSE(status.ok());
  EXPECT_NE(status.error().message.find("--tee-profile static"), std::string::npos);
  ASSERT_TRUE(ParseProfile("edk2", config.optee).ok());
  EXPECT_TRUE(FinishConfig(config).ok());
  EXPECT_EQ(config.optee.window.size, 1u << 20) << "not the default one";
}

// ---- the --backend option -----------------------------------------------------------------

TEST(ParseBackendTest, GoodOnes) {
  BackendSpec spec;
  ASSERT_TRUE(ParseBackend("host", spec).ok());
  EXPECT_EQ(spec.kind, "host");
  EXPECT_EQ(spec.device, "/dev/tee0");
  ASSERT_TRUE(ParseBackend("host,device=/dev/tee3", spec).ok());
  EXPECT_EQ(spec.device, "/dev/tee3");
  EXPECT_EQ(spec.copy, BackendSpec::Copy::kSmall);
  ASSERT_TRUE(ParseBackend("host,copy=never", spec).ok());
  EXPECT_EQ(spec.copy, BackendSpec::Copy::kNever);
  ASSERT_TRUE(ParseBackend("host,copy=always,device=/dev/tee3", spec).ok());
  EXPECT_EQ(spec.copy, BackendSpec::Copy::kAlways);
  ASSERT_TRUE(ParseBackend("host,copy=small", spec).ok());
  EXPECT_EQ(spec.copy, BackendSpec::Copy::kSmall);
  ASSERT_TRUE(ParseBackend("host,device=/a=b", spec).ok());
  EXPECT_EQ(spec.device, "/a=b");
  ASSERT_TRUE(ParseBackend("fake", spec).ok());
  EXPECT_EQ(spec.kind, "fake");
}

TEST(ParseBackendTest, OfTheUserspaceTee) {
  BackendSpec spec;
  ASSERT_TRUE(ParseBackend("user,keys=development", spec).ok());
  EXPECT_EQ(spec.kind, "user");
  EXPECT_TRUE(spec.development_keys);
  EXPECT_TRUE(spec.guest_tas);
  BackendSpec more;
  ASSERT_TRUE(
      ParseBackend("user,keys=a.pem,keys=b.pem,ta_dir=/t,ta_dir=/u,guest_tas=no", more).ok());
  EXPECT_FALSE(more.development_keys);
  EXPECT_EQ(more.key_files, (std::vector<std::string>{"a.pem", "b.pem"}));
  EXPECT_EQ(more.ta_folders, (std::vector<std::string>{"/t", "/u"}));
  EXPECT_FALSE(more.guest_tas);
  EXPECT_EQ(more.ta_seconds, 300U);
  BackendSpec quick;
  ASSERT_TRUE(ParseBackend("user,keys=development,ta_seconds=5", quick).ok());
  EXPECT_EQ(quick.ta_seconds, 5U);
  BackendSpec kept;
  ASSERT_TRUE(ParseBackend("user,keys=a.pem,state=/s,state_key=/k", kept).ok());
  EXPECT_EQ(kept.state_folder, "/s");
  EXPECT_EQ(kept.state_key, "/k");
  EXPECT_EQ(kept.pool, 1u);
  ASSERT_TRUE(ParseBackend("user,keys=a.pem,pool=16", kept).ok());
  EXPECT_EQ(kept.pool, 16u);
  ASSERT_TRUE(ParseBackend("user,keys=a.pem,pool=0", kept).ok());
  EXPECT_EQ(kept.pool, 0u);
  ASSERT_TRUE(ParseBackend("user,keys=a.pem,gdb=65535", kept).ok());
  EXPECT_EQ(kept.debug_port, 65535);
  BackendSpec sealed;
  ASSERT_TRUE(ParseBackend("user,state=/s,state_key=tpm:,state_count_every=1", sealed).ok());
  EXPECT_EQ(sealed.state_key, "tpm:");
  EXPECT_EQ(sealed.state_count_every, 1U);
  BackendSpec inherited;
  ASSERT_TRUE(ParseBackend("user,keys=a.pem,state=/s,state_key_fd=7", inherited).ok());
  EXPECT_EQ(inherited.state_key_fd, 7);
  for (const auto& [option, sentence] :
       {std::pair{"user,state_key_fd=7", "without state=FOLDER"},
        {"user,state_key=/k", "without state=FOLDER"},
        {"user,state=/s,state_count_every=4", "add state_key=tpm:"},
        {"user,state=/s,state_key=/k,state_key_fd=7", "exclude each other"}}) {
    BackendSpec bad;
    const Status status = ParseBackend(option, bad);
    ASSERT_FALSE(status.ok()) << option;
    EXPECT_NE(status.error().message.find(sentence), std::string::npos) << option;
  }
  for (const char* option : {"user,state=/s,state_key_fd=2",
                             "user,state=/s,state_key_fd=-1",
                             "user,state=/s,state_key_fd=7x",
                             "user,keys=",
                             "user,device=/dev/tee0",
                             "user,guest_tas=maybe",
                             "user,",
                             "user,keys",
                             "host,keys=a.pem",
                             "user,pool=17",
                             "user,gdb=0",
                             "user,gdb=65536",
                             "user,gdb=",
                             "user,pool=-1",
                             "user,pool=1x",
                             "user,pool=4294967297",
                             "host,pool=1",
                             "user,state_count_every=0",
                             "user,state_count_every=65537",
                             "user,ta_seconds=86401",
                             "user,ta_seconds=",
                             "user,ta_seconds=-1"}) {
    BackendSpec bad;
    const Status status = ParseBackend(option, bad);
    ASSERT_FALSE(status.ok()) << option;
    EXPECT_NE(status.error().message.find("takes"), std::string::npos) << status.error().message;
  }
}

TEST(ParseBackendTest, BadOnes) {
  for (const char* text : {"", ",", "Host", "host ", "remote", "host,", "host,device",
                           "host,device=", "host,devcie=/x", "host,device=/dev/tee0,", "host,=x",
                           "fake,device=/dev/tee0", "fake,", "host,,device=/x",
                           "host,copy=", "host,copy=some", "fake,copy=never"}) {
    BackendSpec spec;
    const Status status = ParseBackend(text, spec);
    ASSERT_FALSE(status.ok()) << text;
    EXPECT_EQ(status.error().code, ErrorCode::kInvalidArgument);
  }
}

}  // namespace
}  // namespace vtee::daemon
