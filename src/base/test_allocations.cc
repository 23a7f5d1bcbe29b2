// SPDX-License-Identifier: BSD-3-Clause
#include "base/test_allocations.h"

#include <cstdlib>
#include <new>
#include <utility>

namespace vtee {
namespace {

thread_local std::uint64_t left = 0;  // until the one that fails; 0: none does
thread_local bool failed = false;

}  // namespace

FailNthAllocation::FailNthAllocation(std::uint64_t nth) {
  left = nth;
  failed = false;
}
FailNthAllocation::~FailNthAllocation() { left = 0; }
bool FailNthAllocation::happened() const { return failed; }

AllocationsSucceed::AllocationsSucceed() : left_(std::exchange(left, 0)) {}
AllocationsSucceed::~AllocationsSucceed() { left = left_; }

}  // namespace vtee

void* operator new(std::size_t size) {
  if (vtee::left != 0 && --vtee::left == 0) {
    vtee::failed = true;
    throw std::bad_alloc();
  }
  void* const block = std::malloc(size != 0 ? size : 1);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }
