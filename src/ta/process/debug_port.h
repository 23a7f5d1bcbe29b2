// SPDX-License-Identifier: BSD-3-Clause
// DebugPort: where a debugger reaches the process of one TA: a TCP port of the loopback interface,
// relayed to the socket that the TA's emulator serves (qemu-user's -g; GDB remote protocol).
//
// The process of a TA has no network, and the emulator would serve all of the host's. One debugger,
// once: when it goes, the TA runs on without. Threading: a thread of its own until destruction.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <thread>

#include "base/result.h"
#include "base/unique_fd.h"

namespace vtee::ta {

class DebugPort {
 public:
  // Takes the first free port from `first` on.
  static Result<std::unique_ptr<DebugPort>> Open(std::uint16_t first);
  ~DebugPort();
  DebugPort(const DebugPort&) = delete;
  DebugPort& operator=(const DebugPort&) = delete;

  std::uint16_t port() const { return port_; }
  // The Unix socket on which the emulator shall listen.
  const std::string& path() const { return path_; }

 private:
  DebugPort() = default;
  void Serve();
  bool Readable(int fd) const;
  UniqueFd ConnectEmulator() const;
  void Relay(int debugger, int emulator) const;

  std::uint16_t port_ = 0;
  std::string folder_;
  std::string path_;
  UniqueFd listener_;
  UniqueFd stop_;
  std::thread thread_;
};

}  // namespace vtee::ta
