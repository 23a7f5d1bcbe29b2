// SPDX-License-Identifier: BSD-3-Clause
// RollbackCounter: a number outside of all files that only goes up, for one VM's state.
// Threading: one call at a time.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"

namespace vtee::ta {

class RollbackCounter {
 public:
  virtual ~RollbackCounter() = default;
  // What it is at; kNotFound: there is none.
  virtual Result<std::uint64_t> Read() = 0;
  // Makes it unless it is there.
  virtual Result<std::uint64_t> Make() = 0;
  // The number after it. When it fails, it may or may not have been done.
  virtual Result<std::uint64_t> Increment() = 0;
  virtual Status Remove() = 0;
  virtual std::string name() const = 0;
};

}  // namespace vtee::ta
