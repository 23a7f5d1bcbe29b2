// SPDX-License-Identifier: BSD-3-Clause
// A stand-in for both ends of the broker, for run_command_test.cc.
//   cli_test_peer vmm N STATUS   makes N VMs through VTEE_FD, waits for their vteeds' first word
//                                (or end), then ends with STATUS
//   cli_test_peer --check ...    as vteed --check
//   cli_test_peer ... --fd=N     as vteed; FAKE_VTEED says how it behaves: good, crash, stuck,
//                                refuse, window. Each start appends its arguments to the file
//                                FAKE_RECORD, and first what can be read from the descriptor
//                                FAKE_KEY_FD.
#include <poll.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/socket.h"
#include "vmm/protocol.h"

namespace {

using vtee::vmm::ControlMessage;

std::string Variable(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr ? value : "";
}

int Vmm(int vms, int status) {
  const int broker = std::atoi(Variable("VTEE_FD").c_str());
  std::vector<vtee::UniqueFd> control;
  for (int i = 0; i < vms; ++i) {
    auto pair = vtee::MakeSocketPair();
    if (!pair.ok()) return 99;
    ControlMessage message{};
    message.magic = vtee::vmm::kProtocolMagic;
    message.major = vtee::vmm::kProtocolMajor;
    message.type = vtee::vmm::ControlType::kNewVm;
    const int fd = pair->second.get();
    const auto bytes = std::as_bytes(std::span(&message, 1));
    if (!vtee::SendPacket(broker, bytes, std::span(&fd, 1)).ok()) return 98;
    pair->second.Reset();
    control.push_back(std::move(pair->first));
  }
  for (const vtee::UniqueFd& fd : control) {
    const bool served = vtee::ReceivePacket(fd.get(), 64).ok();
    std::printf("%s\n", served ? "served" : "not served");
  }
  std::fflush(stdout);
  return status;
}

void Record(const std::vector<std::string>& arguments) {
  std::string line;
  for (const std::string& argument : arguments) line += argument + ' ';
  if (std::FILE* file = std::fopen(Variable("FAKE_RECORD").c_str(), "a")) {
    std::fprintf(file, "%s\n", line.c_str());
    std::fclose(file);
  }
}

int Vteed(const std::vector<std::string>& arguments) {
  const std::string behaviour = Variable("FAKE_VTEED");
  if (!Variable("FAKE_KEY_FD").empty()) {
    std::array<char, 64> key{};
    const ssize_t size =
        pread(std::atoi(Variable("FAKE_KEY_FD").c_str()), key.data(), key.size(), 0);
    Record({"key:", size < 0 ? "none" : std::string(key.data(), static_cast<std::size_t>(size))});
  }
  if (arguments.front() == "--check") {
    if (behaviour == "refuse") {
      std::fprintf(stderr, "some log line\nvteed: may not open /dev/tee0; join group tee\n");
      return 2;
    }
    if (behaviour == "window") std::printf("window: 0x400000@0xe000000\n");
    std::printf("backend: a fake\n");
    return 0;
  }
  Record(arguments);
  int fd = -1;
  for (const std::string& argument : arguments) {
    if (argument.starts_with("--fd=")) fd = std::atoi(argument.c_str() + 5);
  }
  if (behaviour == "crash") return 3;
  const std::byte word{1};
  if (!vtee::SendPacket(fd, std::span(&word, 1)).ok()) return 4;
  if (behaviour == "stuck") std::signal(SIGTERM, SIG_IGN);
  for (;;) {
    pollfd wait{behaviour == "stuck" ? -1 : fd, POLLIN, 0};
    poll(&wait, 1, -1);
    if (wait.revents != 0) return 0;
  }
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.empty()) return 0;
  if (arguments.front() == "vmm") return Vmm(std::atoi(argv[2]), std::atoi(argv[3]));
  return Vteed(arguments);
}
