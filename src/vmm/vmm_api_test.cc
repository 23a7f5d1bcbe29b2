// SPDX-License-Identifier: BSD-3-Clause
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <string>

#include "base/socket.h"
#include "vmm/fake_vteed.h"
#include "vmm/test_memory_client.h"
#include "vtee/vmm.h"

namespace vtee::vmm {
namespace {

class VmmApiTest : public testing::Test {
 protected:
  void TearDown() override { vtee_vm_detach(vm_); }
  vtee_attach Options(int control_fd) {
    vtee_attach attach{};
    attach.size = sizeof attach;
    attach.vcpus = 2;
    attach.control_fd = control_fd;
    attach.message = [](void* context, const char* sentence) {
      *static_cast<std::string*>(context) += sentence;
    };
    attach.message_context = &said_;
    attach.error = error_;
    attach.error_size = sizeof error_;
    return attach;
  }
  int Attach(FakeVteed::Options options) {
    auto pair = MakeSocketPair();
    vteed_ = std::make_unique<FakeVteed>(std::move(pair->second), std::move(options));
    control_ = pair->first.Release();
    const vtee_attach attach = Options(control_);
    return vtee_vm_attach(&attach, &vm_);
  }
  static vtee_call Call(std::uint64_t x0) {
    vtee_call call{};
    call.size = sizeof call;
    call.conduit = VTEE_CONDUIT_SMC;
    call.x[0] = x0;
    return call;
  }
  static FakeVteed::Options Echo() {
    FakeVteed::Options options;
    options.answer = [](std::size_t vcpu, const std::uint64_t* x) {
      CallRegisters reply;
      reply.x[0] = x[0] + vcpu;
      reply.count = 1;
      return reply;
    };
    return options;
  }

  char error_[200] = {};
  std::string said_;
  int control_ = -1;
  std::unique_ptr<FakeVteed> vteed_;
  vtee_vm* vm_ = nullptr;
};

TEST_F(VmmApiTest, WholeLife) {
  FakeVteed::Options options = Echo();
  options.interrupt_gsi = 11;
  ASSERT_EQ(Attach(options), 0) << error_;
  EXPECT_EQ(fcntl(control_, F_GETFD), -1) << "taken over";
  vtee_filter_range ranges[1];
  EXPECT_EQ(vtee_vm_filter_ranges(vm_, ranges, 1), 2u);
  EXPECT_EQ(ranges[0].base, 0x32000000u);
  EXPECT_EQ(ranges[0].registers, 8u);
  EXPECT_EQ(vtee_vm_interrupt(vm_), 11);
  const UniqueFd event(eventfd(0, EFD_CLOEXEC));
  EXPECT_EQ(vtee_vm_set_interrupt(vm_, event.get()), 0);
  const UniqueFd ram(memfd_create("ram", MFD_CLOEXEC));
  const vtee_slot slot{sizeof(vtee_slot), 0, 0x40000000, 0x200000, 0, ram.get(), 0, nullptr};
  EXPECT_EQ(vtee_vm_set_slot(vm_, &slot), 0);
  vtee_call call = Call(40);
  EXPECT_EQ(vtee_vm_call(vm_, 1, &call), 0);
  EXPECT_EQ(call.reply_count, 1u);
  EXPECT_EQ(call.x[0], 41u);
  EXPECT_EQ(vtee_vm_event(vm_, VTEE_EVENT_PAUSED), 0);
  EXPECT_EQ(vtee_vm_remove_slot(vm_, 0), 0);
  EXPECT_EQ(vtee_vm_alive(vm_), 1);
  EXPECT_STREQ(vtee_vm_error(vm_), "");
  vtee_vm_detach(vm_);
  vm_ = nullptr;
  EXPECT_TRUE(vteed_->WaitForClose());
  EXPECT_EQ(vteed_->events().size(), 4u);
}

TEST_F(VmmApiTest, WindowIsAskedFor) {
  FakeVteed::Options options = Echo();
  ASSERT_EQ(Attach(options), 0);
  vtee_window window{sizeof(vtee_window), 1, 1};
  EXPECT_EQ(vtee_vm_window(vm_, &window), 0);
  EXPECT_EQ(window.bytes, 0u);
  vtee_vm_detach(vm_);
  options.window_base = 0xe000000;
  options.window_size = 0x400000;
  ASSERT_EQ(Attach(options), 0);
  EXPECT_EQ(vtee_vm_window(vm_, &window), 1);
  EXPECT_EQ(window.guest_phys, 0xe000000u);
  EXPECT_EQ(window.bytes, 0x400000u);
  EXPECT_EQ(vtee_vm_window(vm_, nullptr), -EINVAL);
  window.size = 4;
  EXPECT_EQ(vtee_vm_window(vm_, &window), -EINVAL);
}

TEST_F(VmmApiTest, StopResumeAbandon) {
  FakeVteed::Options options;
  options.park_after_us = 30'000;
  ASSERT_EQ(Attach(options), 0);  // never answers by itself
  vtee_call call = Call(1);
  call.should_stop = [](void*, int) { return 1; };
  EXPECT_EQ(vtee_vm_resume(vm_, 0, &call), -ENOENT);
  EXPECT_EQ(vtee_vm_call(vm_, 0, &call), -EINTR);
  EXPECT_EQ(vtee_vm_pending(vm_, 0), 1);
  EXPECT_EQ(vtee_vm_pending(vm_, 1), 0);
  EXPECT_EQ(vtee_vm_call(vm_, 0, &call), -EBUSY);
  call.should_stop = nullptr;
  EXPECT_EQ(vtee_vm_resume(vm_, 0, &call), 0);
  EXPECT_EQ(call.x[0], FakeVteed::kParked);
  call = Call(2);
  call.should_stop = [](void*, int) { return 1; };
  EXPECT_EQ(vtee_vm_call(vm_, 0, &call), -EINTR);
  vtee_vm_abandon(vm_, 0);
  EXPECT_EQ(vtee_vm_pending(vm_, 0), 0);
}

TEST_F(VmmApiTest, LostVteed) {
  ASSERT_EQ(Attach(Echo()), 0);
  vteed_->Die();
  EXPECT_EQ(vtee_vm_alive(vm_), 0);
  EXPECT_THAT(vtee_vm_error(vm_), testing::HasSubstr("lost its TEE"));
  EXPECT_EQ(said_, vtee_vm_error(vm_)) << "once";
  vtee_call call = Call(1);
  EXPECT_EQ(vtee_vm_call(vm_, 0, &call), 0);
  EXPECT_EQ(call.x[0], ~0ull);
  EXPECT_EQ(vtee_vm_event(vm_, VTEE_EVENT_RESET), -EPIPE);
}

TEST_F(VmmApiTest, BadArguments) {
  EXPECT_EQ(vtee_vm_attach(nullptr, &vm_), -EINVAL);
  vtee_attach attach = Options(-1);
  EXPECT_EQ(vtee_vm_attach(&attach, nullptr), -EINVAL);
  EXPECT_EQ(vtee_vm_attach(&attach, &vm_), -EINVAL);
  EXPECT_THAT(error_, testing::HasSubstr("SOCK_SEQPACKET"));
  attach.vcpus = 0;
  EXPECT_EQ(vtee_vm_attach(&attach, &vm_), -EINVAL);
  attach = Options(-1);
  attach.size = 8;
  EXPECT_EQ(vtee_vm_attach(&attach, &vm_), -EINVAL);
  attach = Options(-1);
  attach.socket_path = "/nonexistent/socket";
  EXPECT_EQ(vtee_vm_attach(&attach, &vm_), -ECONNREFUSED);
  EXPECT_THAT(error_, testing::HasSubstr("/nonexistent/socket"));
  ASSERT_EQ(Attach(Echo()), 0);
  vtee_call call = Call(1);
  EXPECT_EQ(vtee_vm_call(vm_, 2, &call), -EINVAL);
  EXPECT_EQ(vtee_vm_call(vm_, 0, nullptr), -EINVAL);
  call.conduit = 7;
  EXPECT_EQ(vtee_vm_call(vm_, 0, &call), -EINVAL);
  call.size = 4;
  EXPECT_EQ(vtee_vm_resume(vm_, 0, &call), -EINVAL);
  vtee_slot slot{sizeof(vtee_slot), 0, 0x40000000, 100, 0, -1, 0, nullptr};
  EXPECT_EQ(vtee_vm_set_slot(vm_, &slot), -EINVAL);
  EXPECT_EQ(vtee_vm_set_slot(vm_, nullptr), -EINVAL);
  slot.bytes = 4096;
  slot.flags = 0x80;
  EXPECT_EQ(vtee_vm_set_slot(vm_, &slot), -EINVAL);
  EXPECT_EQ(vtee_vm_set_interrupt(vm_, -1), -EINVAL);
  EXPECT_EQ(vtee_vm_event(vm_, static_cast<vtee_event>(0)), -EINVAL);
}

TEST_F(VmmApiTest, FailedAttachLeavesTheDescriptorAlone) {
  FakeVteed::Options options;
  options.status = 1;
  options.text = "no";
  EXPECT_EQ(Attach(options), -ECONNREFUSED);
  EXPECT_STREQ(error_, "no");
  EXPECT_NE(fcntl(control_, F_GETFD), -1);
  close(control_);
}

TEST_F(VmmApiTest, MemoryAtAHostAddressIsServed) {
  ASSERT_EQ(Attach(Echo()), 0);
  EXPECT_EQ(vtee_vm_memory_fd(vm_), -1) << "nothing needs it";
  EXPECT_EQ(vtee_vm_serve_memory(vm_), -EPIPE);
  alignas(4096) static char ram[8192] = "bytes of the guest";
  vtee_slot slot{sizeof(vtee_slot), 5, 0x40000000, sizeof ram, 0, -1, 0, ram};
  ASSERT_EQ(vtee_vm_set_slot(vm_, &slot), 0);
  const int fd = vtee_vm_memory_fd(vm_);
  ASSERT_GE(fd, 0);
  EXPECT_EQ(vtee_vm_serve_memory(vm_), 0) << "does not block";
  const std::uint64_t region = vteed_->EventsOf(ControlType::kSetSlot)[0].message.slot.region;
  const MemoryPiece piece{region, 6, 2};
  const auto request = MemoryRequest(MemoryOp::kRead, std::span(&piece, 1));
  const auto ask = [&] {
    ASSERT_GT(send(vteed_->memory_fd(), request.data(), request.size(), MSG_NOSIGNAL), 0);
    pollfd readable{fd, POLLIN, 0};
    ASSERT_EQ(poll(&readable, 1, 5'000), 1);
    ASSERT_EQ(vtee_vm_serve_memory(vm_), 1);
  };
  ask();
  auto answer = ReceiveAnswer(vteed_->memory_fd());
  ASSERT_TRUE(answer);
  ASSERT_EQ(answer->status(), MemoryStatus::kDone);
  EXPECT_EQ(std::memcmp(answer->bytes.data(), "of", 2), 0);

  // A slot of the same number takes the old one's place, and it goes by its own.
  ASSERT_EQ(vtee_vm_set_slot(vm_, &slot), 0);
  ask();
  EXPECT_EQ(ReceiveAnswer(vteed_->memory_fd())->status(), MemoryStatus::kNoRegion);
  EXPECT_EQ(vtee_vm_memory_fd(vm_), fd);
  EXPECT_EQ(vteed_->EventsOf(ControlType::kMemoryChannel).size(), 1u);
  vteed_->Die();
  EXPECT_EQ(vtee_vm_remove_slot(vm_, 5), -EPIPE);
}

TEST_F(VmmApiTest, HostAddressesNeedAVteedThatKnowsThem) {
  FakeVteed::Options options = Echo();
  options.minor = 0;
  ASSERT_EQ(Attach(options), 0);
  static char ram[4096];
  const vtee_slot slot{sizeof(vtee_slot), 0, 0x40000000, sizeof ram, 0, -1, 0, ram};
  EXPECT_EQ(vtee_vm_set_slot(vm_, &slot), -EOPNOTSUPP);
  // A program built against the header of before host addresses.
  vtee_slot old = slot;
  old.size = 40;
  EXPECT_EQ(vtee_vm_set_slot(vm_, &old), 0);
  EXPECT_EQ(vteed_->EventsOf(ControlType::kSetSlot)[0].message.slot.region, 0u);
}

TEST_F(VmmApiTest, RefusedSlot) {
  FakeVteed::Options options = Echo();
  options.ack_status = 1;
  ASSERT_EQ(Attach(options), 0);
  const vtee_slot slot{sizeof(vtee_slot), 0, 0x40000000, 4096, 0, -1, 0, nullptr};
  EXPECT_EQ(vtee_vm_set_slot(vm_, &slot), -EINVAL);
}

}  // namespace
}  // namespace vtee::vmm
