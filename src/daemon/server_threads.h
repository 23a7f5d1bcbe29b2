// SPDX-License-Identifier: BSD-3-Clause
// ServerThreads: threads that serve vCPUs, reused when a parked call gives its thread back.
//
// Run() hands a job to an idle thread, or starts one: a vCPU must be served again before its
// guest is answered. Idle threads beyond kKeep end. Threading: any thread. The destructor waits
// for all jobs.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <system_error>

#include "base/result.h"

namespace vtee::daemon {

// The sentence for a thread that could not be started.
Error ThreadError(const std::system_error& error);

class ServerThreads {
 public:
  ServerThreads() = default;
  ~ServerThreads();
  ServerThreads(const ServerThreads&) = delete;
  ServerThreads& operator=(const ServerThreads&) = delete;

  // Throws std::bad_alloc when there is no memory; the job does not run then.
  Status Run(std::function<void()> job);

 private:
  static constexpr std::size_t kKeep = 4;

  void Loop(std::function<void()> job);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> jobs_;
  std::size_t idle_ = 0;
  std::size_t threads_ = 0;
  bool stopping_ = false;
};

}  // namespace vtee::daemon
