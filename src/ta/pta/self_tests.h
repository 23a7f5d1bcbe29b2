// SPDX-License-Identifier: BSD-3-Clause
// Tests that a running TEE makes of itself when the guest asks for them (invoke_tests_pta.h).
//
// Each one looks at vtee's counterpart of what OP-TEE's core tests (optee_os core/pta/tests/misc.c,
// fs_htree.c): its arithmetic, memory, access checks and hash tree. They use memory of their own
// only, never a TA's or the VM's state, and take about a millisecond.
// Threading: any thread, concurrently.
#pragma once

#include <span>
#include <string_view>
#include <vector>

namespace vtee::ta {

struct SelfTest {
  std::string_view name;
  bool (*passes)();
};

// Of the core: checked arithmetic, memory for secrets, the access check, known answers of OpenSSL.
std::span<const SelfTest> CoreSelfTests();
// Of the storage: what seals its blocks, and what a store does at its limits.
std::span<const SelfTest> StorageSelfTests();

// The names of those that fail; a test that throws has failed.
std::vector<std::string_view> FailedTests(std::span<const SelfTest> tests);

}  // namespace vtee::ta
