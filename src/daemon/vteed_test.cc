// SPDX-License-Identifier: BSD-3-Clause
// The program vteed as a service manager or a VMM sees it.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/socket.h"
#include "base/unique_fd.h"
#include "vmm/protocol.h"

namespace vtee::daemon {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

class VteedTest : public ::testing::Test {
 protected:
  VteedTest() {
    std::string pattern = ::testing::TempDir() + "vteed-XXXXXX";
    folder_ = mkdtemp(pattern.data());
  }
  ~VteedTest() override {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    std::filesystem::remove_all(folder_);
  }

  std::string Path(const std::string& name) const { return folder_ + "/" + name; }

  // Starts vteed; `kept` stays open in it as descriptor 3.
  void Start(std::vector<std::string> arguments, int kept = -1,
             std::vector<std::string> environment = {}) {
    arguments.insert(arguments.begin(), VTEED_PATH);
    std::vector<char*> argv;
    for (std::string& argument : arguments) argv.push_back(argument.data());
    argv.push_back(nullptr);
    std::vector<char*> envp;
    for (std::string& variable : environment) envp.push_back(variable.data());
    envp.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, Path("out").c_str(), O_WRONLY | O_CREAT, 0600);
    posix_spawn_file_actions_addopen(&actions, 2, Path("err").c_str(), O_WRONLY | O_CREAT, 0600);
    if (kept >= 0) posix_spawn_file_actions_adddup2(&actions, kept, 3);
    ASSERT_EQ(posix_spawn(&pid_, VTEED_PATH, &actions, nullptr, argv.data(), envp.data()), 0);
    posix_spawn_file_actions_destroy(&actions);
  }
  int Wait() {
    int status = 0;
    waitpid(pid_, &status, 0);
    pid_ = -1;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
  }
  int Run(std::vector<std::string> arguments) {
    Start(std::move(arguments));
    return Wait();
  }
  std::string Said(const std::string& name) const {
    std::ifstream file(Path(name));
    std::ostringstream text;
    text << file.rdbuf();
    return text.str();
  }
  void WaitForLog(const std::string& event) const {
    const auto deadline = Clock::now() + std::chrono::seconds(20);
    while (Said("err").find(event) == std::string::npos && Clock::now() < deadline) {
      std::this_thread::sleep_for(milliseconds(2));
    }
    ASSERT_NE(Said("err").find(event), std::string::npos) << Said("err");
  }

  std::string folder_;
  pid_t pid_ = -1;
};

TEST_F(VteedTest, PrintsItsCapabilitiesAsJson) {
  EXPECT_EQ(Run({"--print-capabilities", "--fd", "77"}), 0);
  const auto json = nlohmann::json::parse(Said("out"));
  EXPECT_EQ(json["type"], "tee");
  EXPECT_EQ(json["protocol"]["major"], 1);
  EXPECT_EQ(json["profiles"]["optee"],
            (std::vector<std::string>{"linux", "linux-no-rpc-arg", "static", "u-boot", "edk2"}));
  EXPECT_FALSE(json["features"].empty());
}

TEST_F(VteedTest, AKeyDescriptorThatIsNotOpenIsSaid) {
  EXPECT_EQ(Run({"--check", "--backend", "user,keys=development,state=/s,state_key_fd=99"}), 2);
  EXPECT_NE(Said("err").find("state_key_fd=99: there is no such descriptor"), std::string::npos);
  EXPECT_EQ(Run({"--fd", "99", "--backend", "user,state=/s,state_key_fd=99"}), 2);
  EXPECT_NE(Said("err").find("name the same descriptor"), std::string::npos);
}

TEST_F(VteedTest, LeavesWithin100MillisecondsOfItsVmm) {
  auto pair = MakeSocketPair();
  ASSERT_TRUE(pair.ok());
  Start({"--fd", "3", "--backend", "fake"}, pair->second.get());
  pair->second.Reset();
  WaitForLog("vm.start");
  const auto start = Clock::now();
  pair->first.Reset();
  EXPECT_EQ(Wait(), 0);
  EXPECT_LT(Clock::now() - start, milliseconds(VTEED_SLOW_BUILD ? 2000 : 100));
  EXPECT_NE(Said("err").find("vm.end"), std::string::npos);
}

TEST_F(VteedTest, AVmmThatIsGoneBeforeTheAnswerIsNoError) {
  auto pair = MakeSocketPair();
  ASSERT_TRUE(pair.ok());
  const UniqueFd ring(memfd_create("ring", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  ASSERT_EQ(ftruncate(ring.get(), static_cast<off_t>(vmm::RingBytes(1))), 0);
  ASSERT_EQ(fcntl(ring.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW), 0);
  vmm::RingHeader header{};
  header.magic = vmm::kProtocolMagic;
  header.major = vmm::kProtocolMajor;
  header.vcpu_capacity = 1;
  header.mailbox_size = sizeof(vmm::Mailbox);
  ASSERT_EQ(pwrite(ring.get(), static_cast<void*>(&header), sizeof header, 0),
            ssize_t{sizeof header});
  vmm::ControlMessage hello{};
  hello.magic = vmm::kProtocolMagic;
  hello.major = vmm::kProtocolMajor;
  hello.type = vmm::ControlType::kHello;
  hello.hello.vcpu_capacity = 1;
  const int fd = ring.get();
  ASSERT_TRUE(
      SendPacket(pair->first.get(), std::as_bytes(std::span(&hello, 1)), std::span(&fd, 1)).ok());
  pair->first.Reset();
  Start({"--fd", "3", "--backend", "fake"}, pair->second.get());
  pair->second.Reset();
  EXPECT_EQ(Wait(), 0);
  EXPECT_EQ(Said("err").find("vm.protocol"), std::string::npos) << Said("err");
  EXPECT_NE(Said("err").find("vm.attached"), std::string::npos) << Said("err");
}

TEST_F(VteedTest, ListensForOneVmAndRemovesTheSocket) {
  Start({"--socket-path", Path("sock"), "--backend", "fake"});
  const auto deadline = Clock::now() + std::chrono::seconds(20);
  Result<UniqueFd> connection = ConnectUnix(Path("sock"));
  while (!connection.ok() && Clock::now() < deadline) connection = ConnectUnix(Path("sock"));
  ASSERT_TRUE(connection.ok());
  WaitForLog("vm.start");
  EXPECT_FALSE(std::filesystem::exists(Path("sock")));
  connection->Reset();
  EXPECT_EQ(Wait(), 0);
}

TEST_F(VteedTest, EndsOnSigtermWhileWaitingAndWhileServing) {
  Start({"--socket-path", Path("sock"), "--backend", "fake"});
  while (!std::filesystem::exists(Path("sock"))) std::this_thread::sleep_for(milliseconds(1));
  kill(pid_, SIGTERM);
  EXPECT_EQ(Wait(), 0);

  auto pair = MakeSocketPair();
  ASSERT_TRUE(pair.ok());
  Start({"--fd", "3", "--backend", "fake"}, pair->second.get());
  WaitForLog("vm.start");
  kill(pid_, SIGTERM);
  EXPECT_EQ(Wait(), 0);
}

TEST_F(VteedTest, TellsTheServiceManagerWhenItIsReady) {
  const UniqueFd manager(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  Path("notify").copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(bind(manager.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
  auto pair = MakeSocketPair();
  ASSERT_TRUE(pair.ok());
  Start({"--fd", "3", "--backend", "fake", "--name", "vm7"}, pair->second.get(),
        {"NOTIFY_SOCKET=" + Path("notify")});
  pollfd readable{manager.get(), POLLIN, 0};
  ASSERT_EQ(poll(&readable, 1, 20'000), 1);
  std::array<char, 256> text{};
  ASSERT_GT(recv(manager.get(), text.data(), text.size() - 1, 0), 0);
  EXPECT_STREQ(text.data(), "READY=1\nSTATUS=Serving vm7");
}

TEST_F(VteedTest, GarbageFromTheVmmEndsItWithAWord) {
  auto pair = MakeSocketPair();
  ASSERT_TRUE(pair.ok());
  Start({"--fd", "3", "--backend", "fake"}, pair->second.get());
  const std::string garbage = "GET / HTTP/1.1";
  ASSERT_TRUE(SendPacket(pair->first.get(), std::as_bytes(std::span(garbage))).ok());
  EXPECT_EQ(Wait(), 1);
  EXPECT_NE(Said("err").find("vm.protocol"), std::string::npos);
}

TEST_F(VteedTest, MistakesAreOneSentenceAndStatusTwo) {
  std::ofstream(Path("bad.toml")) << "name = \"x\"\n[policy]\nmax_cals = 3\n";
  const std::vector<std::pair<std::vector<std::string>, std::string>> cases = {
      {{"--no-such-option"}, "no-such-option"},
      {{"--backend", "fake"}, "--socket-path"},
      {{"--backend", "fake", "--fd", "3", "--socket-path", "x"}, "one of"},
      {{"--backend", "fake", "--program-socket", "y", "--socket-path", "x"}, "one of"},
      {{"--backend", "moon", "--fd", "3"}, "moon"},
      {{"--fd", "3"}, "--backend"},
      {{"--check", "--backend", "host,device=" + Path("tee0")}, "tee0"},
      {{"--check", "--backend", "fake", "--config", Path("bad.toml")}, "bad.toml:3:1"},
      {{"--check", "--backend", "fake", "--config", Path("none.toml")}, "none.toml"},
      {{"--check", "--backend", "fake", "--log-level", "loud"}, "loud"},
      {{"--check", "--backend", "fake", "--tee-profile", "linus"}, "linux-no-rpc-arg"},
      {{"--check", "--backend", "fake", "--window", "4M"}, "--tee-profile static"},
      {{"--check", "--backend", "fake", "--window", "4K"}, "4M@0xe000000"},
  };
  for (const auto& [arguments, wanted] : cases) {
    std::filesystem::remove(Path("err"));
    EXPECT_EQ(Run(arguments), 2) << wanted;
    const std::string said = Said("err");
    EXPECT_NE(said.find(wanted), std::string::npos) << said;
    EXPECT_EQ(std::count(said.begin(), said.end(), '\n'), 1) << said;
  }
}

TEST_F(VteedTest, CheckSaysWhichTee) {
  EXPECT_EQ(Run({"--check", "--backend", "fake"}), 0);
  EXPECT_NE(Said("out").find("backend:"), std::string::npos);
  EXPECT_EQ(Said("out").find("window:"), std::string::npos);
}

TEST_F(VteedTest, CheckSaysWhichWindow) {
  EXPECT_EQ(Run({"--check", "--backend", "fake", "--tee-profile", "static"}), 0);
  EXPECT_EQ(Said("out").rfind("window: 0x400000@0xe000000\nbackend: ", 0), 0u) << Said("out");
}

}  // namespace
}  // namespace vtee::daemon
