// SPDX-License-Identifier: BSD-3-Clause
// Lane: one call of this process into the TEE at a time, with the buffers of the call.
//
// Threading: one thread at a time. Not across fork().
#pragma once

#include <cstdint>

#include "base/unique_fd.h"
#include "program/protocol.h"
#include "teec/tee_client_api.h"

namespace vtee::teec {

class Lane {
 public:
  explicit Lane(UniqueFd socket) : socket_(std::move(socket)) {}

  // Room for the buffers of a call; false: there is no memory for it.
  bool Reserve(std::uint64_t size);
  // Bytes of this process into and out of the buffers. False: `from` or `to` is no memory.
  bool CopyIn(std::uint64_t offset, const void* from, std::uint64_t size) const;
  bool CopyOut(std::uint64_t offset, void* to, std::uint64_t size) const;

  // Sends the request and serves what the TEE asks for meanwhile. False: vteed is gone, and the
  // lane of no use any more.
  bool Call(program::Message& request, program::Message& result);
  bool usable() const { return usable_; }

 private:
  UniqueFd socket_;
  UniqueFd memory_;
  std::uint64_t size_ = 0;
  bool memory_is_new_ = false;
  bool usable_ = true;
};

}  // namespace vtee::teec
