// SPDX-License-Identifier: BSD-3-Clause
// TestVmm: the VMM's side of the shared-memory mailboxes, written from docs/vmm-protocol.md alone.
//
// Threading: one thread per vCPU. No KVM, no shim: what the shim does is tested in src/vmm.
#pragma once

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <new>
#include <optional>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "base/futex.h"
#include "base/unique_fd.h"
#include "vmm/protocol.h"

namespace vtee::daemon {

using Registers = std::array<std::uint64_t, vmm::kCallRegisters>;

struct TestReply {
  std::uint32_t count = 0;
  Registers x{};
};

class TestVmm {
 public:
  explicit TestVmm(std::uint32_t vcpus, bool sealed = true)
      : bytes_(vmm::RingBytes(vcpus)), sequences_(vcpus) {
    ring_ = UniqueFd(memfd_create("vtee-test-ring", MFD_CLOEXEC | MFD_ALLOW_SEALING));
    if (ftruncate(ring_.get(), static_cast<off_t>(bytes_)) != 0) std::abort();
    if (sealed && fcntl(ring_.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) != 0) std::abort();
    base_ = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, ring_.get(), 0);
    if (base_ == MAP_FAILED) std::abort();
    header().magic = vmm::kProtocolMagic;
    header().major = vmm::kProtocolMajor;
    header().minor = vmm::kProtocolMinor;
    header().vcpu_capacity = vcpus;
    header().mailbox_size = sizeof(vmm::Mailbox);
  }
  ~TestVmm() { munmap(base_, bytes_); }
  TestVmm(const TestVmm&) = delete;
  TestVmm& operator=(const TestVmm&) = delete;

  const UniqueFd& ring() const { return ring_; }
  vmm::RingHeader& header() { return *static_cast<vmm::RingHeader*>(base_); }
  vmm::Mailbox& box(std::uint32_t vcpu) {
    return reinterpret_cast<vmm::Mailbox*>(static_cast<std::byte*>(base_) + 4096)[vcpu];
  }

  // Publishes a request; its sequence number.
  std::uint32_t Submit(std::uint32_t vcpu, const Registers& x, bool smc = true) {
    vmm::Mailbox& mailbox = box(vcpu);
    std::copy(x.begin(), x.end(), mailbox.x);
    mailbox.conduit = smc ? vmm::kConduitSmc : vmm::kConduitHvc;
    const std::uint32_t sequence = ++sequences_[vcpu];
    mailbox.request.store(sequence);
    if (mailbox.vteed_sleeping.load() != 0) FutexWakeShared(mailbox.request, 1);
    if (mailbox.served.load() == 0) RingDoorbell();
    return sequence;
  }
  // The reply; nothing after five seconds. `sleep`: by futex at once, else by looking.
  std::optional<TestReply> Wait(std::uint32_t vcpu, bool sleep = false) {
    vmm::Mailbox& mailbox = box(vcpu);
    const std::uint64_t deadline = MonotonicNanos() + 5'000'000'000;
    while (MonotonicNanos() < deadline) {
      const std::uint32_t seen = mailbox.reply.load();
      if (seen == sequences_[vcpu]) return Taken(mailbox);
      if (!sleep) {
        std::this_thread::yield();
        continue;
      }
      mailbox.vmm_sleeping.store(1);
      if (mailbox.reply.load() == seen) FutexWaitShared(mailbox.reply, seen, 5'000'000'000);
      mailbox.vmm_sleeping.store(0);
    }
    return std::nullopt;
  }
  std::optional<TestReply> Call(std::uint32_t vcpu, const Registers& x, bool sleep = false) {
    Submit(vcpu, x);
    return Wait(vcpu, sleep);
  }
  bool Replied(std::uint32_t vcpu) { return box(vcpu).reply.load() == sequences_[vcpu]; }

  void RingDoorbell() {
    header().park_doorbell.fetch_add(1);
    FutexWakeShared(header().park_doorbell, 1);
  }
  void AskToPark(std::uint32_t vcpu) {
    box(vcpu).park.store(sequences_[vcpu]);
    RingDoorbell();
  }
  // Waits for vteed's thread to sleep on the mailbox.
  bool WaitUntilVteedSleeps(std::uint32_t vcpu) {
    for (int i = 0; i < 5000; ++i) {
      if (box(vcpu).vteed_sleeping.load() != 0) return true;
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    return false;
  }

 private:
  static TestReply Taken(const vmm::Mailbox& mailbox) {
    TestReply reply;
    reply.count = mailbox.reply_count;
    std::copy(std::begin(mailbox.reply_x), std::end(mailbox.reply_x), reply.x.begin());
    return reply;
  }

  std::size_t bytes_;
  std::vector<std::uint32_t> sequences_;
  UniqueFd ring_;
  void* base_ = nullptr;
};

}  // namespace vtee::daemon
