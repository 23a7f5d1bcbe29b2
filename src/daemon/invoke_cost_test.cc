// SPDX-License-Identifier: BSD-3-Clause
// What an invoke costs vteed beyond the backend's ioctl: no allocation, no system call.
#include <gtest/gtest.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

#include "daemon/invoke_path.h"

namespace {

std::atomic<std::uint64_t> allocations{0};

void* Allocate(std::size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  void* memory = std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

// Counts what the whole program allocates with new; malloc itself is not called by vteed.
void* operator new(std::size_t size) { return Allocate(size); }
void* operator new[](std::size_t size) { return Allocate(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }

namespace vtee::daemon {
namespace {

constexpr int kCalls = 1000;

TEST(InvokeCostTest, TheWholePathIsPassed) {
  InvokePath path;
  const std::uint64_t before = path.device().invocations;
  const std::uint64_t registered = path.device().registrations;
  for (int i = 0; i < kCalls; ++i) {
    ASSERT_EQ(path.Invoke(), optee::ret::kOk);
    ASSERT_EQ(path.code(), tee::code::kSuccess);
  }
  EXPECT_EQ(path.device().invocations - before, static_cast<std::uint64_t>(kCalls));
  EXPECT_EQ(path.device().registrations, registered) << "buffers stay registered";
}

TEST(InvokeCostTest, AllocatesNothing) {
  InvokePath path;
  const std::uint64_t before = allocations.load();
  EXPECT_GT(before, 0u) << "the counter counts";
  for (int i = 0; i < kCalls; ++i) path.Invoke();
  EXPECT_EQ(allocations.load() - before, 0u);
}

// Leaves this thread nothing but exit_group; anything else kills the process with SIGSYS.
bool ForbidSystemCalls() {
  sock_filter program[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
  };
  const sock_fprog filter{sizeof program / sizeof program[0], program};
  return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
         prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) == 0;
}

// Runs `work` in a child that may make no system call; its wait status, or -1: no such filter here.
template <typename Work>
int StatusWithoutSystemCalls(Work work) {
  constexpr int kNoFilter = 77;
  const pid_t child = fork();
  if (child == 0) {
    if (!ForbidSystemCalls()) _exit(kNoFilter);
    work();
    syscall(SYS_exit_group, 0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == kNoFilter ? -1 : status;
}

TEST(InvokeCostTest, MakesNoSystemCallButTheBackends) {
  InvokePath path;
  const int control = StatusWithoutSystemCalls([] { syscall(SYS_getpid); });
  if (control == -1) GTEST_SKIP() << "no seccomp filters here (qemu-user)";
  ASSERT_TRUE(WIFSIGNALED(control) && WTERMSIG(control) == SIGSYS) << "the filter filters";
  const int status = StatusWithoutSystemCalls([&] {
    for (int i = 0; i < kCalls; ++i) path.Invoke();
  });
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "wait status " << status;
}

}  // namespace
}  // namespace vtee::daemon
