// SPDX-License-Identifier: BSD-3-Clause
// Whole runs of `vtee run` against stand-ins for the VMM and vteed; KVM is not needed.
#include "cli/run_command.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "cli/acpi_table.h"
#include "cli/device_tree.h"
#include "cli/option_rom.h"
#include "cli/supervisor.h"
#include "cli/test_tree.h"

namespace vtee::cli {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

struct Finished {
  int wait_status = 0;
  std::string output;  // stdout and stderr of everything

  int ExitStatus() const { return WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1; }
};

class RunCommandTest : public testing::Test {
 protected:
  void SetUp() override {
    // Under user-mode emulation the stand-ins cannot be executed.
    if (std::system(CLI_TEST_PEER) != 0) GTEST_SKIP() << "cannot execute " CLI_TEST_PEER;
    auto folder = TempDir::Create();
    ASSERT_TRUE(folder.ok());
    folder_.emplace(std::move(folder).value());
    options_.vteed = CLI_TEST_PEER;
    options_.shim = CLI_TEST_SHIM;
    setenv("TMPDIR", folder_->path().c_str(), 1);
    setenv("FAKE_VTEED", "good", 1);
    setenv("FAKE_RECORD", Record().c_str(), 1);
    // A sanitizer's library minds not being the first one preloaded.
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0", 1);
    unsetenv("LD_PRELOAD");
    unsetenv("VTEE_LOG_FILE");
  }
  void TearDown() override { unsetenv("TMPDIR"); }

  std::string Record() const { return folder_->File("record"); }
  static std::string Read(const std::string& path) {
    std::stringstream text;
    text << std::ifstream(path).rdbuf();
    return text.str();
  }
  std::string Script(const std::string& name, const std::string& body) {
    const std::string path = folder_->File(name);
    std::ofstream(path) << "#!/bin/sh\n" << body;
    chmod(path.c_str(), 0755);
    return path;
  }

  // Starts vtee run in a child process, as main() does.
  void Start() {
    std::array<int, 2> ends{};
    ASSERT_EQ(pipe2(ends.data(), O_CLOEXEC), 0);
    output_.Reset(ends[0]);
    std::fflush(nullptr);
    child_ = fork();
    if (child_ == 0) {
      setpgid(0, 0);
      dup2(ends[1], STDOUT_FILENO);
      dup2(ends[1], STDERR_FILENO);
      const Surroundings surroundings = {[this] { return host_; }, "/nonexistent", "/usr/bin:/bin"};
      const RunOutcome outcome = RunCommand(options_, surroundings);
      std::fflush(nullptr);
      if (outcome.vmm_ran) EndLike(outcome.wait_status);
      _exit(outcome.exit_status);
    }
    close(ends[1]);
  }
  // Reads until the text appears.
  void Await(const std::string& text) {
    std::array<char, 512> buffer{};
    while (seen_.find(text) == std::string::npos) {
      pollfd fd{output_.get(), POLLIN, 0};
      ASSERT_EQ(poll(&fd, 1, 20000), 1) << "waiting for " << text << " after " << seen_;
      const ssize_t got = read(output_.get(), buffer.data(), buffer.size());
      ASSERT_GT(got, 0) << "no " << text << " in " << seen_;
      seen_.append(buffer.data(), static_cast<std::size_t>(got));
    }
  }
  // Reads to the end, which is when the last process that holds the pipe has ended.
  Finished Finish() {
    std::array<char, 512> buffer{};
    for (;;) {
      pollfd fd{output_.get(), POLLIN, 0};
      if (poll(&fd, 1, 20000) != 1) {
        ADD_FAILURE() << "something holds on after " << seen_;
        break;
      }
      const ssize_t got = read(output_.get(), buffer.data(), buffer.size());
      if (got <= 0) break;
      seen_.append(buffer.data(), static_cast<std::size_t>(got));
    }
    Finished finished;
    waitpid(child_, &finished.wait_status, 0);
    finished.output = seen_;
    return finished;
  }
  Finished Run() {
    Start();
    return Finish();
  }

  HostReport host_;
  RunOptions options_;
  std::optional<TempDir> folder_;
  pid_t child_ = -1;
  UniqueFd output_;
  std::string seen_;
};

TEST_F(RunCommandTest, ExitStatusIsTheVmms) {
  options_.vmm = {Script("vmm", "exit 37\n")};
  EXPECT_EQ(Run().ExitStatus(), 37);
}

TEST_F(RunCommandTest, DeathBySignalIsTheVmms) {
  options_.vmm = {Script("vmm", "kill -KILL $$\n")};
  const Finished finished = Run();
  ASSERT_TRUE(WIFSIGNALED(finished.wait_status));
  EXPECT_EQ(WTERMSIG(finished.wait_status), SIGKILL);
}

TEST_F(RunCommandTest, PutsTheShimIntoTheVmm) {
  setenv("LD_PRELOAD", "", 1);
  setenv("VTEE_SOCKET", "/x", 1);
  options_.vmm = {Script("vmm",
                         "echo \"p=$LD_PRELOAD s=$VTEE_SOCKET\"\n"
                         "ls -l /proc/$$/fd/$VTEE_FD\n")};
  const Finished finished = Run();
  unsetenv("VTEE_SOCKET");
  EXPECT_THAT(finished.output, HasSubstr("p=" CLI_TEST_SHIM " s=\n"));
  EXPECT_THAT(finished.output, HasSubstr("socket:"));
  EXPECT_EQ(finished.ExitStatus(), 0);
}

TEST_F(RunCommandTest, AppendsToAnExistingPreload) {
  setenv("LD_PRELOAD", "/a.so", 1);
  EXPECT_EQ(ShimEnvironment("/shim.so", 7),
            (std::vector<std::string>{"LD_PRELOAD=/a.so:/shim.so", "VTEE_FD=7", "VTEE_SOCKET"}));
  unsetenv("LD_PRELOAD");
}

TEST_F(RunCommandTest, StartsOneVteedPerVm) {
  options_.backend = "host,device=/dev/tee3";
  options_.config = "c.toml";
  options_.name = "web";
  options_.interrupt = {InterruptChoice::Kind::kNumber, 12};
  options_.vmm = {CLI_TEST_PEER, "vmm", "2", "5"};
  const Finished finished = Run();
  EXPECT_EQ(finished.ExitStatus(), 5) << finished.output;
  EXPECT_THAT(finished.output, HasSubstr("served\nserved\n"));
  EXPECT_THAT(finished.output, Not(HasSubstr("vteed (process")));
  const std::string record = Read(Record());
  EXPECT_EQ(std::count(record.begin(), record.end(), '\n'), 2) << record;
  EXPECT_THAT(record, HasSubstr("--backend=host,device=/dev/tee3 --config=c.toml --name=web "
                                "--interrupt=12 --fd="));
}

TEST_F(RunCommandTest, EachVteedGetsTheKeyAndTheVmmDoesNot) {
  std::array<int, 2> ends{};
  ASSERT_EQ(pipe2(ends.data(), 0), 0);
  const int fd = dup2(ends[0], 57);
  const UniqueFd read_end(ends[0]);
  const UniqueFd number(fd);
  UniqueFd write_end(ends[1]);
  ASSERT_EQ(write(write_end.get(), "secret", 6), 6);
  write_end.Reset();
  options_.backend = "user,keys=development,state=/s,state_key_fd=57";
  setenv("FAKE_KEY_FD", "57", 1);
  options_.vmm = {Script("vmm", "ls -l /proc/$$/fd/57 2>&1\nexec " CLI_TEST_PEER " vmm 2 0\n")};
  const Finished finished = Run();
  unsetenv("FAKE_KEY_FD");
  EXPECT_EQ(finished.ExitStatus(), 0) << finished.output;
  EXPECT_THAT(finished.output, HasSubstr("No such file"));
  const std::string record = Read(Record());  // of the check, and of two VMs
  std::size_t keys = 0;
  for (std::size_t at = 0; (at = record.find("key: secret", at)) != std::string::npos; ++at) ++keys;
  EXPECT_EQ(keys, 3U) << record;
  EXPECT_THAT(record, HasSubstr("--backend=user,keys=development,state=/s,state_key_fd=57"));
}

TEST_F(RunCommandTest, AKeyThatIsNotOpenIsSaid) {
  options_.backend = "user,state=/s,state_key_fd=58";
  options_.vmm = {Script("vmm", "echo started\n")};
  const Finished finished = Run();
  EXPECT_EQ(finished.ExitStatus(), kUsageStatus);
  EXPECT_THAT(finished.output, AllOf(HasSubstr("state_key_fd=58: "), HasSubstr("58<FILE"),
                                     Not(HasSubstr("started"))));
}

TEST_F(RunCommandTest, ReportsAVteedThatFails) {
  setenv("FAKE_VTEED", "crash", 1);
  setenv("VTEE_LOG_FILE", "/tmp/some.log", 1);
  options_.vmm = {CLI_TEST_PEER, "vmm", "1", "0"};
  const Finished finished = Run();
  EXPECT_EQ(finished.ExitStatus(), 0) << "the VM goes on";
  EXPECT_THAT(finished.output, AllOf(HasSubstr("not served\n"), HasSubstr("ended with status 3"),
                                     HasSubstr("see /tmp/some.log")));
}

TEST_F(RunCommandTest, EndsAStuckVteed) {
  setenv("FAKE_VTEED", "stuck", 1);
  options_.vmm = {CLI_TEST_PEER, "vmm", "1", "4"};
  const Finished finished = Run();
  EXPECT_EQ(finished.ExitStatus(), 4);
  EXPECT_THAT(finished.output, AllOf(HasSubstr("SIGTERM"), HasSubstr("SIGKILL")));
}

TEST_F(RunCommandTest, LimitsTheNumberOfVms) {
  options_.vmm = {CLI_TEST_PEER, "vmm", "17", "0"};
  const Finished finished = Run();
  EXPECT_THAT(finished.output, AllOf(HasSubstr("not served"), HasSubstr("has 16 VMs")));
}

TEST_F(RunCommandTest, DistrustsTheVmmsMessages) {
  // Bytes that are no message: the socket is closed, the VM goes on.
  if (std::system("python3 -c ''") != 0) GTEST_SKIP() << "no python3";
  options_.vmm = {Script("vmm",
                         "python3 -c 'import os, socket; s = socket.socket(fileno=int("
                         "os.environ[\"VTEE_FD\"])); s.send(b\"x\" * 544);"
                         "print(\"closed\" if s.recv(1) == b\"\" else \"open\")'\n")};
  const Finished finished = Run();
  EXPECT_THAT(finished.output, AllOf(HasSubstr("no message of the shim"), HasSubstr("closed")));
  EXPECT_EQ(finished.ExitStatus(), 0);
}

TEST_F(RunCommandTest, ForwardsSignals) {
  struct Forwarded {
    const char* name;
    int number;
  };
  for (const Forwarded signal : {Forwarded{"TERM", SIGTERM}, Forwarded{"HUP", SIGHUP},
                                 Forwarded{"USR1", SIGUSR1}, Forwarded{"INT", SIGINT}}) {
    seen_.clear();
    options_.vmm = {Script("vmm", std::string("trap 'echo got; exit 9' ") + signal.name +
                                      "\necho ready\nwhile :; do sleep 0.02; done\n")};
    Start();
    Await("ready");
    kill(child_, signal.number);
    const Finished finished = Finish();
    EXPECT_EQ(finished.ExitStatus(), 9) << signal.name;
    EXPECT_THAT(finished.output, HasSubstr("got")) << signal.name;
  }
}

TEST_F(RunCommandTest, KillingVteeEndsEverything) {
  options_.vmm = {Script("vmm",
                         "trap 'kill -KILL $pid; echo told; exit' TERM\nsleep 1000 & pid=$!\n"
                         "echo ready\nwait\n")};
  Start();
  Await("ready");
  kill(child_, SIGKILL);
  const Finished finished = Finish();
  EXPECT_TRUE(WIFSIGNALED(finished.wait_status));
  EXPECT_THAT(finished.output, HasSubstr("told"));
}

TEST_F(RunCommandTest, BackendRefusalStopsEverything) {
  setenv("FAKE_VTEED", "refuse", 1);
  options_.vmm = {Script("vmm", "echo started\n")};
  const Finished finished = Run();
  EXPECT_EQ(finished.ExitStatus(), 2);
  EXPECT_EQ(finished.output, "vtee: may not open /dev/tee0; join group tee\n");
}

TEST_F(RunCommandTest, HostProblemsStopEverything) {
  host_.problems = {"no KVM here"};
  options_.vmm = {Script("vmm", "echo started\n")};
  const Finished finished = Run();
  EXPECT_EQ(finished.ExitStatus(), 2);
  EXPECT_EQ(finished.output, "vtee: no KVM here\n");
  EXPECT_THAT(Read(Record()), IsEmpty());
}

// A stand-in for QEMU: hands out a prepared tree, or shows the one it was given.
class FakeQemuTest : public RunCommandTest {
 protected:
  void SetUp() override {
    RunCommandTest::SetUp();
    if (IsSkipped()) return;
    TestTree().Virt().Write(folder_->File("prepared.dtb"));
    qemu_ = Script("qemu-system-aarch64",
                   "here=${0%/*}\n"
                   "for a; do case \"$before$a\" in\n"
                   "  *dumpdtb=*) echo \"$@ [$LD_PRELOAD]\" >$here/dumped\n"
                   "    cp $here/prepared.dtb \"${a##*dumpdtb=}\"; exit;;\n"
                   "  -dtb*) cp \"$a\" $here/given.dtb;;\n"
                   "  *romfile=*) cp \"${a##*romfile=}\" $here/given.rom;;\n"
                   "esac; before=$a; done\n"
                   "echo \"ran $*\"; exit 6\n");
    options_.vmm = {qemu_,     "-M",      "virt,accel=kvm,memory-backend=m",
                    "-m",      "1G",      "-name",
                    "web",     "-object", "memory-backend-memfd,id=m,size=1G,share=on",
                    "-kernel", "Image",   "-append",
                    "a b",     "-serial", "stdio"};
  }
  std::string qemu_;
};

TEST_F(FakeQemuTest, GivesTheGuestAnEditedTree) {
  const Finished finished = Run();
  EXPECT_EQ(finished.ExitStatus(), 6) << finished.output;
  EXPECT_THAT(finished.output, HasSubstr("ran -M virt,accel=kvm,memory-backend=m -m 1G -name web"));
  EXPECT_EQ(Read(folder_->File("dumped")).find("-append"), std::string::npos);
  EXPECT_THAT(Read(folder_->File("dumped")), HasSubstr("[]\n")) << "the dump runs without the shim";
  const auto tree = DeviceTree::Load(folder_->File("given.dtb"));
  ASSERT_TRUE(tree.ok());
  EXPECT_GE(tree->Find("/firmware/optee"), 0);
  for (const auto& entry : std::filesystem::directory_iterator(folder_->path())) {
    EXPECT_FALSE(entry.is_directory()) << entry.path() << " is left over";
  }
}

TEST_F(FakeQemuTest, DryRunShowsEverything) {
  options_.dry_run = true;
  options_.conduit = Conduit::kHvc;
  host_.facts = {"machine: test"};
  Finished finished = Run();
  EXPECT_EQ(finished.ExitStatus(), 0);
  // The name of the temporary folder is the one thing that varies.
  const std::string marker = folder_->path() + "/vtee-";
  for (std::size_t at = 0; (at = finished.output.find(marker, at)) != std::string::npos;) {
    finished.output.replace(at, marker.size() + 6, "TMP");
  }
  EXPECT_EQ(finished.output,
            "machine: test\n"
            "vteed --check: backend: a fake\n"
            "device tree from: " +
                qemu_ +
                " -nodefaults -display none -machine "
                "virt,accel=kvm,memory-backend=m,dumpdtb=TMP/qemu.dtb -object "
                "memory-backend-ram,id=m,size=1G -m 1G -serial null\n"
                "device tree gets: /firmware/optee { compatible = \"linaro,optee-tz\"; method = "
                "\"hvc\"; interrupts = <0 15 1>; /* SPI 15, rising edge */ } in QEMU's own tree\n"
                "vteed: " CLI_TEST_PEER
                " --name=web --interrupt=15 '--fd=<one per VM>'\n"
                "vteed log: stderr\n"
                "VMM environment: LD_PRELOAD=" CLI_TEST_SHIM
                " VTEE_FD=<socket>\n"
                "VMM: " +
                qemu_ +
                " -M virt,accel=kvm,memory-backend=m -m 1G -name web -object "
                "memory-backend-memfd,id=m,size=1G,share=on -kernel Image -append 'a b' -serial "
                "stdio -dtb TMP/guest.dtb\n");
  EXPECT_THAT(Read(Record()), IsEmpty());
}

TEST_F(FakeQemuTest, WithAWindowTheMemoryMayBePrivate) {
  const std::string kPrivate = "the guest's memory is private";
  options_.vmm = {qemu_, "-M", "virt,accel=kvm", "-m", "1G", "-kernel", "Image"};
  EXPECT_THAT(Run().output, HasSubstr(kPrivate));
  options_.profile = "linux-no-rpc-arg";
  EXPECT_THAT(Run().output, HasSubstr(kPrivate));
  options_.profile = "static";
  options_.window = "1M@0x9000000";
  Finished finished = Run();
  EXPECT_EQ(finished.ExitStatus(), 6) << finished.output;
  EXPECT_THAT(finished.output, HasSubstr("ran -M virt,accel=kvm -m 1G -kernel Image -dtb "));
  options_.dry_run = true;
  EXPECT_THAT(Run().output, HasSubstr(" --tee-profile=static --window=1M@0x9000000 --name=vm"));
}

TEST_F(FakeQemuTest, AWindowOfTheConfigurationFileCountsToo) {
  options_.vmm = {qemu_, "-M", "virt,accel=kvm", "-m", "1G", "-kernel", "Image"};
  options_.config = "c.toml";
  EXPECT_THAT(Run().output, HasSubstr("the guest's memory is private"));
  setenv("FAKE_VTEED", "window", 1);
  EXPECT_EQ(Run().ExitStatus(), 6);
}

TEST_F(FakeQemuTest, DryRunListsProblems) {
  options_.dry_run = true;
  host_.problems = {"this machine is strange"};
  options_.vmm = {qemu_, "-M", "virt", "-kernel", "I", "-device", "virtio-iommu-pci"};
  const Finished finished = Run();
  EXPECT_EQ(finished.ExitStatus(), 2);
  EXPECT_THAT(finished.output, AllOf(HasSubstr("problem: this machine is strange\n"),
                                     HasSubstr("problem: QEMU would use emulation"),
                                     HasSubstr("problem: -device virtio-iommu-pci must")));
}

TEST_F(FakeQemuTest, PrivateMemoryRunsAndIsToldOnce) {
  options_.vmm = {qemu_, "-M", "virt,accel=kvm", "-m", "1G", "-kernel", "I"};
  const Finished finished = Run();
  EXPECT_EQ(finished.ExitStatus(), 6) << finished.output;
  const std::string remedy =
      "add -object memory-backend-memfd,id=mem,size=1G,share=on -machine memory-backend=mem";
  const std::size_t first = finished.output.find(remedy);
  EXPECT_NE(first, std::string::npos) << finished.output;
  EXPECT_EQ(finished.output.find(remedy, first + 1), std::string::npos) << "once";
}

TEST_F(FakeQemuTest, TakesTheUsersTree) {
  const std::string own = folder_->File("own.dtb");
  TestTree().Virt().Text("/", "model", "mine").Write(own);
  options_.vmm.insert(options_.vmm.end(), {"-dtb", own});
  EXPECT_EQ(Run().ExitStatus(), 6);
  const auto tree = DeviceTree::Load(folder_->File("given.dtb"));
  ASSERT_TRUE(tree.ok());
  EXPECT_EQ(tree->Text(0, "model"), "mine");
  EXPECT_GE(tree->Find("/firmware/optee"), 0);
  EXPECT_THAT(Read(folder_->File("dumped")), IsEmpty());
}

TEST_F(FakeQemuTest, UsersBrokenTreeIsASentence) {
  const std::string own = Script("own.dtb", "no tree\n");
  options_.vmm.insert(options_.vmm.end(), {"-dtb", own});
  const Finished finished = Run();
  EXPECT_EQ(finished.ExitStatus(), 2);
  EXPECT_THAT(finished.output, HasSubstr("vtee: " + own + " is not a usable device tree"));
}

TEST_F(FakeQemuTest, QemusOwnComplaintIsPassedOn) {
  Script("qemu-system-aarch64", "echo 'qemu-system-aarch64: no such CPU' >&2; exit 1\n");
  const Finished finished = Run();
  EXPECT_EQ(finished.ExitStatus(), 2);
  EXPECT_EQ(finished.output, "vtee: QEMU did not give its device tree: no such CPU\n");
}

TEST_F(FakeQemuTest, SignalDuringTheDumpLeavesNothing) {
  Script("qemu-system-aarch64", "echo dumping >$TMPDIR/fifo; exec sleep 1000\n");
  const std::string fifo = folder_->File("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  Start();
  EXPECT_EQ(Read(fifo), "dumping\n");
  kill(child_, SIGTERM);
  const Finished finished = Finish();
  ASSERT_TRUE(WIFSIGNALED(finished.wait_status)) << finished.output;
  EXPECT_EQ(WTERMSIG(finished.wait_status), SIGTERM);
  for (const auto& entry : std::filesystem::directory_iterator(folder_->path())) {
    EXPECT_FALSE(entry.is_directory()) << entry.path() << " is left over";
  }
}

TEST_F(FakeQemuTest, FirmwareGetsTreeAndTable) {
  options_.conduit = Conduit::kHvc;
  options_.vmm.insert(options_.vmm.end(), {"-bios", "QEMU_EFI.fd"});
  const Finished finished = Run();
  EXPECT_EQ(finished.ExitStatus(), 6) << finished.output;
  EXPECT_THAT(Read(folder_->File("dumped")), HasSubstr("-device pci-testdev,bus=pcie.0"));
  EXPECT_THAT(finished.output, HasSubstr("vtee: firmware that describes the machine by ACPI"));
  const auto tree = DeviceTree::Load(folder_->File("given.dtb"));
  ASSERT_TRUE(tree.ok());
  EXPECT_GE(tree->Find("/firmware/optee"), 0);
  EXPECT_EQ(Read(folder_->File("given.rom")), OptionRom(TeeTable(Conduit::kHvc, 15)));
}

TEST_F(FakeQemuTest, FirmwareWithoutAcpiGetsTheTreeAlone) {
  options_.vmm.insert(options_.vmm.end(), {"-bios", "QEMU_EFI.fd", "-machine", "acpi=off"});
  const Finished finished = Run();
  EXPECT_EQ(finished.ExitStatus(), 6) << finished.output;
  EXPECT_THAT(finished.output, Not(HasSubstr("ACPI")));
  EXPECT_TRUE(DeviceTree::Load(folder_->File("given.dtb")).ok());
  EXPECT_FALSE(std::filesystem::exists(folder_->File("given.rom")));
}

TEST_F(FakeQemuTest, DryRunShowsTheTable) {
  options_.dry_run = true;
  options_.vmm.insert(options_.vmm.end(), {"-bios", "QEMU_EFI.fd"});
  const Finished finished = Run();
  EXPECT_EQ(finished.ExitStatus(), 0) << finished.output;
  EXPECT_THAT(finished.output,
              AllOf(HasSubstr("\nACPI gets: \\_SB.VTEE { _HID \"PRP0001\""),
                    HasSubstr("-device pci-testdev,bus=pcie.0,romfile="), HasSubstr("\nnote: ")));
}

TEST_F(FakeQemuTest, NoDtbLeavesFirmwareAlone) {
  options_.no_dtb = true;
  options_.vmm.insert(options_.vmm.end(), {"-bios", "QEMU_EFI.fd"});
  const Finished finished = Run();
  EXPECT_EQ(finished.ExitStatus(), 6);
  EXPECT_THAT(finished.output, AllOf(Not(HasSubstr("-dtb ")), Not(HasSubstr("pci-testdev"))));
}

TEST_F(FakeQemuTest, NoDtbLeavesTheCommandLineAlone) {
  options_.no_dtb = true;
  const Finished finished = Run();
  EXPECT_EQ(finished.ExitStatus(), 6);
  EXPECT_THAT(finished.output, Not(HasSubstr("-dtb ")));
  EXPECT_THAT(finished.output, HasSubstr("vtee: the device tree stays as it is"));
}

}  // namespace
}  // namespace vtee::cli
