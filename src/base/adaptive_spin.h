// SPDX-License-Identifier: BSD-3-Clause
// Spinning before sleeping: for how long, learnt from how long waits have been, and how.
//
// Waking another process costs more than a KVM exit, so a spin that succeeds is worth its time; one
// that does not burns a CPU. The scheme is that of KVM's halt polling (Linux
// Documentation/virt/kvm/halt-polling.rst): waits that end within reach lengthen the spin, longer
// ones shorten it until hardly any is left. While spinning, the CPU is offered to others now and
// then: the thread that is waited for may be one of them.
// Threading: AdaptiveSpin belongs to one waiter; the rest is for any thread.
// No allocation, no lock. Not supported: real-time threads that share a CPU with their peer
// (sched_yield() does not reach lower priorities).
#pragma once

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <cstdint>

#include "base/clock.h"

namespace vtee {

class AdaptiveSpin {
 public:
  // Longer waits than `max_ns` are slept through; 0: never spins.
  explicit AdaptiveSpin(std::uint64_t max_ns)
      : max_ns_(max_ns), min_ns_(std::min(kMinNs, max_ns)), now_ns_(std::min(kStartNs, max_ns)) {}

  std::uint64_t budget_ns() const { return now_ns_; }

  // Tells how long a wait took in all, spinning and sleeping.
  void Waited(std::uint64_t waited_ns) {
    if (waited_ns <= max_ns_) {
      // Up at once, down slowly: quick and slow calls alternate in every TEE protocol.
      now_ns_ = std::clamp(std::max(waited_ns * 2, now_ns_ / 8 * 7), min_ns_, max_ns_);
    } else {
      now_ns_ = std::max(min_ns_, now_ns_ / 2);
    }
  }

 private:
  static constexpr std::uint64_t kMinNs = 5'000;
  static constexpr std::uint64_t kStartNs = 50'000;
  std::uint64_t max_ns_;
  std::uint64_t min_ns_;
  std::uint64_t now_ns_;
};

// How many threads may spin at once. Spinners beyond the processors there are keep from running
// just those that they wait for: with eight vCPUs in the TEE at once on two processors, all of
// them spinning got a fraction of the work done. Who gets no turn sleeps at once.
class SpinLimit {
 public:
  explicit SpinLimit(std::uint32_t limit) : limit_(limit) {}
  SpinLimit(const SpinLimit&) = delete;
  SpinLimit& operator=(const SpinLimit&) = delete;

  void set_limit(std::uint32_t limit) { limit_.store(limit, std::memory_order_relaxed); }

  // The right to spin, if there is one; given back on destruction.
  class Turn {
   public:
    explicit Turn(SpinLimit& of) : of_(of) {
      const std::uint32_t others = of.spinning_.fetch_add(1, std::memory_order_relaxed);
      granted_ = others < of.limit_.load(std::memory_order_relaxed);
    }
    ~Turn() { of_.spinning_.fetch_sub(1, std::memory_order_relaxed); }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    bool granted() const { return granted_; }

   private:
    SpinLimit& of_;
    bool granted_ = false;
  };

 private:
  std::atomic<std::uint32_t> limit_;
  std::atomic<std::uint32_t> spinning_{0};  // those without a right, too, for the moment they ask
};

// Calls done() again and again until it says so or MonotonicNanos() has reached `deadline_ns`; the
// last answer of done(). May take kLookNs longer.
template <typename Done>
bool SpinUntil(std::uint64_t deadline_ns, Done&& done) {
  // The clock is read rarely: under emulation a read takes a lock that the peer needs too.
  constexpr std::uint64_t kLookNs = 20'000;
  constexpr std::uint64_t kYieldEveryNs = 50'000;
  int looks = 16;
  std::uint64_t before = MonotonicNanos();
  std::uint64_t yield_at = before + kYieldEveryNs;
  for (;;) {
    for (int i = 0; i < looks; ++i) {
      if (done()) return true;
      CpuRelax();
    }
    const std::uint64_t now = MonotonicNanos();
    if (now >= deadline_ns) return done();
    if (now - before < kLookNs / 2) looks *= 2;
    if (now >= yield_at) {
      sched_yield();
      yield_at = now + kYieldEveryNs;
    }
    before = now;
  }
}

}  // namespace vtee
