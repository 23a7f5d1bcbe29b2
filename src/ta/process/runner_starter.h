// SPDX-License-Identifier: BSD-3-Clause
// RunnerStarter: the thread that starts the processes of TAs, and a pool of started ones.
//
// The kernel kills such a process when the thread that started it ends, so that none outlives
// vteed. Threads that serve calls come and go; this one stays as long as the TEE.
//
// The pool hides what a start takes from whoever opens a session. It is empty until the first
// Start(), so that a VM that uses no TA has no such process, and filled again a moment after each
// one, when the TA that has just begun has done what it had to do first. A process that has ended
// in the pool is replaced, and never handed out.
// Threading: Start() from any thread, concurrently; the destructor when nobody starts any more.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "base/result.h"
#include "ta/process/runner_process.h"

namespace vtee::ta {

class RunnerStarter {
 public:
  struct Options {
    RunnerProgram program;
    std::uint64_t arena_size = 0;  // of each process
    std::uint32_t pool = 0;        // how many are kept ready
  };
  explicit RunnerStarter(Options options);
  ~RunnerStarter();
  RunnerStarter(const RunnerStarter&) = delete;
  RunnerStarter& operator=(const RunnerStarter&) = delete;

  // A process that is ready.
  Result<std::unique_ptr<RunnerProcess>> Start();
  // Those in the pool, dead or alive; for tests and measurements.
  std::vector<pid_t> pooled();

 private:
  using Started = Result<std::unique_ptr<RunnerProcess>>;
  struct Order {
    std::optional<Started> result;
  };
  void Run();
  // Whether the pool has room; drops from it what has ended.
  bool WantsMore();
  Started StartOne(bool ahead) const;

  const Options options_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Order*> orders_;
  std::deque<std::unique_ptr<RunnerProcess>> pool_;
  bool filling_ = false;  // begins with the first start, ends with one that fails
  std::chrono::steady_clock::time_point fill_at_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace vtee::ta
