// SPDX-License-Identifier: BSD-3-Clause
// RunnerStarter: the thread that starts the processes of TAs.
//
// The kernel kills such a process when the thread that started it ends, so that none outlives
// vteed. Threads that serve calls come and go; this one stays as long as the TEE.
// Threading: Start() from any thread, concurrently; the destructor when nobody starts any more.
#pragma once

#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

#include "base/result.h"
#include "ta/process/runner_process.h"

namespace vtee::ta {

class RunnerStarter {
 public:
  explicit RunnerStarter(RunnerProgram program);
  ~RunnerStarter();
  RunnerStarter(const RunnerStarter&) = delete;
  RunnerStarter& operator=(const RunnerStarter&) = delete;

  // A process that is ready, with an arena of this size.
  Result<std::unique_ptr<RunnerProcess>> Start(std::uint64_t arena_size);

 private:
  using Started = Result<std::unique_ptr<RunnerProcess>>;
  struct Order {
    std::uint64_t arena_size;
    std::optional<Started> result;
  };
  void Run();
  Started StartOne(std::uint64_t arena_size) const;

  const RunnerProgram program_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Order*> orders_;
  bool ending_ = false;
  std::thread thread_;
};

}  // namespace vtee::ta
