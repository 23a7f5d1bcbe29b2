// SPDX-License-Identifier: BSD-3-Clause
#include "mediator/chores.h"

#include <new>
#include <system_error>
#include <utility>

#include "base/memory.h"

namespace vtee::mediator {

Chores::~Chores() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

void Chores::Add(const std::function<void()>& chore) {
  if (!Queue(chore)) static_cast<void>(WithinMemorySoon(chore));
}

bool Chores::Queue(const std::function<void()>& chore) {
  const std::lock_guard lock(mutex_);
  try {
    if (!thread_.joinable()) thread_ = std::thread([this] { Loop(); });
    chores_.push_back(chore);
  } catch (const std::system_error&) {
    return false;
  } catch (const std::bad_alloc&) {
    return false;
  }
  changed_.notify_all();
  return true;
}

bool Chores::WaitUntilDone(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  return changed_.wait_until(lock, deadline, [this] { return chores_.empty() && !busy_; });
}

void Chores::Loop() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return stopping_ || !chores_.empty(); });
    if (chores_.empty()) return;
    std::function<void()> chore = std::move(chores_.front());
    chores_.pop_front();
    busy_ = true;
    lock.unlock();
    static_cast<void>(WithinMemorySoon(chore));
    chore = nullptr;
    lock.lock();
    busy_ = false;
    changed_.notify_all();
  }
}

}  // namespace vtee::mediator
