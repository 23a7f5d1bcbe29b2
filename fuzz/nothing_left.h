// SPDX-License-Identifier: BSD-3-Clause
// What must hold after a restart of a fuzzed guest: it has nothing in the TEE any more.
//
// Threading: the fuzzer's own; no call may run.
#pragma once

#include "backend/fake/fake_backend.h"
#include "dialect/optee/optee_dialect.h"
#include "fuzz_input.h"

namespace vtee::optee {

// Before the dialect goes: it knows no session and no buffer.
inline void RequireNothingKept(OpteeDialect& dialect) {
  Require(dialect.session_count() == 0 && dialect.shm_count() == 0);
}

// After it has gone: the TEE has no session, no buffer and no call of it.
inline void RequireNothingLeft(const backend::FakeBackend& tee) {
  const backend::FakeCounters counters = tee.counters();
  Require(counters.open_sessions == 0 && counters.registered_memories == 0);
  Require(counters.calls_in_flight == 0);
}

}  // namespace vtee::optee
