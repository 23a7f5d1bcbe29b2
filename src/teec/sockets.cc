// SPDX-License-Identifier: BSD-3-Clause
#include "teec/sockets.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstring>

#include "teec/connect.h"

namespace vtee::teec {
namespace {

// OPTEE_MRC_SOCKET_*
enum Request : std::uint64_t {
  kOpen = 0,
  kClose = 1,
  kCloseAll = 2,
  kSend = 3,
  kReceive = 4,
  kIoctl = 5
};
constexpr std::uint64_t kForEver = 0xFFFFFFFF;  // OPTEE_MRC_SOCKET_TIMEOUT_BLOCKING

constexpr std::uint64_t kTcpReceiveBuffer = 0x65F00000;
constexpr std::uint64_t kTcpSendBuffer = 0x65F00001;
constexpr std::uint64_t kUdpChangeHost = 0x66000001;
constexpr std::uint64_t kUdpChangePort = 0x66000002;

// Until the socket is ready for `events`, for so many milliseconds.
TEEC_Result Await(int socket, short events, std::uint64_t timeout) {
  using Clock = std::chrono::steady_clock;
  const Clock::time_point until = Clock::now() + std::chrono::milliseconds(timeout);
  pollfd waiting{socket, events, 0};
  for (;;) {
    int left = -1;
    if (timeout != kForEver) {
      const auto rest = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
      left = rest > INT32_MAX ? INT32_MAX : rest < 0 ? 0 : static_cast<int>(rest);
    }
    const int ready = poll(&waiting, 1, left);
    if (ready > 0) return TEEC_SUCCESS;
    if (ready == 0 && left != INT32_MAX) return kSocketTimeout;
    if (ready < 0 && errno != EINTR) return TEEC_ERROR_BAD_PARAMETERS;
  }
}

int SocketType(int socket) {
  int type = 0;
  socklen_t size = sizeof type;
  return getsockopt(socket, SOL_SOCKET, SO_TYPE, &type, &size) == 0 ? type : -1;
}

bool WouldBlock() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

// value in {.., session, handle}, bytes in, value inout {timeout, bytes sent}
TEEC_Result Send(int socket, Upcall& upcall) {
  const std::vector<std::byte>& data = upcall.bytes(1);
  if (const TEEC_Result ready = Await(socket, POLLOUT, upcall.value(2).a); ready != TEEC_SUCCESS) {
    return ready;
  }
  const ssize_t sent = send(socket, data.data(), data.size(), MSG_NOSIGNAL);
  if (sent < 0) return WouldBlock() ? kSocketTimeout : TEEC_ERROR_BAD_PARAMETERS;
  upcall.value(2).b = static_cast<std::uint64_t>(sent);
  return TEEC_SUCCESS;
}

// value in {.., session, handle}, bytes out, value in {timeout}. A datagram that is longer than
// the buffer is cut, and its own length reported. No buffer: how much there is, without waiting.
TEEC_Result Receive(int socket, Upcall& upcall) {
  std::vector<std::byte>& data = upcall.bytes(1);
  const int type = SocketType(socket);
  if (type < 0) return TEEC_ERROR_BAD_PARAMETERS;
  const bool only_ask = data.empty();
  if (!only_ask) {
    const TEEC_Result ready = Await(socket, POLLIN, upcall.value(2).a);
    if (ready != TEEC_SUCCESS) return ready;
  }
  // Linux tells the whole length of a datagram; of a stream, what fits.
  std::byte peeked[4096];
  const int whole_length = type == SOCK_DGRAM ? MSG_TRUNC : 0;
  const ssize_t got =
      only_ask ? recv(socket, peeked, sizeof peeked, MSG_PEEK | MSG_DONTWAIT | whole_length)
               : recv(socket, data.data(), data.size(), MSG_DONTWAIT | whole_length);
  if (got < 0 && !WouldBlock()) return TEEC_ERROR_BAD_PARAMETERS;
  if (got < 0 && !only_ask) return kSocketTimeout;
  upcall.set_size(1, got < 0 ? 0 : static_cast<std::uint64_t>(got));
  return TEEC_SUCCESS;
}

TEEC_Result TcpIoctl(int socket, std::uint64_t command, const std::vector<std::byte>& data) {
  if (command != kTcpReceiveBuffer && command != kTcpSendBuffer) return TEEC_ERROR_NOT_SUPPORTED;
  const int option = command == kTcpReceiveBuffer ? SO_RCVBUF : SO_SNDBUF;
  const auto size = static_cast<socklen_t>(data.size());
  return setsockopt(socket, SOL_SOCKET, option, data.data(), size) == 0 ? TEEC_SUCCESS
                                                                        : TEEC_ERROR_BAD_PARAMETERS;
}

TEEC_Result UdpIoctl(int socket, std::uint64_t command, const std::vector<std::byte>& data) {
  if (command == kUdpChangeHost) {
    if (data.empty() || data.back() != std::byte{0}) return kSocketHostname;
    return ChangeHost(socket, reinterpret_cast<const char*>(data.data()));
  }
  if (command == kUdpChangePort) {
    std::uint16_t port = 0;
    if (data.size() != sizeof port) return TEEC_ERROR_BAD_PARAMETERS;
    std::memcpy(&port, data.data(), sizeof port);
    return ChangePort(socket, port);
  }
  return TEEC_ERROR_NOT_SUPPORTED;
}

// value in {.., session, handle}, bytes inout, value in {command}
TEEC_Result Ioctl(int socket, Upcall& upcall) {
  const std::uint64_t command = upcall.value(2).a;
  switch (SocketType(socket)) {
    case SOCK_STREAM:
      return TcpIoctl(socket, command, upcall.bytes(1));
    case SOCK_DGRAM:
      return UdpIoctl(socket, command, upcall.bytes(1));
    default:
      return TEEC_ERROR_BAD_PARAMETERS;
  }
}

}  // namespace

Sockets& Sockets::OfProcess() {
  static Sockets sockets;
  return sockets;
}

Sockets::Shared Sockets::Find(Upcall& upcall) {
  const std::lock_guard lock(mutex_);
  const auto found = open_.find({upcall.value(0).b, upcall.value(0).c});
  return found != open_.end() ? found->second : nullptr;
}

// value in {.., session}, value in {port, protocol, IP version}, bytes in host, value out handle
TEEC_Result Sockets::Open(Upcall& upcall) {
  const std::vector<std::byte>& host = upcall.bytes(2);
  if (!upcall.Is(Kind::kValueIn, Kind::kValueIn, Kind::kBytesIn, Kind::kValueOut)) {
    return TEEC_ERROR_BAD_PARAMETERS;
  }
  if (host.empty() || host.back() != std::byte{0}) return kSocketHostname;
  const program::ParamBody& where = upcall.value(1);
  UniqueFd socket;
  const TEEC_Result result =
      Connect({where.c, where.b, where.a, reinterpret_cast<const char*>(host.data())}, socket);
  if (result != TEEC_SUCCESS) return result;
  const std::lock_guard lock(mutex_);
  const std::uint64_t handle = next_handle_++;
  open_[{upcall.value(0).b, handle}] = std::make_shared<const UniqueFd>(std::move(socket));
  upcall.value(3).a = handle;
  return TEEC_SUCCESS;
}

TEEC_Result Sockets::Close(Upcall& upcall) {
  if (!upcall.Is(Kind::kValueIn)) return TEEC_ERROR_BAD_PARAMETERS;
  const std::lock_guard lock(mutex_);
  return open_.erase({upcall.value(0).b, upcall.value(0).c}) != 0 ? TEEC_SUCCESS
                                                                  : TEEC_ERROR_BAD_PARAMETERS;
}

TEEC_Result Sockets::CloseAll(Upcall& upcall) {
  if (!upcall.Is(Kind::kValueIn)) return TEEC_ERROR_BAD_PARAMETERS;
  const std::uint64_t session = upcall.value(0).b;
  const std::lock_guard lock(mutex_);
  std::erase_if(open_, [&](const auto& each) { return each.first.first == session; });
  return TEEC_SUCCESS;
}

TEEC_Result Sockets::Serve(Upcall& upcall) {
  if (upcall.kind(0) != Kind::kValueIn) return TEEC_ERROR_BAD_PARAMETERS;
  const std::uint64_t request = upcall.value(0).a;
  switch (request) {
    case kOpen:
      return Open(upcall);
    case kClose:
      return Close(upcall);
    case kCloseAll:
      return CloseAll(upcall);
    default:
      break;
  }
  const Shared socket = Find(upcall);
  if (!socket) return TEEC_ERROR_BAD_PARAMETERS;
  if (request == kSend && upcall.Is(Kind::kValueIn, Kind::kBytesIn, Kind::kValueInOut)) {
    return Send(socket->get(), upcall);
  }
  if (request == kReceive && upcall.Is(Kind::kValueIn, Kind::kBytesOut, Kind::kValueIn)) {
    return Receive(socket->get(), upcall);
  }
  if (request == kIoctl && upcall.Is(Kind::kValueIn, Kind::kBytesInOut, Kind::kValueIn)) {
    return Ioctl(socket->get(), upcall);
  }
  return TEEC_ERROR_BAD_PARAMETERS;
}

}  // namespace vtee::teec
