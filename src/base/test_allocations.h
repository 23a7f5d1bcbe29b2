// SPDX-License-Identifier: BSD-3-Clause
// FailNthAllocation: lets one operator new of this thread throw std::bad_alloc.
//
// Linking test_allocations.cc replaces operator new of the whole test program. Threading: each
// thread has its own count.
#pragma once

#include <cstdint>

namespace vtee {

class FailNthAllocation {
 public:
  // The nth from now on fails (from 1), as long as this lives.
  explicit FailNthAllocation(std::uint64_t nth);
  ~FailNthAllocation();
  FailNthAllocation(const FailNthAllocation&) = delete;
  FailNthAllocation& operator=(const FailNthAllocation&) = delete;

  bool happened() const;
};

// As long as this lives, allocations are neither counted nor do they fail: for a test's own.
class AllocationsSucceed {
 public:
  AllocationsSucceed();
  ~AllocationsSucceed();
  AllocationsSucceed(const AllocationsSucceed&) = delete;
  AllocationsSucceed& operator=(const AllocationsSucceed&) = delete;

 private:
  const std::uint64_t left_;
};

}  // namespace vtee
