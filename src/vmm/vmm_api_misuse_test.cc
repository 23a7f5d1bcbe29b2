// SPDX-License-Identifier: BSD-3-Clause
// include/vtee/vmm.h in the hands of a VMM that makes mistakes, or has bad luck.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "base/socket.h"
#include "vmm/fake_vteed.h"
#include "vtee/vmm.h"

namespace vtee::vmm {
namespace {

class VmmApiMisuseTest : public testing::Test {
 protected:
  void TearDown() override { vtee_vm_detach(vm_); }
  static void NoteMessage(void* context, const char* /*sentence*/) {
    ++static_cast<VmmApiMisuseTest*>(context)->messages_;
  }
  // Comes while a request is under way, so while the link is locked.
  static void CallBack(void* context, const char* sentence) {
    auto* test = static_cast<VmmApiMisuseTest*>(context);
    ++test->messages_;
    EXPECT_STREQ(vtee_vm_error(test->vm_), sentence);
    EXPECT_EQ(vtee_vm_alive(test->vm_), 0);
    EXPECT_EQ(vtee_vm_remove_slot(test->vm_, 0), -EPIPE);
    EXPECT_EQ(test->SetSlot(-1), -EPIPE);
    EXPECT_EQ(vtee_vm_set_interrupt(test->vm_, STDIN_FILENO), -EPIPE);
    EXPECT_EQ(vtee_vm_event(test->vm_, VTEE_EVENT_RESET), -EPIPE);
  }
  void Attach(void (*message)(void*, const char*) = NoteMessage) {
    auto pair = MakeSocketPair();
    vteed_ = std::make_unique<FakeVteed>(std::move(pair->second), FakeVteed::Options{});
    vtee_attach attach{};
    attach.size = sizeof attach;
    attach.vcpus = 2;
    attach.control_fd = pair->first.Release();
    attach.message = message;
    attach.message_context = this;
    ASSERT_EQ(vtee_vm_attach(&attach, &vm_), 0);
  }
  int SetSlot(int fd) {
    vtee_slot slot{};
    slot.size = sizeof slot;
    slot.guest_phys = 0x40000000;
    slot.bytes = 4096;
    slot.fd = fd;
    return vtee_vm_set_slot(vm_, &slot);
  }

  std::unique_ptr<FakeVteed> vteed_;
  vtee_vm* vm_ = nullptr;
  std::atomic<int> messages_{0};
};

TEST_F(VmmApiMisuseTest, CallRegistersFollowTheRanges) {
  Attach();
  EXPECT_EQ(vtee_vm_call_registers(vm_, 0x32000000), 8u);
  EXPECT_EQ(vtee_vm_call_registers(vm_, 0x3200ffff), 8u);
  EXPECT_EQ(vtee_vm_call_registers(vm_, 0x32010000), 0u);
  EXPECT_EQ(vtee_vm_call_registers(vm_, 0xb2000001), 4u);
  EXPECT_EQ(vtee_vm_call_registers(vm_, 0), 0u);
}

TEST_F(VmmApiMisuseTest, AClosedDescriptorIsRefusedAndCostsNothing) {
  Attach();
  const int closed = eventfd(0, EFD_CLOEXEC);
  close(closed);
  EXPECT_EQ(vtee_vm_set_interrupt(vm_, closed), -EINVAL);
  EXPECT_EQ(SetSlot(closed), -EINVAL);
  EXPECT_EQ(vtee_vm_alive(vm_), 1);
  const UniqueFd ram(memfd_create("ram", MFD_CLOEXEC));
  EXPECT_EQ(SetSlot(ram.get()), 0);
}

TEST_F(VmmApiMisuseTest, TheMessageMayCallBack) {
  Attach(CallBack);
  vteed_->Die();
  EXPECT_EQ(SetSlot(-1), -EPIPE);
  EXPECT_EQ(messages_, 1);
}

TEST_F(VmmApiMisuseTest, EveryThreadFindsALostVteedLost) {
  Attach();
  vteed_->Die();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([this] {
      EXPECT_EQ(vtee_vm_alive(vm_), 0);
      EXPECT_THAT(vtee_vm_error(vm_), testing::HasSubstr("lost its TEE"));
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(messages_, 1);
}

TEST_F(VmmApiMisuseTest, HangupIsSeenByPoll) {
  Attach();
  pollfd hangup{vtee_vm_hangup_fd(vm_), POLLRDHUP, 0};
  EXPECT_EQ(SetSlot(-1), 0);
  EXPECT_EQ(poll(&hangup, 1, 0), 0);
  vteed_->Die();
  EXPECT_EQ(poll(&hangup, 1, 10'000), 1);
  EXPECT_EQ(vtee_vm_alive(vm_), 0);
}

// A vteed that serves another VM, or hangs: connect() itself would wait for ever.
TEST_F(VmmApiMisuseTest, AttachToASocketThatAcceptsNobodyEnds) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "/tmp/vmm_api_misuse_%d", getpid());
  const auto* name = reinterpret_cast<const sockaddr*>(&address);
  const UniqueFd listener(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  ASSERT_EQ(bind(listener.get(), name, sizeof address), 0);
  ASSERT_EQ(listen(listener.get(), 0), 0);
  const UniqueFd first(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  ASSERT_EQ(connect(first.get(), name, sizeof address), 0) << "fills the queue";
  char error[256] = "";
  vtee_attach attach{};
  attach.size = sizeof attach;
  attach.vcpus = 1;
  attach.socket_path = address.sun_path;
  attach.timeout_ms = 50;
  attach.error = error;
  attach.error_size = sizeof error;
  EXPECT_EQ(vtee_vm_attach(&attach, &vm_), -ECONNREFUSED);
  EXPECT_THAT(error, testing::HasSubstr("accepts no connection"));
  unlink(address.sun_path);
}

TEST_F(VmmApiMisuseTest, AttachSaysThatDescriptorsHaveRunOut) {
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  const rlimit none{0, before.rlim_max};
  char error[256] = "";
  vtee_attach attach{};
  attach.size = sizeof attach;
  attach.vcpus = 1;
  attach.socket_path = "/nonexistent/socket";
  attach.error = error;
  attach.error_size = sizeof error;
  // Not the fixture's: UBSan needs a descriptor to look at an object.
  vtee_vm* vm = nullptr;
  setrlimit(RLIMIT_NOFILE, &none);
  const int attached = vtee_vm_attach(&attach, &vm);
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(attached, -ECONNREFUSED);
  EXPECT_THAT(error, testing::HasSubstr(strerror(EMFILE)));
}

}  // namespace
}  // namespace vtee::vmm
