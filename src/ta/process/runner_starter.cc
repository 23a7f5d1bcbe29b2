// SPDX-License-Identifier: BSD-3-Clause
#include "ta/process/runner_starter.h"

#include <sched.h>

#include "base/log.h"
#include "base/memory.h"

namespace vtee::ta {
namespace {

// A start takes the processor for some milliseconds, which belong to the TA that has just begun.
constexpr std::chrono::milliseconds kFillDelay{10};

// Of this thread (0) or a process that it has started: whether waking it interrupts others. Where
// the host wants another policy for vteed, that one stays.
void SetPolicy(pid_t of, int policy, int instead_of) {
  const sched_param none{};
  if (sched_getscheduler(of) == instead_of) sched_setscheduler(of, policy, &none);
}

}  // namespace

RunnerStarter::RunnerStarter(Options options)
    : options_(std::move(options)), thread_([this] { Run(); }) {}

RunnerStarter::~RunnerStarter() {
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

Result<std::unique_ptr<RunnerProcess>> RunnerStarter::Start() {
  Order order;
  std::unique_lock lock(mutex_);
  filling_ = true;
  fill_at_ = std::chrono::steady_clock::now() + kFillDelay;
  while (!pool_.empty()) {
    auto process = std::move(pool_.front());
    pool_.pop_front();
    changed_.notify_all();
    if (!process->HasEnded()) return process;
  }
  orders_.push_back(&order);
  changed_.notify_all();
  changed_.wait(lock, [&] { return order.result.has_value(); });
  return *std::move(order.result);
}

std::vector<pid_t> RunnerStarter::pooled() {
  const std::lock_guard lock(mutex_);
  std::vector<pid_t> pids;
  pids.reserve(pool_.size());
  for (const auto& process : pool_) pids.push_back(process->pid());
  return pids;
}

RunnerStarter::Started RunnerStarter::StartOne(bool ahead) const {
  Started started = Error{ErrorCode::kResourceExhausted, "there is no memory to start a TA"};
  static_cast<void>(WithinMemory([&] {
    auto arena = Arena::Create(options_.arena_size);
    if (!arena.ok()) {
      started = arena.error();
      return;
    }
    if (ahead) SetPolicy(0, SCHED_BATCH, SCHED_OTHER);
    started = RunnerProcess::Start(options_.program, std::move(arena).value());
    if (ahead) SetPolicy(0, SCHED_OTHER, SCHED_BATCH);
    if (ahead && started.ok()) SetPolicy((*started)->pid(), SCHED_OTHER, SCHED_BATCH);
  }));
  return started;
}

bool RunnerStarter::WantsMore() {
  std::erase_if(pool_, [](const auto& process) { return process->HasEnded(); });
  return filling_ && pool_.size() < options_.pool;
}

void RunnerStarter::Run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    while (orders_.empty()) {
      if (ending_) return;
      if (!WantsMore()) {
        changed_.wait(lock);
      } else if (changed_.wait_until(lock, fill_at_) == std::cv_status::timeout) {
        break;
      }
    }
    const bool ahead = orders_.empty();
    lock.unlock();
    Started started = StartOne(ahead);
    lock.lock();
    if (!orders_.empty()) {
      // Whoever has come meanwhile need not wait for another.
      orders_.front()->result = std::move(started);
      orders_.pop_front();
      changed_.notify_all();
    } else if (started.ok()) {
      pool_.push_back(std::move(started).value());
    } else {
      filling_ = false;
      Log(LogLevel::kWarning, "ta.pool",
          {{"what", "no process is started ahead until the next TA starts"},
           {"error", started.error().message}});
    }
  }
}

}  // namespace vtee::ta
