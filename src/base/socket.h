// SPDX-License-Identifier: BSD-3-Clause
// Unix SOCK_SEQPACKET sockets: one message per packet, with file descriptors beside it.
// Any thread, one at a time per direction. Descriptors received are close-on-exec.
// Not supported: stream sockets, more than kMaxPacketFds descriptors in a packet, empty packets
// (a received one is taken for the end of the connection).
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"

namespace vtee {

inline constexpr std::size_t kMaxPacketFds = 8;

struct SocketPair {
  UniqueFd first;
  UniqueFd second;
};
Result<SocketPair> MakeSocketPair();

// Creates, binds (mode 0600) and listens. An existing socket file of the same name is replaced.
Result<UniqueFd> ListenUnix(const std::string& path);
Result<UniqueFd> ConnectUnix(const std::string& path);

// Sends one packet; EINTR is retried. kUnavailable when the peer is gone.
Status SendPacket(int fd, std::span<const std::byte> bytes, std::span<const int> fds = {});

struct Packet {
  std::vector<std::byte> bytes;
  std::vector<UniqueFd> fds;
};
// Receives one packet of at most max_bytes (longer: kProtocol). An orderly end is kUnavailable.
Result<Packet> ReceivePacket(int fd, std::size_t max_bytes);

}  // namespace vtee
