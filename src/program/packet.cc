// SPDX-License-Identifier: BSD-3-Clause
#include "program/packet.h"

#include <cstring>
#include <span>

namespace vtee::program {

Status Send(int socket, const Message& message, int fd) {
  return SendPacket(socket, std::as_bytes(std::span(&message, 1)),
                    fd >= 0 ? std::span<const int>(&fd, 1) : std::span<const int>());
}

Result<Received> Receive(int socket) {
  VTEE_ASSIGN_OR_RETURN(Packet packet, ReceivePacket(socket, sizeof(Message)));
  Received received;
  if (packet.bytes.size() != sizeof(Message) || packet.fds.size() > 1) {
    return Error{ErrorCode::kProtocol, "a packet of the wrong size"};
  }
  std::memcpy(&received.message, packet.bytes.data(), sizeof(Message));
  if (received.message.magic != kMagic) {
    return Error{ErrorCode::kProtocol, "a packet that is not of vtee's program socket"};
  }
  // A hello of another version is answered with a sentence.
  if (received.message.major != kMajor && received.message.type != MessageType::kHello) {
    return Error{ErrorCode::kProtocol, "a message of another version of the protocol"};
  }
  if (!packet.fds.empty()) received.fd = std::move(packet.fds.front());
  return received;
}

}  // namespace vtee::program
