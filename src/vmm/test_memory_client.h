// SPDX-License-Identifier: BSD-3-Clause
// vteed's side of the memory channel for tests, written from docs/vmm-protocol.md alone.
// Threading: one thread per socket. Not supported: answers that do not come within five seconds.
#pragma once

#include <poll.h>
#include <sys/socket.h>

#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "vmm/protocol.h"

namespace vtee::vmm {

struct MemoryAnswer {
  MemoryHeader header{};
  std::vector<std::byte> bytes;
  MemoryStatus status() const { return static_cast<MemoryStatus>(header.count); }
};

// A whole request packet.
inline std::vector<std::byte> MemoryRequest(MemoryOp op, std::span<const MemoryPiece> pieces,
                                            std::span<const std::byte> bytes = {},
                                            std::uint64_t id = 1) {
  std::uint64_t sum = 0;
  for (const MemoryPiece& piece : pieces) sum += piece.size;
  const MemoryHeader header{kProtocolMagic, static_cast<std::uint32_t>(op), id,
                            static_cast<std::uint32_t>(pieces.size()),
                            static_cast<std::uint32_t>(sum)};
  std::vector<std::byte> packet(sizeof header + pieces.size_bytes() + bytes.size());
  std::memcpy(packet.data(), &header, sizeof header);
  if (!pieces.empty()) {
    std::memcpy(packet.data() + sizeof header, pieces.data(), pieces.size_bytes());
  }
  if (!bytes.empty()) {
    std::memcpy(packet.data() + sizeof header + pieces.size_bytes(), bytes.data(), bytes.size());
  }
  return packet;
}

// Nothing: the other side closed the channel, or did not answer in time.
inline std::optional<MemoryAnswer> ReceiveAnswer(int fd) {
  pollfd wait{fd, POLLIN, 0};
  std::vector<std::byte> packet(kMaxMemoryPacket);
  if (poll(&wait, 1, 5'000) != 1) return std::nullopt;
  const ssize_t size = recv(fd, packet.data(), packet.size(), 0);
  MemoryAnswer answer;
  if (size < static_cast<ssize_t>(sizeof answer.header)) return std::nullopt;
  std::memcpy(&answer.header, packet.data(), sizeof answer.header);
  answer.bytes.assign(packet.begin() + sizeof answer.header, packet.begin() + size);
  return answer;
}

inline std::optional<MemoryAnswer> AskForMemory(int fd, MemoryOp op,
                                                std::span<const MemoryPiece> pieces,
                                                std::span<const std::byte> bytes = {}) {
  const std::vector<std::byte> packet = MemoryRequest(op, pieces, bytes);
  if (send(fd, packet.data(), packet.size(), MSG_NOSIGNAL) < 0) return std::nullopt;
  return ReceiveAnswer(fd);
}

}  // namespace vtee::vmm
