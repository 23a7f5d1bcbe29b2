// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/fake_vteed.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <chrono>
#include <cstring>

#include "base/futex.h"
#include "base/socket.h"
#include "vmm/control.h"

namespace vtee::vmm {
namespace {

constexpr auto kPatience = std::chrono::seconds(5);

bool ReceiveMessage(int socket, ControlMessage& message, UniqueFd& fd) {
  auto packet = ReceivePacket(socket, sizeof message);
  if (!packet.ok() || packet->bytes.size() != sizeof message) return false;
  std::memcpy(static_cast<void*>(&message), packet->bytes.data(), sizeof message);
  if (!packet->fds.empty()) fd = std::move(packet->fds[0]);
  return true;
}

void SendBytes(int socket, const ControlMessage& message, std::size_t size) {
  static_cast<void>(SendPacket(socket, std::as_bytes(std::span(&message, 1)).first(size)).ok());
}

}  // namespace

FakeVteed::FakeVteed(UniqueFd control, Options options)
    : control_(std::move(control)), options_(std::move(options)) {
  control_thread_ = std::thread([this] { ServeControl(); });
}

FakeVteed::~FakeVteed() {
  Die();
  control_thread_.join();
  if (ring_ != nullptr) munmap(ring_, ring_bytes_);
}

void FakeVteed::Die() {
  stop_.store(true);
  // Wakes the control thread, and is what the VMM side sees of a process that ends.
  shutdown(control_.get(), SHUT_RDWR);
}

Mailbox* FakeVteed::mailbox(std::size_t vcpu) {
  return reinterpret_cast<Mailbox*>(ring_ + 4096 + vcpu * sizeof(Mailbox));
}

bool FakeVteed::ServeHello() {
  ControlMessage hello;
  UniqueFd ring;
  if (!ReceiveMessage(control_.get(), hello, ring) || hello.type != ControlType::kHello) {
    return false;
  }
  hello_vcpus_ = hello.hello.vcpu_capacity;
  ring_bytes_ = RingBytes(hello.hello.vcpu_capacity);
  ring_seals_ = fcntl(ring.get(), F_GET_SEALS);
  void* mapped = mmap(nullptr, ring_bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, ring.get(), 0);
  if (mapped == MAP_FAILED) return false;
  ring_ = static_cast<char*>(mapped);
  for (std::size_t i = 0; i < hello.hello.vcpu_capacity; ++i) {
    mailbox(i)->park_after_us = options_.park_after_us;
    mailbox(i)->spin_us = options_.spin_us;
  }
  if (!options_.answer_hello) return true;
  ControlMessage reply = MakeMessage(ControlType::kHelloReply);
  reply.major = options_.major;
  reply.hello_reply.status = options_.status;
  reply.hello_reply.range_count = options_.range_count != 0
                                      ? options_.range_count
                                      : static_cast<std::uint32_t>(options_.ranges.size());
  for (std::size_t i = 0; i < options_.ranges.size(); ++i) {
    reply.hello_reply.ranges[i] = options_.ranges[i];
  }
  reply.hello_reply.interrupt_gsi = options_.interrupt_gsi;
  reply.hello_reply.window_base = options_.window_base;
  reply.hello_reply.window_size = options_.window_size;
  reply.minor = options_.minor;
  reply.hello_reply.vteed_pid = 4711;
  // Deliberately allowed to fill the field to its last byte, as a hostile vteed might.
  std::memcpy(reply.hello_reply.text, options_.text.data(),
              std::min(options_.text.size(), sizeof reply.hello_reply.text));
  SendBytes(control_.get(), reply, options_.reply_size);
  for (std::size_t i = 0; i < std::min<std::size_t>(kServedMailboxes, hello_vcpus_); ++i) {
    mailbox_threads_.emplace_back([this, i] { ServeMailbox(i); });
  }
  return true;
}

void FakeVteed::ServeControl() {
  if (ServeHello()) {
    ControlMessage message;
    UniqueFd fd;
    while (ReceiveMessage(control_.get(), message, fd)) {
      Event event{message.type, message, 0, calls_.load()};
      struct stat file {};
      if (fd && fstat(fd.get(), &file) == 0) event.inode = file.st_ino;
      {
        // Before the ack: what the VMM side was told is done must be visible to the test.
        const std::lock_guard lock(mutex_);
        if (message.type == ControlType::kInterrupt) interrupt_ = std::move(fd);
        if (message.type == ControlType::kMemoryChannel) memory_ = std::move(fd);
        events_.push_back(event);
        changed_.notify_all();
      }
      if (message.type != ControlType::kInterrupt && message.type != ControlType::kMemoryChannel) {
        ControlMessage ack = MakeMessage(options_.ack_type);
        ack.ack.of = static_cast<std::uint32_t>(message.type);
        ack.ack.status = options_.ack_status;
        SendBytes(control_.get(), ack, sizeof ack);
      }
      fd.Reset();
    }
  }
  stop_.store(true);
  for (auto& thread : mailbox_threads_) thread.join();
  const std::lock_guard lock(mutex_);
  closed_ = true;
  changed_.notify_all();
}

void FakeVteed::ServeMailbox(std::size_t vcpu) {
  Mailbox& box = *mailbox(vcpu);
  box.served.store(1);
  std::uint32_t served = 0;
  while (!stop_.load()) {
    const std::uint32_t request = box.request.load();
    if (request == served) {
      box.vteed_sleeping.store(1);
      if (box.request.load() == served) FutexWaitShared(box.request, served, 2'000'000);
      box.vteed_sleeping.store(0);
      continue;
    }
    calls_.fetch_add(1);
    std::optional<CallRegisters> answer;
    while (!answer && !stop_.load()) {
      if (options_.answer) answer = options_.answer(vcpu, box.x);
      if (!answer && box.park.load() == request) {
        answer.emplace();
        answer->x[0] = kParked;
        answer->count = 4;
      }
      if (!answer) std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    if (!answer) return;
    std::memcpy(box.reply_x, answer->x, sizeof box.reply_x);
    box.reply_count = answer->count;
    served = request;
    box.reply.store(request);
    if (box.vmm_sleeping.load() != 0) FutexWakeShared(box.reply, 1);
  }
}

bool FakeVteed::WaitForEvents(std::size_t count) {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kPatience, [&] { return events_.size() >= count; });
}

bool FakeVteed::WaitForClose() {
  std::unique_lock lock(mutex_);
  return changed_.wait_for(lock, kPatience, [&] { return closed_; });
}

bool FakeVteed::WaitForCalls(int count) {
  const auto until = std::chrono::steady_clock::now() + kPatience;
  while (calls_.load() < count) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::yield();
  }
  return true;
}

std::vector<FakeVteed::Event> FakeVteed::events() {
  const std::lock_guard lock(mutex_);
  return events_;
}

std::vector<FakeVteed::Event> FakeVteed::EventsOf(ControlType type) {
  std::vector<Event> found;
  for (const Event& event : events()) {
    if (event.type == type) found.push_back(event);
  }
  return found;
}

int FakeVteed::memory_fd() {
  const std::lock_guard lock(mutex_);
  return memory_.get();
}

void FakeVteed::RaiseInterrupt() {
  const std::lock_guard lock(mutex_);
  const std::uint64_t one = 1;
  static_cast<void>(write(interrupt_.get(), &one, sizeof one) == sizeof one);
}

FakeBroker::FakeBroker(FakeVteed::Options options) : options_(std::move(options)) {
  auto pair = MakeSocketPair();
  vmm_end_ = std::move(pair->first);
  our_end_ = std::move(pair->second);
  thread_ = std::thread([this] { Serve(); });
}

FakeBroker::~FakeBroker() {
  shutdown(our_end_.get(), SHUT_RDWR);
  thread_.join();
}

void FakeBroker::SetOptions(FakeVteed::Options options) {
  const std::lock_guard lock(mutex_);
  options_ = std::move(options);
}

void FakeBroker::Serve() {
  ControlMessage message;
  UniqueFd control;
  while (ReceiveMessage(our_end_.get(), message, control)) {
    if (message.type != ControlType::kNewVm) return;
    const std::lock_guard lock(mutex_);
    vteeds_.push_back(std::make_unique<FakeVteed>(std::move(control), options_));
    changed_.notify_all();
  }
}

std::size_t FakeBroker::vm_count() {
  const std::lock_guard lock(mutex_);
  return vteeds_.size();
}

FakeVteed* FakeBroker::vteed(std::size_t index) {
  std::unique_lock lock(mutex_);
  const bool there = changed_.wait_for(lock, kPatience, [&] { return vteeds_.size() > index; });
  return there ? vteeds_[index].get() : nullptr;
}

}  // namespace vtee::vmm
