// SPDX-License-Identifier: BSD-3-Clause
#include "ta/process/runner_starter.h"

#include "base/memory.h"

namespace vtee::ta {

RunnerStarter::RunnerStarter(RunnerProgram program)
    : program_(std::move(program)), thread_([this] { Run(); }) {}

RunnerStarter::~RunnerStarter() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Result<std::unique_ptr<RunnerProcess>> RunnerStarter::Start(std::uint64_t arena_size) {
  Order order{arena_size, std::nullopt};
  std::unique_lock lock(mutex_);
  orders_.push_back(&order);
  changed_.notify_all();
  changed_.wait(lock, [&] { return order.result.has_value(); });
  return *std::move(order.result);
}

RunnerStarter::Started RunnerStarter::StartOne(std::uint64_t arena_size) const {
  Started started = Error{ErrorCode::kResourceExhausted, "there is no memory to start a TA"};
  static_cast<void>(WithinMemory([&] {
    auto arena = Arena::Create(arena_size);
    if (arena.ok()) {
      started = RunnerProcess::Start(program_, std::move(arena).value());
    } else {
      started = arena.error();
    }
  }));
  return started;
}

void RunnerStarter::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return ending_ || !orders_.empty(); });
    if (orders_.empty()) return;
    Order& order = *orders_.front();
    orders_.pop_front();
    lock.unlock();
    Started started = StartOne(order.arena_size);
    lock.lock();
    order.result = std::move(started);
    changed_.notify_all();
  }
}

}  // namespace vtee::ta
