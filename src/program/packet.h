// SPDX-License-Identifier: BSD-3-Clause
// Messages of protocol.h over a socket. Threading and errors: as base/socket.h.
#pragma once

#include "base/result.h"
#include "base/socket.h"
#include "base/unique_fd.h"
#include "program/protocol.h"

namespace vtee::program {

struct Received {
  Message message;
  UniqueFd fd;  // that came along; invalid: none
};

// `fd` travels along unless it is -1.
Status Send(int socket, const Message& message, int fd = -1);
// kUnavailable: the peer has closed its end. kProtocol: this is no message of this version.
Result<Received> Receive(int socket);

}  // namespace vtee::program
