// SPDX-License-Identifier: BSD-3-Clause
// A ProgramServer over the fake TEE, on a thread of this process, for tests.
#pragma once

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <memory>
#include <string>
#include <thread>

#include "backend/fake/fake_backend.h"
#include "daemon/program_server.h"

namespace vtee::daemon {

class TestProgramServer {
 public:
  explicit TestProgramServer(const mediator::Policy& policy = {})
      : policy_(policy), path_(testing::TempDir() + "programs-" + std::to_string(getpid())) {
    auto created = ProgramServer::Create(path_, *backend_, policy_);
    EXPECT_TRUE(created.ok());
    server_ = std::move(created).value();
    thread_ = std::thread([this] { Serve(); });
  }
  ~TestProgramServer() { Stop(); }
  TestProgramServer(const TestProgramServer&) = delete;
  TestProgramServer& operator=(const TestProgramServer&) = delete;

  const std::string& path() const { return path_; }
  backend::FakeBackend& backend() { return *backend_; }
  // Until nothing of any program is left in the TEE.
  bool WaitUntilNothingIsLeft() {
    for (int i = 0; i < 500; ++i) {
      const backend::FakeCounters now = backend_->counters();
      if (now.open_sessions == 0 && now.registered_memories == 0 && now.calls_in_flight == 0) {
        return true;
      }
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return false;
  }
  void Stop() {
    if (!thread_.joinable()) return;
    const std::uint64_t one = 1;
    EXPECT_EQ(write(stop_.get(), &one, sizeof one), static_cast<ssize_t>(sizeof one));
    thread_.join();
    server_->Stop();
    server_.reset();
  }

 private:
  void Serve() {
    for (;;) {
      std::array<pollfd, 2> fds{{{server_->listener(), POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
      poll(fds.data(), fds.size(), -1);
      if (fds[1].revents != 0) return;
      if (fds[0].revents != 0) server_->Accept();
    }
  }

  const mediator::Policy policy_;
  const std::string path_;
  const UniqueFd stop_{eventfd(0, EFD_CLOEXEC)};
  std::unique_ptr<backend::FakeBackend> backend_ = backend::FakeBackend::WithDefaultScript();
  std::unique_ptr<ProgramServer> server_;
  std::thread thread_;
};

}  // namespace vtee::daemon
