// SPDX-License-Identifier: BSD-3-Clause
// SoftTpm: a TPM in a process (swtpm), for tests; its memory is in a folder, so that it can be
// switched off, and another one, or a cleared one, put in its place.
// Threading: one thread.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <string>
#include <thread>

#include "base/unique_fd.h"
#include "ta/storage/tss_library.h"

namespace vtee::ta {

class SoftTpm {
 public:
  explicit SoftTpm(const std::string& folder) : folder_(folder) {
    std::filesystem::create_directory(folder);
    On();
  }
  ~SoftTpm() { Off(); }
  SoftTpm(const SoftTpm&) = delete;
  SoftTpm& operator=(const SoftTpm&) = delete;

  // Whether there is one to be had here.
  static bool Available() { return ::access(kProgram, X_OK) == 0 && TssLibrary::Find().ok(); }
  bool on() const { return pid_ > 0; }
  std::string tcti() const { return "swtpm:port=" + std::to_string(port_); }

  void On() {
    for (int tries = 0; tries < 20 && pid_ < 0; ++tries) Start();
    EXPECT_GT(pid_, 0) << "swtpm does not start";
  }
  void Off() {
    if (pid_ < 0) return;
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }
  // As its firmware does for the owner of the machine: all seeds and indices are new.
  void Clear() {
    Off();
    std::filesystem::remove_all(folder_);
    std::filesystem::create_directory(folder_);
    On();
  }

 private:
  static constexpr const char* kProgram = "/usr/bin/swtpm";

  // The next port is the control channel's.
  static int TwoPorts() {
    for (int tries = 0; tries < 100; ++tries) {
      const UniqueFd one(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      const UniqueFd two(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      if (!one || !two) return 0;
      sockaddr_in address{};
      address.sin_family = AF_INET;
      address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      socklen_t size = sizeof address;
      auto* generic = reinterpret_cast<sockaddr*>(&address);
      int port = 0;
      if (::bind(one.get(), generic, size) == 0 && ::getsockname(one.get(), generic, &size) == 0) {
        port = ntohs(address.sin_port);
        address.sin_port = htons(static_cast<std::uint16_t>(port + 1));
        if (::bind(two.get(), generic, size) != 0) port = 0;
      }
      if (port != 0) return port;
    }
    return 0;
  }
  static bool Answers(int port) {
    const UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(static_cast<std::uint16_t>(port));
    return fd && ::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) == 0;
  }
  void Start() {
    port_ = TwoPorts();
    const std::string server = "type=tcp,disconnect,port=" + std::to_string(port_);
    const std::string control = "type=tcp,port=" + std::to_string(port_ + 1);
    const std::string state = "dir=" + folder_;
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      ::execl(kProgram, kProgram, "socket", "--tpm2", "--flags", "not-need-init,startup-clear",
              "--tpmstate", state.c_str(), "--server", server.c_str(), "--ctrl", control.c_str(),
              nullptr);
      ::_exit(127);
    }
    for (int i = 0; i < 500; ++i) {
      if (Answers(port_ + 1)) {
        pid_ = pid;
        return;
      }
      if (::waitpid(pid, nullptr, WNOHANG) != 0) return;  // somebody else has the port
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    ::kill(pid, SIGKILL);
    ::waitpid(pid, nullptr, 0);
  }

  const std::string folder_;
  pid_t pid_ = -1;
  int port_ = 0;
};

}  // namespace vtee::ta
