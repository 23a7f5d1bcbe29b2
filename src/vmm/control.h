// SPDX-License-Identifier: BSD-3-Clause
// The control socket of the VMM protocol, VMM side: one ControlMessage per packet.
//
// Every operation has a deadline: a vteed that hangs must not hang the VMM with it. Nothing here
// raises SIGPIPE. Threading: any thread, one at a time per socket. Ownership: functions borrow
// descriptors. Not supported: receiving descriptors (vteed sends none; they would be dropped).
#pragma once

#include <cstdint>

#include "vmm/own_fd.h"
#include "vmm/protocol.h"
#include "vmm/runtime.h"

namespace vtee::vmm {

enum class ControlResult {
  kDone,
  kClosed,  // the peer closed its end
  kTimedOut,
  kMalformed,  // not a message of this protocol
  kFailed,     // a system call failed: see errno
};

ControlMessage MakeMessage(ControlType type);

// attach_fd travels beside the message; -1: none.
ControlResult SendControl(int socket, const ControlMessage& message, int attach_fd,
                          std::uint32_t timeout_ms);
// Any minor version is accepted; another magic or major is kMalformed, except that the major of a
// kHelloReply is left to the caller to judge.
ControlResult ReceiveControl(int socket, ControlMessage& message, std::uint32_t timeout_ms);

inline constexpr std::uint32_t kConnectTimeoutMs = 10'000;

// An open control socket to a vteed, or an invalid one and a sentence in `error`.
OwnFd ConnectToPath(const char* path, Text& error, std::uint32_t timeout_ms = kConnectTimeoutMs);
// Asks the broker (`vtee run`) at the other end of `broker` for a vteed.
OwnFd ConnectThroughBroker(int broker, Text& error);
// Is fd a Unix SOCK_SEQPACKET socket?
bool IsSeqpacketSocket(int fd);

}  // namespace vtee::vmm
