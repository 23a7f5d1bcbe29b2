// SPDX-License-Identifier: BSD-3-Clause
#include "daemon/memory_channel.h"

#include <sys/socket.h>
#include <sys/time.h>

#include <array>
#include <cerrno>
#include <cstddef>

#include "base/log.h"

namespace vtee::daemon {
namespace {

using guest::RemotePiece;

// A piece goes over the channel as it is.
static_assert(sizeof(RemotePiece) == sizeof(vmm::MemoryPiece) &&
              offsetof(RemotePiece, region) == offsetof(vmm::MemoryPiece, region) &&
              offsetof(RemotePiece, offset) == offsetof(vmm::MemoryPiece, offset) &&
              offsetof(RemotePiece, size) == offsetof(vmm::MemoryPiece, size));
static_assert(guest::RemoteMemory::kMaxPieces == vmm::kMaxMemoryPieces);
static_assert(guest::RemoteMemory::kMaxBytes == vmm::kMaxMemoryBytes);

iovec Part(const void* data, std::size_t size) { return {const_cast<void*>(data), size}; }

}  // namespace

MemoryChannel::MemoryChannel(UniqueFd socket, std::uint32_t say_after_ms)
    : socket_(std::move(socket)) {
  // Only for the log's sake; without it a long wait is a silent one.
  const timeval patience{say_after_ms / 1000, static_cast<suseconds_t>(say_after_ms % 1000) * 1000};
  static_cast<void>(setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience));
}

bool MemoryChannel::Read(std::span<const RemotePiece> pieces, std::span<std::byte> out) {
  return Request(vmm::MemoryOp::kRead, pieces, {}, out, out.size());
}

bool MemoryChannel::Write(std::span<const RemotePiece> pieces, std::span<const std::byte> bytes) {
  return Request(vmm::MemoryOp::kWrite, pieces, bytes, {}, bytes.size());
}

void MemoryChannel::Close() {
  closed_.store(true, std::memory_order_relaxed);
  shutdown(socket_.get(), SHUT_RDWR);
}

bool MemoryChannel::Lost(const char* why) {
  if (!closed_.exchange(true)) Log(LogLevel::kWarning, "memory.lost", {{"why", why}});
  shutdown(socket_.get(), SHUT_RDWR);
  return false;
}

bool MemoryChannel::Request(vmm::MemoryOp op, std::span<const RemotePiece> pieces,
                            std::span<const std::byte> sent, std::span<std::byte> received,
                            std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  if (closed_.load(std::memory_order_relaxed)) return false;
  const vmm::MemoryHeader request{vmm::kProtocolMagic, static_cast<std::uint32_t>(op), ++last_id_,
                                  static_cast<std::uint32_t>(pieces.size()),
                                  static_cast<std::uint32_t>(bytes)};
  vmm::MemoryHeader answer{};
  std::size_t size = 0;
  if (!Send(request, pieces, sent) || !Receive(answer, received, size)) {
    return Lost("the VMM closed the memory channel");
  }
  const bool done = answer.count == static_cast<std::uint32_t>(vmm::MemoryStatus::kDone);
  const std::size_t expected = done ? received.size() : 0;
  if (answer.magic != request.magic || answer.op != request.op || answer.id != request.id ||
      answer.bytes != expected || size != sizeof answer + expected) {
    return Lost("the VMM's answer to a request for guest memory is malformed");
  }
  if (done) return true;
  LogGuest(LogLevel::kWarning, "memory.fault",
           {{"operation", op == vmm::MemoryOp::kRead ? "read" : "write"},
            {"status", answer.count},
            {"region", pieces.front().region},
            {"offset", Hex(pieces.front().offset)}});
  return false;
}

bool MemoryChannel::Send(const vmm::MemoryHeader& header, std::span<const RemotePiece> pieces,
                         std::span<const std::byte> bytes) {
  std::array<iovec, 3> parts{Part(&header, sizeof header), Part(pieces.data(), pieces.size_bytes()),
                             Part(bytes.data(), bytes.size())};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  for (;;) {
    if (sendmsg(socket_.get(), &message, MSG_NOSIGNAL) >= 0) return true;
    if (errno != EINTR) return false;
  }
}

// The bytes go straight to where the caller wants them: its own memory, which it does not look at
// before this has succeeded.
bool MemoryChannel::Receive(vmm::MemoryHeader& answer, std::span<std::byte> bytes,
                            std::size_t& size) {
  std::array<iovec, 2> parts{Part(&answer, sizeof answer), Part(bytes.data(), bytes.size())};
  msghdr message{};
  message.msg_iov = parts.data();
  message.msg_iovlen = parts.size();
  for (;;) {
    // No control buffer: descriptors that come along are dropped by the kernel.
    const ssize_t got = recvmsg(socket_.get(), &message, MSG_TRUNC);
    if (got > 0) {
      size = static_cast<std::size_t>(got);
      return true;
    }
    if (got == 0 || (errno != EINTR && errno != EAGAIN)) return false;
    if (errno == EAGAIN) {
      LogGuest(LogLevel::kWarning, "memory.waiting",
               {{"remedy",
                 "guest memory is copied by the VMM, which does not answer: see whether "
                 "it is stopped"}});
    }
  }
}

}  // namespace vtee::daemon
