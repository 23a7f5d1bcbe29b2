// SPDX-License-Identifier: BSD-3-Clause
#include "base/socket.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <array>
#include <cerrno>
#include <cstring>

namespace vtee {
namespace {

Result<sockaddr_un> UnixAddress(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) {
    return Error{ErrorCode::kInvalidArgument,
                 "socket path '" + path + "' must have 1 to 107 characters; use a shorter one"};
  }
  // A leading NUL would name an abstract socket, which no file permission guards.
  if (path.find('\0') != std::string::npos) {
    return Error{ErrorCode::kInvalidArgument, "a socket path cannot hold NUL characters"};
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  return address;
}

Result<UniqueFd> NewSocket() {
  UniqueFd fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!fd) return ErrnoError(errno, "socket");
  return fd;
}

}  // namespace

Result<SocketPair> MakeSocketPair() {
  std::array<int, 2> fds{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds.data()) != 0) {
    return ErrnoError(errno, "socketpair");
  }
  return SocketPair{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Result<UniqueFd> ListenUnix(const std::string& path) {
  VTEE_ASSIGN_OR_RETURN(sockaddr_un address, UnixAddress(path));
  VTEE_ASSIGN_OR_RETURN(UniqueFd fd, NewSocket());
  struct stat existing {};
  if (lstat(path.c_str(), &existing) == 0) {
    if (!S_ISSOCK(existing.st_mode)) {
      return Error{ErrorCode::kInvalidArgument,
                   path + " exists and is not a socket; remove it or choose another --socket-path"};
    }
    unlink(path.c_str());
  }
  // The file takes its mode from the unbound socket; umask() would change other threads' files.
  if (fchmod(fd.get(), 0600) != 0) return ErrnoError(errno, "fchmod of a socket");
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return ErrnoError(errno, "cannot bind the socket " + path);
  }
  if (listen(fd.get(), 1) != 0) return ErrnoError(errno, "listen on " + path);
  return fd;
}

Result<UniqueFd> ConnectUnix(const std::string& path) {
  VTEE_ASSIGN_OR_RETURN(sockaddr_un address, UnixAddress(path));
  VTEE_ASSIGN_OR_RETURN(UniqueFd fd, NewSocket());
  int rc = 0;
  do {
    rc = connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  } while (rc != 0 && errno == EINTR);
  if (rc != 0) return ErrnoError(errno, "cannot connect to " + path);
  return fd;
}

Status SendPacket(int fd, std::span<const std::byte> bytes, std::span<const int> fds) {
  if (bytes.empty()) {
    // The receiver could not tell it from the end of the connection.
    return Error{ErrorCode::kInvalidArgument, "a packet must have at least one byte"};
  }
  if (fds.size() > kMaxPacketFds) {
    return Error{ErrorCode::kInvalidArgument, "too many descriptors for one packet"};
  }
  iovec data{const_cast<std::byte*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxPacketFds)> control{};
  if (!fds.empty()) {
    message.msg_control = control.data();
    message.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(header), fds.data(), fds.size_bytes());
  }
  for (;;) {
    if (sendmsg(fd, &message, MSG_NOSIGNAL) >= 0) return {};
    if (errno == EINTR) continue;
    if (errno == EPIPE || errno == ECONNRESET || errno == ENOTCONN) {
      return Error{ErrorCode::kUnavailable, "the peer closed the connection"};
    }
    return ErrnoError(errno, "sendmsg");
  }
}

Result<Packet> ReceivePacket(int fd, std::size_t max_bytes) {
  Packet packet;
  packet.bytes.resize(max_bytes);
  packet.fds.reserve(kMaxPacketFds);  // now: a descriptor that has come must find its place
  iovec data{packet.bytes.data(), packet.bytes.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int) * kMaxPacketFds)> control{};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  ssize_t size = 0;
  do {
    size = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
  } while (size < 0 && errno == EINTR);
  if (size < 0 && errno == ECONNRESET) size = 0;
  if (size < 0) return ErrnoError(errno, "recvmsg");
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr;
       header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (std::size_t i = 0; i < count; ++i) {
      int received = -1;
      std::memcpy(&received, CMSG_DATA(header) + i * sizeof(int), sizeof received);
      packet.fds.emplace_back(received);
    }
  }
  if (size == 0) return Error{ErrorCode::kUnavailable, "the peer closed the connection"};
  if ((message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    return Error{ErrorCode::kProtocol, "the peer sent an oversized packet"};
  }
  packet.bytes.resize(static_cast<std::size_t>(size));
  return packet;
}

}  // namespace vtee
