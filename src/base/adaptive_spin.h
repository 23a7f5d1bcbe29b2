// SPDX-License-Identifier: BSD-3-Clause
// AdaptiveSpin: how long to spin before going to sleep, learnt from how long waits have been.
//
// The scheme of KVM's halt polling (Linux Documentation/virt/kvm/halt-polling.rst): waits that
// ended within reach of the longest allowed spin lengthen it, longer ones end it. Waking another
// process costs more than a KVM exit, so a spin that succeeds is worth its time; one that does
// not burns a CPU. Threading: one waiter's own.
#pragma once

#include <cstdint>

namespace vtee {

class AdaptiveSpin {
 public:
  explicit AdaptiveSpin(std::uint64_t max_ns) : max_ns_(max_ns), now_ns_(kStartNs) {}

  std::uint64_t budget_ns() const { return now_ns_; }

  // Tells how long the wait took in all, spinning and sleeping.
  void Waited(std::uint64_t waited_ns) {
    if (waited_ns <= now_ns_) return;
    if (waited_ns > max_ns_) {
      now_ns_ = 0;
    } else {
      now_ns_ = now_ns_ < kStartNs ? kStartNs : now_ns_ * 2;
      if (now_ns_ > max_ns_) now_ns_ = max_ns_;
    }
  }

 private:
  static constexpr std::uint64_t kStartNs = 10'000;
  std::uint64_t max_ns_;
  std::uint64_t now_ns_;
};

}  // namespace vtee
