// SPDX-License-Identifier: BSD-3-Clause
// FakeVteed: the other side of the VMM protocol, for tests. Threads of its own serve the control
// socket and the first mailboxes. A call's answer comes from `answer`, which is asked again and
// again until it has one; a call without one that is asked to park is answered with kParked in x0.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "vmm/call_port.h"
#include "vmm/protocol.h"

namespace vtee::vmm {

class FakeVteed {
 public:
  static constexpr std::uint64_t kParked = 0xffff0004;
  static constexpr std::size_t kServedMailboxes = 2;

  struct Options {
    std::vector<FilterRange> ranges = {{0x32000000, 0x10000, 8, 0}, {0xb2000000, 0x10000, 4, 0}};
    std::int32_t interrupt_gsi = -1;
    std::uint64_t window_base = 0;
    std::uint64_t window_size = 0;
    std::uint16_t minor = kProtocolMinor;
    std::uint32_t status = 0;
    std::string text;
    std::uint16_t major = kProtocolMajor;
    std::uint32_t range_count = 0;  // 0: ranges.size()
    std::size_t reply_size = sizeof(ControlMessage);
    bool answer_hello = true;
    std::uint32_t ack_status = 0;
    ControlType ack_type = ControlType::kAck;
    std::uint32_t park_after_us = 20'000;
    std::uint32_t spin_us = 100;
    std::function<std::optional<CallRegisters>(std::size_t vcpu, const std::uint64_t* x)> answer;
  };
  struct Event {
    ControlType type;
    ControlMessage message;
    std::uint64_t inode = 0;  // of the descriptor that came along, 0: none
    int calls_before = 0;     // secure calls seen before this message
  };

  FakeVteed(UniqueFd control, Options options);
  ~FakeVteed();

  // Waits until `count` control messages after the hello have been served.
  bool WaitForEvents(std::size_t count);
  std::vector<Event> events();
  std::vector<Event> EventsOf(ControlType type);
  int calls() const { return calls_.load(); }
  bool WaitForCalls(int count);
  // Did the VMM side close the connection?
  bool WaitForClose();
  // Ends as a crashed vteed does.
  void Die();
  void RaiseInterrupt();
  // The memory channel, once the VMM side has sent it; -1: it has not.
  int memory_fd();
  int ring_seals() const { return ring_seals_; }
  std::uint32_t hello_vcpus() const { return hello_vcpus_; }

 private:
  void ServeControl();
  bool ServeHello();
  void ServeMailbox(std::size_t vcpu);
  Mailbox* mailbox(std::size_t vcpu);

  UniqueFd control_;
  Options options_;
  char* ring_ = nullptr;
  std::size_t ring_bytes_ = 0;
  int ring_seals_ = 0;
  std::uint32_t hello_vcpus_ = 0;
  UniqueFd interrupt_;
  UniqueFd memory_;
  std::atomic<bool> stop_{false};
  std::atomic<int> calls_{0};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<Event> events_;
  bool closed_ = false;
  std::vector<std::thread> mailbox_threads_;
  std::thread control_thread_;
};

// `vtee run`'s side of VTEE_FD: makes a FakeVteed for every VM it is asked for.
class FakeBroker {
 public:
  explicit FakeBroker(FakeVteed::Options options);
  ~FakeBroker();
  int vmm_end() const { return vmm_end_.get(); }
  void SetOptions(FakeVteed::Options options);
  void CloseVmmEnd() { vmm_end_.Reset(); }
  std::size_t vm_count();
  FakeVteed* vteed(std::size_t index);  // waits for it

 private:
  void Serve();

  UniqueFd vmm_end_;
  UniqueFd our_end_;
  std::mutex mutex_;
  FakeVteed::Options options_;
  std::condition_variable changed_;
  std::vector<std::unique_ptr<FakeVteed>> vteeds_;
  std::thread thread_;
};

}  // namespace vtee::vmm
