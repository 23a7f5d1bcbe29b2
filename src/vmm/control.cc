// SPDX-License-Identifier: BSD-3-Clause
#include "vmm/control.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/clock.h"

namespace vtee::vmm {
namespace {

constexpr std::uint32_t kBrokerTimeoutMs = 10'000;

// Waits for `events` or the end of the peer. kDone also when the peer has gone: the following
// system call then says so, after what is still queued has been read.
ControlResult WaitFor(int socket, short events, std::uint64_t deadline_ns) {
  for (;;) {
    const std::uint64_t now = MonotonicNanos();
    if (now >= deadline_ns) return ControlResult::kTimedOut;
    const std::uint64_t left_ms = (deadline_ns - now) / 1'000'000 + 1;
    pollfd poller{socket, events, 0};
    const int ready = poll(&poller, 1, static_cast<int>(left_ms));
    if (ready > 0) return ControlResult::kDone;
    if (ready < 0 && errno != EINTR) return ControlResult::kFailed;
  }
}

bool PeerGone(int err) {
  return err == EPIPE || err == ECONNRESET || err == ENOTCONN || err == ECONNREFUSED;
}

bool WellFormed(const ControlMessage& message, std::size_t size) {
  if (size != sizeof message || message.magic != kProtocolMagic) return false;
  return message.major == kProtocolMajor || message.type == ControlType::kHelloReply;
}

std::uint64_t Deadline(std::uint32_t timeout_ms) {
  return MonotonicNanos() + std::uint64_t{timeout_ms} * 1'000'000;
}

}  // namespace

ControlMessage MakeMessage(ControlType type) {
  ControlMessage message;
  std::memset(static_cast<void*>(&message), 0, sizeof message);
  message.magic = kProtocolMagic;
  message.major = kProtocolMajor;
  message.minor = kProtocolMinor;
  message.type = type;
  return message;
}

ControlResult SendControl(int socket, const ControlMessage& message, int attach_fd,
                          std::uint32_t timeout_ms) {
  iovec data{const_cast<ControlMessage*>(&message), sizeof message};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  if (attach_fd >= 0) {
    header.msg_control = control;
    header.msg_controllen = sizeof control;
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(sizeof attach_fd);
    std::memcpy(CMSG_DATA(rights), &attach_fd, sizeof attach_fd);
  }
  const std::uint64_t deadline = Deadline(timeout_ms);
  for (;;) {
    if (sendmsg(socket, &header, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return ControlResult::kDone;
    if (PeerGone(errno)) return ControlResult::kClosed;
    if (errno == EINTR) continue;
    if (errno != EAGAIN) return ControlResult::kFailed;
    const ControlResult ready = WaitFor(socket, POLLOUT, deadline);
    if (ready != ControlResult::kDone) return ready;
  }
}

ControlResult ReceiveControl(int socket, ControlMessage& message, std::uint32_t timeout_ms) {
  const std::uint64_t deadline = Deadline(timeout_ms);
  for (;;) {
    const ControlResult ready = WaitFor(socket, POLLIN, deadline);
    if (ready != ControlResult::kDone) return ready;
    // No control buffer: descriptors that come along are dropped by the kernel.
    const ssize_t size =
        recv(socket, static_cast<void*>(&message), sizeof message, MSG_DONTWAIT | MSG_TRUNC);
    if (size == 0 || (size < 0 && PeerGone(errno))) return ControlResult::kClosed;
    if (size < 0) {
      if (errno == EINTR || errno == EAGAIN) continue;
      return ControlResult::kFailed;
    }
    return WellFormed(message, static_cast<std::size_t>(size)) ? ControlResult::kDone
                                                               : ControlResult::kMalformed;
  }
}

OwnFd ConnectToPath(const char* path, Text& error, std::uint32_t timeout_ms) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::size_t length = std::strlen(path);
  if (length == 0 || length >= sizeof address.sun_path) {
    error.Format(
        "the socket path of vteed must have 1 to %zu characters, not %zu; use a shorter "
        "one",
        sizeof address.sun_path - 1, length);
    return OwnFd();
  }
  std::memcpy(address.sun_path, path, length);
  OwnFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  // connect() waits for as long as others are queued before a vteed that accepts nobody.
  const timeval limit{timeout_ms / 1000, static_cast<suseconds_t>(timeout_ms % 1000 * 1000)};
  if (fd.valid()) setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
  int rc = -1;
  while (fd.valid() && rc != 0) {
    rc = connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
    if (rc != 0 && errno != EINTR) break;
  }
  if (rc != 0) {
    error.Format(
        "cannot connect to vteed at %s (%s); start `vteed --socket-path %s` first, one "
        "per VM",
        path, errno == EAGAIN ? "it accepts no connection" : strerror(errno), path);
    return OwnFd();
  }
  return fd;
}

OwnFd ConnectThroughBroker(int broker, Text& error) {
  int ends[2] = {-1, -1};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
    error.Format("cannot make a socket pair for vteed (%s)", strerror(errno));
    return OwnFd();
  }
  OwnFd ours(ends[0]);
  const OwnFd theirs(ends[1]);
  const ControlMessage message = MakeMessage(ControlType::kNewVm);
  const ControlResult sent = SendControl(broker, message, theirs.get(), kBrokerTimeoutMs);
  if (sent != ControlResult::kDone) {
    error.Format(
        "`vtee run`, which starts vteed for this VM, no longer answers (%s); start the VM "
        "through `vtee run` again",
        sent == ControlResult::kFailed ? strerror(errno) : "its socket is closed or full");
    return OwnFd();
  }
  return ours;
}

bool IsSeqpacketSocket(int fd) {
  int domain = 0;
  int type = 0;
  socklen_t size = sizeof domain;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &size) != 0) return false;
  size = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0) return false;
  return domain == AF_UNIX && type == SOCK_SEQPACKET;
}

}  // namespace vtee::vmm
