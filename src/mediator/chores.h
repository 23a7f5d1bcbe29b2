// SPDX-License-Identifier: BSD-3-Clause
// Chores: what must be done for a guest but must not hold it up, one after another on a thread.
//
// Closing a session that a driver left behind takes as long as the TEE likes: its TA may be busy
// with another client. The thread starts with the first chore. One for which there is no memory is
// begun again, for up to two seconds. Threading: any thread. The destructor waits for all chores.
#pragma once

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace vtee::mediator {

class Chores {
 public:
  Chores() = default;
  ~Chores();
  Chores(const Chores&) = delete;
  Chores& operator=(const Chores&) = delete;

  // Without a thread or memory to be had, done before Add() returns.
  void Add(const std::function<void()>& chore);
  // Waits until nothing is left to do. False: not by then.
  bool WaitUntilDone(std::chrono::steady_clock::time_point deadline);

 private:
  bool Queue(const std::function<void()>& chore);
  void Loop();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> chores_;
  bool busy_ = false;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace vtee::mediator
