// SPDX-License-Identifier: BSD-3-Clause
// Runs small pieces of AArch64 code as a TA would run, hostile ones too.
#include "ta/process/runner_process.h"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <thread>

#include "ta/process/ta_space.h"

namespace vtee::ta {
namespace {

using runner::kRegionExecute;
using runner::kRegionPrivate;
using runner::kRegionRead;
using runner::kRegionWrite;

constexpr std::uint32_t kRet = 0xD65F03C0;
constexpr std::uint32_t kSvc = 0xD4000001;
constexpr std::uint32_t kLoop = 0x14000000;  // b .

std::uint32_t MovX(unsigned reg, std::uint16_t value) {
  return 0xD2800000 | static_cast<std::uint32_t>(value) << 5 | reg;
}

class Runner : public ::testing::Test {
 protected:
  void SetUp() override {
    auto program = RunnerProgram::Find();
    ASSERT_TRUE(program.ok()) << program.error().message;
    auto arena = Arena::Create(160u << 20);
    ASSERT_TRUE(arena.ok()) << arena.error().message;
    auto started = RunnerProcess::Start(*program, std::move(arena).value());
    ASSERT_TRUE(started.ok()) << started.error().message;
    process = std::move(started).value();
    space = std::make_unique<TaSpace>(*process, 8u << 20);
    code = *space->Allocate(TaSpace::Zone::kModules, 0x1000,
                            kRegionRead | kRegionExecute | kRegionPrivate);
    stack = *space->Allocate(TaSpace::Zone::kAnywhere, 0x2000,
                             kRegionRead | kRegionWrite | kRegionPrivate);
  }

  runner::Channel& channel() { return process->arena().channel(); }

  // A branch to the thunk, as a patched wrapper has it.
  std::uint32_t Call(std::size_t index) const {
    const auto distance = static_cast<std::int64_t>(runner::kThunkAddress) -
                          static_cast<std::int64_t>(code + 4 * index);
    return 0x14000000 | (static_cast<std::uint32_t>(distance >> 2) & 0x03FFFFFF);
  }
  // Ends the entry with x0: utee_return.
  std::vector<std::uint32_t> AndReturn(std::vector<std::uint32_t> words) const {
    words.push_back(MovX(8, 0));
    words.push_back(Call(words.size()));
    return words;
  }

  // What happened; nothing: the process has died.
  std::optional<runner::Event> Enter(const std::vector<std::uint32_t>& words) {
    std::memcpy(space->Raw(code, words.size() * 4).data(), words.data(), words.size() * 4);
    if (!space->Apply()) return std::nullopt;
    const std::uint64_t args[] = {code, stack + 0x2000, 1, 2, 3, 4};
    std::copy(std::begin(args), std::end(args), channel().args);
    if (!process->Exchange(runner::Request::kEnter)) return std::nullopt;
    return static_cast<runner::Event>(channel().event);
  }

  std::unique_ptr<RunnerProcess> process;
  std::unique_ptr<TaSpace> space;
  std::uint64_t code = 0;
  std::uint64_t stack = 0;
};

// vteed is closed to other processes (PR_SET_DUMPABLE), and so is what it forks.
TEST(RunnerOfAClosedProcess, StartsWithoutPrivileges) {
  const pid_t child = fork();
  if (child == 0) {
    __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
    __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3]{};
    syscall(SYS_capset, &header, none);
    prctl(PR_SET_DUMPABLE, 0);
    auto program = RunnerProgram::Find();
    auto arena = Arena::Create(160u << 20);
    if (!program.ok() || !arena.ok()) _exit(2);
    const auto started = RunnerProcess::Start(*program, std::move(arena).value());
    if (!started.ok()) std::fprintf(stderr, "%s\n", started.error().message.c_str());
    _exit(started.ok() ? 0 : 1);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(Runner, EntersAndReturnsAgainAndAgain) {
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(Enter(AndReturn({MovX(0, 42)})), runner::Event::kReturn);
    EXPECT_EQ(channel().regs[0], 42u);
  }
}

TEST_F(Runner, PassesASystemCallsRegistersAndResult) {
  std::vector<std::uint32_t> words;
  for (unsigned reg = 0; reg < 8; ++reg)
    words.push_back(MovX(reg, static_cast<std::uint16_t>(100 + reg)));
  words.push_back(MovX(8, 33));
  words.push_back(0x94000000 | 3);  // bl to the wrapper below, which returns to the next word
  words.push_back(MovX(8, 0));
  words.push_back(Call(words.size()));
  words.push_back(Call(words.size()));
  ASSERT_EQ(Enter(words), runner::Event::kSyscall);
  for (unsigned reg = 0; reg < 8; ++reg) EXPECT_EQ(channel().regs[reg], 100u + reg);
  EXPECT_EQ(channel().regs[8], 33u);
  channel().args[0] = 7;
  ASSERT_TRUE(process->Exchange(runner::Request::kResult));
  EXPECT_EQ(static_cast<runner::Event>(channel().event), runner::Event::kReturn);
  EXPECT_EQ(channel().regs[0], 7u);
}

// All that the way to the core leaves of them: not x16 and x17.
TEST_F(Runner, ShowsTheRegistersOfAPanic) {
  std::vector<std::uint32_t> words;
  words.push_back(0xEB1F03FF);  // cmp xzr, xzr: Z and C
  for (unsigned reg = 0; reg < 30; ++reg) {
    words.push_back(MovX(reg, static_cast<std::uint16_t>(1000 + reg)));
  }
  words.push_back(MovX(8, 2));
  words.push_back(0x94000000 | 2);  // bl to the wrapper below
  words.push_back(kLoop);
  words.push_back(Call(words.size()));
  ASSERT_EQ(Enter(words), runner::Event::kSyscall);
  EXPECT_EQ(channel().regs[8], 2u);
  const std::uint64_t* regs = channel().stop_regs;
  for (unsigned reg = 0; reg < 30; ++reg) {
    if (reg == 8 || reg == 16 || reg == 17) continue;
    EXPECT_EQ(regs[reg], 1000u + reg) << reg;
  }
  EXPECT_EQ(regs[8], 2u);
  EXPECT_EQ(regs[30], code + 4 * 33);
  EXPECT_EQ(regs[31], stack + 0x2000);
  EXPECT_EQ(regs[32], regs[30]);
  EXPECT_EQ(regs[33], 0x60000000u);
}

TEST_F(Runner, TellsWhereAFaultWas) {
  ASSERT_EQ(Enter({MovX(0, 8), 0xF9000001, kLoop}), runner::Event::kFault);  // str x1, [x0]
  EXPECT_EQ(channel().signal, static_cast<std::uint32_t>(SIGSEGV));
  EXPECT_EQ(channel().fault_address, 8u);
  EXPECT_EQ(channel().stop_regs[32], code + 4);
}

TEST_F(Runner, DoesNotExecuteData) {
  // mov x0, sp; sub x0, x0, #256; br x0
  ASSERT_EQ(Enter({0x910003E0, 0xD1040000, 0xD61F0000}), runner::Event::kFault);
  EXPECT_EQ(channel().stop_regs[32], stack + 0x2000 - 256);
}

TEST_F(Runner, DoesNotWriteCode) {
  // adr x0, .; str x0, [x0]
  ASSERT_EQ(Enter({0x10000000, 0xF9000000, kLoop}), runner::Event::kFault);
}

TEST_F(Runner, UndefinedInstructionsAreFaults) {
  ASSERT_EQ(Enter({0x00000000, kRet}), runner::Event::kFault);
  EXPECT_EQ(channel().signal, static_cast<std::uint32_t>(SIGILL));
}

// Linux's own system calls, which a TA can try by an svc of its own making: the process ends, or,
// with an emulator, the call fails.
TEST_F(Runner, OpensNoFile) {
  constexpr std::uint16_t kOpenat = 56;
  const auto event = Enter(AndReturn({MovX(0, 0), MovX(1, 0), MovX(2, 0), MovX(8, kOpenat), kSvc}));
  if (event) {
    EXPECT_EQ(event, runner::Event::kReturn);
    EXPECT_LT(static_cast<std::int64_t>(channel().regs[0]), 0);
  }
}

TEST_F(Runner, MakesNoSocket) {
  constexpr std::uint16_t kSocket = 198;
  const auto event = Enter(AndReturn({MovX(0, 1), MovX(1, 1), MovX(2, 0), MovX(8, kSocket), kSvc}));
  if (event) {
    EXPECT_EQ(event, runner::Event::kReturn);
    EXPECT_LT(static_cast<std::int64_t>(channel().regs[0]), 0);
  }
}

TEST_F(Runner, StartsNoProcess) {
  constexpr std::uint16_t kClone = 220;
  const auto event = Enter(
      AndReturn({MovX(0, SIGCHLD), MovX(1, 0), MovX(2, 0), MovX(3, 0), MovX(8, kClone), kSvc}));
  if (event) {
    EXPECT_EQ(event, runner::Event::kReturn);
    EXPECT_LT(static_cast<std::int64_t>(channel().regs[0]), 0);
  }
}

TEST_F(Runner, ItsOwnEndIsNoticed) {
  constexpr std::uint16_t kExitGroup = 94;
  EXPECT_EQ(Enter({MovX(0, 0), MovX(8, kExitGroup), kSvc, kLoop}), std::nullopt);
  EXPECT_TRUE(process->dead());
  EXPECT_FALSE(process->Exchange(runner::Request::kEnter));
}

TEST_F(Runner, AnEndlessLoopIsEndedFromOutside) {
  std::thread killer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    process->Kill();
  });
  EXPECT_EQ(Enter({kLoop}), std::nullopt);
  killer.join();
}

TEST_F(Runner, AnEndlessLoopIsEndedWhenItsTimeIsUp) {
  process->GiveTime(100'000'000);
  EXPECT_EQ(Enter({kLoop}), std::nullopt);
  EXPECT_TRUE(process->overran());
}

// Each of them is short; together they are not.
TEST_F(Runner, TimeIsCountedOverSystemCalls) {
  process->GiveTime(20'000'000);
  // x9 counts down; then utee_random, for ever.
  const std::vector<std::uint32_t> words = {
      MovX(9, 20000),
      0xF1000529,  // subs x9, x9, #1
      0x54FFFFE1,  // b.ne back one
      MovX(8, 33),
      0x94000000 | 2,  // bl to the wrapper below
      0x17FFFFFB,      // b to the start
      Call(6),
  };
  auto event = Enter(words);
  int calls = 0;
  while (event == runner::Event::kSyscall && ++calls < 1'000'000) {
    event = process->Exchange(runner::Request::kResult)
                ? std::optional(static_cast<runner::Event>(channel().event))
                : std::nullopt;
  }
  EXPECT_EQ(event, std::nullopt);
  EXPECT_GT(calls, 1);
  EXPECT_TRUE(process->overran());
}

TEST_F(Runner, TimeBeginsAnewWhenItIsGiven) {
  for (int i = 0; i < 5; ++i) {
    process->GiveTime(2'000'000'000);
    EXPECT_EQ(Enter(AndReturn({})), runner::Event::kReturn);
  }
  process->GiveTime(0);
  std::this_thread::sleep_for(std::chrono::milliseconds(10));
  EXPECT_EQ(Enter(AndReturn({})), runner::Event::kReturn);
  EXPECT_FALSE(process->overran());
}

// The turn word is the TA's to spoil, but only against itself.
TEST_F(Runner, ScribblingOverTheChannelEndsInTheTasDeathAtWorst) {
  // x0 = channel; x1 = -1; fill 4096 bytes downwards from its end; then return.
  const auto low = static_cast<std::uint16_t>(runner::kChannelAddress & 0xFFFF);
  const auto high = static_cast<std::uint32_t>(runner::kChannelAddress >> 16);
  std::vector<std::uint32_t> words = {
      MovX(0, low),
      0xF2A00000 | high << 5,  // movk x0, #high, lsl #16
      0x92800001,              // mov x1, #-1
      MovX(2, 512),
      0xF8008401,  // str x1, [x0], #8
      0xF1000442,  // subs x2, x2, #1
      0x54FFFFC1,  // b.ne back two
  };
  std::thread killer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    process->Kill();
  });
  const auto event = Enter(AndReturn(words));
  killer.join();
  if (event) {
    EXPECT_TRUE(event == runner::Event::kReturn || event == runner::Event::kFault)
        << static_cast<std::uint32_t>(*event);
  }
}

TEST_F(Runner, RightsAreTakenBack) {
  const auto page = space->Allocate(TaSpace::Zone::kAnywhere, 0x1000, kRegionRead | kRegionWrite);
  ASSERT_TRUE(page);
  const std::vector<std::uint32_t> load = AndReturn(
      {MovX(0, static_cast<std::uint16_t>(*page & 0xFFFF)),
       0xF2A00000 | static_cast<std::uint32_t>(*page >> 16) << 5, 0xF9400000});  // ldr x0, [x0]
  ASSERT_EQ(Enter(load), runner::Event::kReturn);
  ASSERT_TRUE(space->Free(*page, 0x1000));
  EXPECT_EQ(Enter(load), runner::Event::kFault);
}

// Of what has changed since the last entry each page gets what it was given last, and more changes
// than go into one request all reach the runner.
TEST_F(Runner, TheLastChangeOfEachPageCounts) {
  constexpr std::uint64_t kPage = runner::kPage;
  const auto pages = space->Allocate(TaSpace::Zone::kAnywhere, 4 * kPage, kRegionRead);
  ASSERT_TRUE(pages);
  ASSERT_TRUE(space->SetFlags(*pages, 4 * kPage, kRegionRead | kRegionWrite));
  ASSERT_TRUE(space->SetFlags(*pages + kPage, 2 * kPage, kRegionRead));
  ASSERT_TRUE(space->SetFlags(*pages + 2 * kPage, kPage, kRegionRead | kRegionWrite));
  std::uint64_t last = 0;
  for (std::size_t i = 0; i < 2 * runner::kMaxProtections; ++i) {
    const auto one = space->Allocate(TaSpace::Zone::kAnywhere, kPage, kRegionRead | kRegionWrite);
    ASSERT_TRUE(one);
    last = std::max(last, *one);
  }
  const auto store = [&](std::uint64_t address) {
    // New code: an emulator shall not run its translation of the old.
    EXPECT_TRUE(space->SetFlags(code, kPage, kRegionRead | kRegionExecute | kRegionPrivate));
    return AndReturn({MovX(0, static_cast<std::uint16_t>(address & 0xFFFF)),
                      0xF2A00000 | static_cast<std::uint32_t>(address >> 16) << 5,
                      0xF9000001});  // str x1, [x0]
  };
  EXPECT_EQ(Enter(store(*pages)), runner::Event::kReturn);
  EXPECT_EQ(Enter(store(*pages + 2 * kPage)), runner::Event::kReturn);
  EXPECT_EQ(Enter(store(*pages + 3 * kPage)), runner::Event::kReturn);
  EXPECT_EQ(Enter(store(last)), runner::Event::kReturn);
  EXPECT_EQ(Enter(store(*pages + kPage)), runner::Event::kFault);
}

TEST(RunnerProgram, ThatIsMissingIsNamed) {
  const RunnerProgram program{"/nonexistent/vtee-ta", ""};
  auto arena = Arena::Create(1u << 20);
  ASSERT_TRUE(arena.ok());
  const auto started = RunnerProcess::Start(program, std::move(arena).value(), 2000);
  ASSERT_FALSE(started.ok());
  EXPECT_NE(started.error().message.find("/nonexistent/vtee-ta"), std::string::npos);
}

}  // namespace
}  // namespace vtee::ta
