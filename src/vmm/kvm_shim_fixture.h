// SPDX-License-Identifier: BSD-3-Clause
// KvmShimTest: a shim between a VMM, which the test plays, and a fake KVM and vteed.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "base/unique_fd.h"
#include "vmm/fake_kvm.h"
#include "vmm/fake_vteed.h"
#include "vmm/kvm_shim.h"

namespace vtee::vmm {

inline constexpr std::uint32_t kSecure = 0x32000004;  // a call that vteed claims
inline constexpr std::uint32_t kOther = 0x86000000;   // one that it does not
inline constexpr std::uint32_t kExitMmio = 6;
inline constexpr std::uint64_t kMib = 1 << 20;

// Guest RAM in a memfd.
class Memory {
 public:
  explicit Memory(std::size_t size) : size_(size) {
    if (ftruncate(fd_.get(), static_cast<off_t>(size)) != 0) return;
    data_ = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd_.get(), 0);
  }
  ~Memory() { munmap(data_, size_); }
  Memory(const Memory&) = delete;
  Memory& operator=(const Memory&) = delete;
  char* data() const { return static_cast<char*>(data_); }
  std::size_t size() const { return size_; }

 private:
  UniqueFd fd_{memfd_create("ram", MFD_CLOEXEC)};
  std::size_t size_;
  void* data_ = MAP_FAILED;
};

// Guest RAM as a VMM has it without being told otherwise.
class PrivateRam {
 public:
  explicit PrivateRam(std::size_t size)
      : size_(size),
        data_(mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)) {}
  ~PrivateRam() { munmap(data_, size_); }
  PrivateRam(const PrivateRam&) = delete;
  PrivateRam& operator=(const PrivateRam&) = delete;
  char* data() const { return static_cast<char*>(data_); }
  std::size_t size() const { return size_; }

 private:
  std::size_t size_;
  void* data_;
};

class KvmShimTest : public testing::Test {
 protected:
  KvmShimTest() {
    options_.answer = [this](std::size_t, const std::uint64_t* x) { return Answer(x); };
  }
  void Start() {
    broker_ = std::make_unique<FakeBroker>(options_);
    ShimConfig config;
    config.broker_fd = broker_->vmm_end();
    Configure(config);
  }
  static void CountEnd(void* context) { ++*static_cast<int*>(context); }
  void Configure(ShimConfig config, void (*end_vmm)(void*) = CountEnd) {
    config.attach_timeout_ms = 5'000;
    config.sink.write = [](void* context, const char* sentence) {
      static_cast<KvmShimTest*>(context)->Said(sentence);
    };
    config.sink.context = this;
    config.ioctl = FakeKvm::Ioctl;
    config.end_vmm = end_vmm;
    config.end_vmm_context = &ended_;
    shim_->Configure(config);
  }
  void Said(const char* sentence) {
    const std::lock_guard lock(mutex_);
    said_.emplace_back(sentence);
  }
  std::optional<CallRegisters> Answer(const std::uint64_t* x) {
    if (hang_.load()) return std::nullopt;
    CallRegisters reply;
    for (unsigned i = 0; i < 4; ++i) reply.x[i] = x[i] + 1000;
    reply.count = 4;
    return reply;
  }

  int Vm() { return shim_->Ioctl(kvm_.device(), kvm::kCreateVm, nullptr); }
  int Vcpu(int vm, std::uintptr_t index) {
    return shim_->Ioctl(vm, kvm::kCreateVcpu, reinterpret_cast<void*>(index));
  }
  int Run(int vcpu) { return shim_->Ioctl(vcpu, kvm::kRun, nullptr); }
  int Init(int vcpu) { return shim_->Ioctl(vcpu, kvm::kArmVcpuInit, nullptr); }
  int SetSlot(int vm, std::uint32_t slot, std::uint64_t base, std::uint64_t size, void* memory,
              std::uint32_t flags = 0, std::uint32_t request = kvm::kSetUserMemoryRegion) {
    kvm::MemoryRegion region[5] = {};  // REGION2 is longer
    region[0] = {slot, flags, base, size, reinterpret_cast<std::uintptr_t>(memory)};
    return shim_->Ioctl(vm, request, region);
  }
  void Close(int fd) {
    shim_->OnClosing(fd);
    close(fd);
  }
  int Dup(int fd) {
    const int copy = dup(fd);
    shim_->OnDuplicated(fd, copy);
    return copy;
  }
  // A VM with one vCPU.
  void MakeVm() {
    vm_fd_ = Vm();
    vcpu_fd_ = Vcpu(vm_fd_, 0);
    vcpu_ = &kvm_.vcpu(vcpu_fd_);
  }
  // A VM whose slot 0 is `ram`, both known to its vteed from a first run on.
  template <typename Ram>
  FakeVteed* MakeVmWith(const Ram& ram) {
    Start();
    MakeVm();
    EXPECT_EQ(SetSlot(vm_fd_, 0, 0x40000000, ram.size(), ram.data()), 0);
    RunToEnd(vcpu_fd_);
    return broker_->vteed(0);
  }
  // As a VMM does that lets go of its VM: the shim ends what it has for it, threads too.
  void EndVm() {
    Close(vcpu_fd_);
    Close(vm_fd_);
  }
  // Runs the vCPU until its script is over.
  void RunToEnd(int vcpu) {
    EXPECT_EQ(Run(vcpu), -1);
    EXPECT_EQ(errno, ENOENT);
  }
  // Leaves the VM's first call pending, as a kick during the call does.
  void LeaveCallPending() {
    hang_.store(true);
    vcpu_->ThenCall(kSecure);
    std::thread kicker([this] {
      EXPECT_TRUE(broker_->vteed(0)->WaitForCalls(1));
      __atomic_store_n(&vcpu_->run->immediate_exit, 1, __ATOMIC_RELAXED);
    });
    EXPECT_EQ(Run(vcpu_fd_), -1);
    EXPECT_EQ(errno, EINTR);
    kicker.join();
    vcpu_->run->immediate_exit = 0;
  }

  std::mutex mutex_;
  std::vector<std::string> said_;
  std::atomic<bool> hang_{false};
  int ended_ = 0;
  FakeVteed::Options options_;
  FakeKvm kvm_;
  std::unique_ptr<FakeBroker> broker_;
  // A process has one shim, which is never destroyed; a test is a process in this respect.
  static KvmShim* NewShim() {
    static auto* shims = new std::vector<std::unique_ptr<KvmShim>>;
    return shims->emplace_back(std::make_unique<KvmShim>()).get();
  }
  KvmShim* shim_ = NewShim();
  int vm_fd_ = -1;
  int vcpu_fd_ = -1;
  FakeKvm::Vcpu* vcpu_ = nullptr;
};

}  // namespace vtee::vmm
