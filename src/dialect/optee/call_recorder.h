// SPDX-License-Identifier: BSD-3-Clause
// CallRecorder: writes down the calls of a guest, as seeds for fuzzers (fuzz/README.md).
//
// For developers: registers, messages and page lists are the guest's own data, in clear, in a file
// of mode 0600. The contents of buffers are not recorded. One line for each call:
//   call VCPU X0 X1 X2 X3 X4 X5 [message ADDRESS BYTES] [list ADDRESS SIZE BYTES]...
// Numbers and bytes are hexadecimal; BYTES of a message are its header and at most six parameters,
// of a list its first entries (at most kMaxEntries). ADDRESS is 0 for a message in a registered
// buffer. After kMaxBytes nothing more is written.
// Threading: any thread. Not on the call path unless it was asked for.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"
#include "base/unique_fd.h"
#include "dialect/optee/arg_memory.h"
#include "dialect/optee/wire.h"
#include "guest/guest_memory.h"
#include "mediator/secure_call.h"

namespace vtee::optee {

class CallRecorder {
 public:
  static constexpr std::uint64_t kMaxBytes = 64ull << 20;
  static constexpr std::uint64_t kMaxEntries = 64;

  // Creates `path`, which must not exist, and says in the log that it holds guest data.
  static Result<std::unique_ptr<CallRecorder>> Create(const std::string& path);

  // A call without a message.
  void Record(const mediator::SecureCall& call);
  // A call whose message, of which `header` was fetched, lies at `arg`. Fetches for itself: what
  // is recorded may differ from what is served when the guest rewrites it.
  void Record(const mediator::SecureCall& call, const MsgHeader& header, const ArgMemory& arg,
              const guest::GuestMemory& memory);

 private:
  explicit CallRecorder(UniqueFd file) : file_(std::move(file)) {}
  static std::string Message(const mediator::SecureCall& call, const MsgHeader& header,
                             const ArgMemory& arg, const guest::GuestMemory& memory);
  void Write(const std::string& line);

  std::mutex mutex_;
  UniqueFd file_;
  std::uint64_t written_ = 0;
};

}  // namespace vtee::optee
