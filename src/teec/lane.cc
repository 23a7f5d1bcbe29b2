// SPDX-License-Identifier: BSD-3-Clause
#include "teec/lane.h"

#include <bit>

#include "program/memory_file.h"
#include "program/packet.h"
#include "teec/supplicant.h"

namespace vtee::teec {
namespace {

constexpr std::uint64_t kLeast = std::uint64_t{64} * 1024;
constexpr std::uint64_t kMost = std::uint64_t{1} << 40;  // no process has buffers of that size

}  // namespace

bool Lane::Reserve(std::uint64_t size) {
  if (size <= size_) return true;
  if (size > kMost) return false;
  const std::uint64_t grown = std::bit_ceil(size < kLeast ? kLeast : size);
  UniqueFd file = program::MakeMemoryFile(grown);
  if (!file) return false;
  memory_ = std::move(file);
  size_ = grown;
  memory_is_new_ = true;
  return true;
}

bool Lane::CopyIn(std::uint64_t offset, const void* from, std::uint64_t size) const {
  return program::WriteAt(memory_.get(), offset, from, size);
}

bool Lane::CopyOut(std::uint64_t offset, void* to, std::uint64_t size) const {
  return program::ReadAt(memory_.get(), offset, to, size);
}

bool Lane::Call(program::Message& request, program::Message& result) {
  usable_ = false;
  request.memory = memory_is_new_ ? size_ : 0;
  if (!program::Send(socket_.get(), request, memory_is_new_ ? memory_.get() : -1).ok()) {
    return false;
  }
  memory_is_new_ = false;
  for (;;) {
    auto received = program::Receive(socket_.get());
    if (!received.ok()) return false;
    program::Message& message = received->message;
    if (message.type == program::MessageType::kResult) {
      result = message;
      usable_ = true;
      return true;
    }
    if (message.type != program::MessageType::kUpcall) return false;
    program::Message reply = ServeUpcall(message, received->fd.get());
    reply.type = program::MessageType::kUpcallReply;
    if (!program::Send(socket_.get(), reply).ok()) return false;
  }
}

}  // namespace vtee::teec
