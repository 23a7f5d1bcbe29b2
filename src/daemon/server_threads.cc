// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/server_threads.h"

#include <system_error>
#include <thread>

namespace vtee::daemon {

ServerThreads::~ServerThreads() {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return threads_ == 0; });
}

Error ThreadError(const std::system_error& error) {
  return Error{ErrorCode::kResourceExhausted,
               std::string("cannot start a thread: ") + error.what() +
                   "; raise the process limit (ulimit -u, TasksMax)"};
}

Status ServerThreads::Run(std::function<void()> job) {
  const std::lock_guard lock(mutex_);
  if (idle_ > jobs_.size()) {
    jobs_.push_back(std::move(job));
    changed_.notify_all();
    return {};
  }
  // What is thrown for want of memory is the caller's: no job has been taken over then.
  try {
    std::thread([this, job = std::move(job)]() mutable { Loop(std::move(job)); }).detach();
  } catch (const std::system_error& error) {
    return ThreadError(error);
  }
  ++threads_;
  return {};
}

void ServerThreads::Loop(std::function<void()> job) {
  job();
  job = nullptr;
  std::unique_lock lock(mutex_);
  while (idle_ < kKeep) {
    ++idle_;
    changed_.wait(lock, [this] { return stopping_ || !jobs_.empty(); });
    --idle_;
    if (jobs_.empty()) break;
    job = std::move(jobs_.front());
    jobs_.pop_front();
    lock.unlock();
    job();
    job = nullptr;
    lock.lock();
  }
  --threads_;
  changed_.notify_all();
}

}  // namespace vtee::daemon
