// SPDX-License-Identifier: BSD-3-Clause
// vteed in whole lives in which each of its system calls, and each of its allocations, fails once.
//
// However that turns out for the call in question: vteed does not die of a signal, every call is
// answered, an end has a sentence, and a vteed that goes on has lost neither a descriptor, nor a
// session, nor a page.
#include <gtest/gtest.h>
#include <linux/futex.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <vector>

#include "base/unique_fd.h"
#include "daemon/test_failing_malloc.h"
#include "daemon/test_life_run.h"

namespace vtee::daemon {
namespace {

using Victim = LifeRun::Victim;

// How the kernel may refuse each; of those not named here none fails (or nothing could be done
// about it: munmap, close, the loader's).
const std::map<long, std::vector<int>>& Errors() {
  static const std::map<long, std::vector<int>> errors = {
      {SYS_mmap, {ENOMEM}},
      {SYS_mprotect, {ENOMEM}},
      {SYS_madvise, {ENOMEM}},
      {SYS_clone, {EAGAIN}},
      {SYS_clone3, {EAGAIN, ENOMEM}},
      {SYS_openat, {EMFILE, ENOMEM}},
      {SYS_newfstatat, {ENOMEM}},
      {SYS_fstat, {ENOMEM}},
      {SYS_fcntl, {EINVAL, EMFILE}},
      {SYS_read, {EIO, EINTR}},
      {SYS_write, {ENOSPC, EIO}},
      {SYS_recvmsg, {EINTR, ENOMEM, EMFILE}},
      {SYS_sendmsg, {EINTR, ENOBUFS, EPIPE}},
#ifdef SYS_poll
      {SYS_poll, {EINTR, ENOMEM}},
#endif
      {SYS_ppoll, {EINTR, ENOMEM}},
      {SYS_futex, {EINTR, EAGAIN}},
      {SYS_getrandom, {EINTR, ENOSYS}},
      {SYS_signalfd4, {EMFILE, ENOMEM}},
      {SYS_rt_sigaction, {EINVAL}},
      {SYS_rt_sigprocmask, {EINVAL}},
      {SYS_sched_getaffinity, {EPERM}},
      {SYS_clock_nanosleep, {EINTR}},
      {SYS_sigaltstack, {ENOMEM}},
  };
  return errors;
}

// A wake-up has no reason to fail.
bool MayFail(const SystemCall& call) {
  const std::uint64_t operation = call.second & FUTEX_CMD_MASK;
  return call.number != SYS_futex || operation == FUTEX_WAIT || operation == FUTEX_WAIT_BITSET;
}

// What the fake TEE says of itself at each restart of the guest: "key=N" of its last words.
std::vector<unsigned> Accounts(const std::string& said, const std::string& key) {
  std::vector<unsigned> found;
  for (std::size_t at = said.find("fake.account"); at != std::string::npos;
       at = said.find("fake.account", at + 1)) {
    const std::size_t value = said.find(" " + key + "=", at);
    if (value == std::string::npos || value > said.find('\n', at)) continue;
    found.push_back(
        static_cast<unsigned>(std::strtoul(said.c_str() + value + key.size() + 2, nullptr, 10)));
  }
  return found;
}

class NthFailureTest : public ::testing::Test {
 protected:
  void SetUp() override {
    LifeRun whole;
    whole.victim = Victim::kVteed;
    whole.Run();
    ASSERT_TRUE(whole.in_time && whole.vmm_status == 0) << whole.Describe();
    steps_ = whole.steps;
    descriptors_ = whole.vmm->descriptors;
    guest_mappings_ = whole.vmm->guest_mappings;
    ASSERT_EQ(Accounts(whole.vteed_said, "sessions"), (std::vector<unsigned>{0, 0}));
    ASSERT_EQ(Accounts(whole.vteed_said, "memories"), (std::vector<unsigned>{0, 0}));
  }

  void Judge(const LifeRun& run) {
    ASSERT_TRUE(run.in_time) << run.Describe();
    EXPECT_TRUE(WIFEXITED(run.vmm_status) && WEXITSTATUS(run.vmm_status) == 0) << run.Describe();
    ASSERT_TRUE(WIFEXITED(run.vteed_status)) << run.Describe();
    const bool lost = run.vmm->attached == 0 || run.vmm->lost != 0;
    EXPECT_EQ(run.vmm->sentences.load(), lost ? 1u : 0u) << run.Describe();
    if (WEXITSTATUS(run.vteed_status) != 0) {
      EXPECT_NE(run.vteed_said, "") << "an end without a word\n" << run.Describe();
      ++ended_;
    }
    gone_after_attach_ += run.vmm->lost;
    if (lost) return;
    EXPECT_LE(run.vmm->descriptors, descriptors_) << run.Describe();
    EXPECT_LE(run.vmm->guest_mappings, guest_mappings_) << run.Describe();
    EXPECT_LE(run.vmm->threads, 9u) << run.Describe();
    for (const char* key : {"sessions", "memories", "calls"}) {
      for (const unsigned left : Accounts(run.vteed_said, key)) {
        EXPECT_EQ(left, 0u) << key << " left in the TEE\n" << run.Describe();
      }
    }
    ++went_on_;
  }

  std::vector<long> steps_;
  std::uint32_t descriptors_ = 0;
  std::uint32_t guest_mappings_ = 0;
  std::size_t went_on_ = 0;
  std::size_t ended_ = 0;
  std::size_t gone_after_attach_ = 0;
};

TEST_F(NthFailureTest, EachSystemCallOfVteed) {
  if (VTEED_SLOW_BUILD) GTEST_SKIP() << "a sanitizer's own system calls may not fail";
  std::size_t failed = 0;
  for (std::size_t variant = 0; variant < 3; ++variant) {
    for (std::uint64_t at = 1; at <= steps_.size() && !HasFailure(); ++at) {
      // In most lives it is the same one.
      const auto usual = Errors().find(steps_[at - 1]);
      if (usual == Errors().end() || variant >= usual->second.size()) continue;
      LifeRun run;
      run.victim = Victim::kVteed;
      run.judge = LifeJudge::kAnswered;
      run.plan.action = StepPlan::Action::kFail;
      run.plan.at = at;
      bool tried = false;
      run.plan.error = [&](const SystemCall& call) {
        const auto errors = Errors().find(call.number);
        tried = errors != Errors().end() && variant < errors->second.size() && MayFail(call);
        return tried ? errors->second[variant] : 0;
      };
      run.Run();
      failed += tried ? 1 : 0;
      Judge(run);
    }
  }
  std::printf(
      "%zu steps, %zu failures: vteed went on after %zu, and ended with a sentence %zu "
      "times\n",
      steps_.size(), failed, went_on_, ended_);
  EXPECT_GT(failed, 120u);
}

class NthAllocationTest : public NthFailureTest {
 protected:
  void SetUp() override {
    if (VTEED_SLOW_BUILD) GTEST_SKIP() << "sanitizers have an allocator of their own";
    NthFailureTest::SetUp();
  }
  // A life in which `many` allocations from `first` on fail; how many there were in all.
  unsigned Live(LifeRun& run, unsigned first, unsigned many) {
    const UniqueFd file(memfd_create("failing-malloc", MFD_CLOEXEC));
    if (ftruncate(file.get(), sizeof(failing_malloc)) != 0) std::abort();
    failing_malloc state{0, first, many};
    if (pwrite(file.get(), &state, sizeof state, 0) != ssize_t{sizeof state}) std::abort();
    run.vteed_kept = {{file.get(), 9}};
    run.vteed_environment = {"LD_PRELOAD=" FAILING_MALLOC_PATH, "FAILING_MALLOC=9"};
    run.Run();
    if (pread(file.get(), &state, sizeof state, 0) != ssize_t{sizeof state}) std::abort();
    return state.count;
  }
  void EachOfThem(unsigned many) {
    LifeRun whole;
    const unsigned allocations = Live(whole, 0, 0);
    ASSERT_TRUE(whole.in_time && whole.vmm_status == 0) << whole.Describe();
    // One more descriptor: that of the failing allocations themselves.
    ++descriptors_;
    for (unsigned first = 1; first <= allocations; ++first) {
      LifeRun run;
      run.judge = LifeJudge::kAnswered;
      Live(run, first, many);
      SCOPED_TRACE("allocation " + std::to_string(first));
      Judge(run);
    }
    std::printf("%u allocations: vteed went on after %zu, and ended with a sentence %zu times\n",
                allocations, went_on_, ended_);
    EXPECT_GT(allocations, 300u);
    EXPECT_GT(went_on_, 100u);
    EXPECT_EQ(gone_after_attach_, 0u) << "want of memory has ended a VM's TEE";
  }
};

TEST_F(NthAllocationTest, FailsOnce) { EachOfThem(1); }
TEST_F(NthAllocationTest, FailsAndThoseAfterIt) { EachOfThem(7); }

}  // namespace
}  // namespace vtee::daemon
