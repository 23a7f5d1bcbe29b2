// SPDX-License-Identifier: BSD-3-Clause
#include "ta/process/debug_port.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <system_error>

namespace vtee::ta {
namespace {

constexpr int kPorts = 64;          // that are tried
constexpr int kConnectTries = 500;  // of 10 ms: the emulator has to start first

// The whole of what one end has sent, to the other. False: one of them has gone.
bool Pass(int from, int to) {
  std::array<char, 4096> bytes{};
  const ssize_t got = recv(from, bytes.data(), bytes.size(), 0);
  if (got < 0 && errno == EINTR) return true;
  for (ssize_t sent = 0; sent < got;) {
    const ssize_t now =
        send(to, bytes.data() + sent, static_cast<std::size_t>(got - sent), MSG_NOSIGNAL);
    if (now < 0 && errno != EINTR) return false;
    if (now > 0) sent += now;
  }
  return got > 0;
}

UniqueFd Listen(std::uint16_t port) {
  UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd) return fd;
  const int on = 1;
  setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(fd.get(), 1) != 0) {
    fd.Reset();
  }
  return fd;
}

}  // namespace

Result<std::unique_ptr<DebugPort>> DebugPort::Open(std::uint16_t first) {
  std::unique_ptr<DebugPort> debug(new DebugPort);
  for (int port = first; port < first + kPorts && port <= UINT16_MAX && !debug->listener_; ++port) {
    debug->port_ = static_cast<std::uint16_t>(port);
    debug->listener_ = Listen(debug->port_);
  }
  if (!debug->listener_) return ErrnoError(errno, "listening for a debugger");
  char folder[] = "/tmp/vtee-gdb-XXXXXX";
  if (mkdtemp(folder) == nullptr) return ErrnoError(errno, "making a folder in /tmp");
  debug->folder_ = folder;
  debug->path_ = debug->folder_ + "/gdb";
  debug->stop_ = UniqueFd(eventfd(0, EFD_CLOEXEC));
  if (!debug->stop_) return ErrnoError(errno, "eventfd");
  try {
    debug->thread_ = std::thread([port = debug.get()] { port->Serve(); });
  } catch (const std::system_error&) {
    return Error{ErrorCode::kResourceExhausted, "there is no thread for a debugger's port"};
  }
  return debug;
}

DebugPort::~DebugPort() {
  if (thread_.joinable()) {
    const std::uint64_t one = 1;
    if (write(stop_.get(), &one, sizeof one) == sizeof one) thread_.join();
  }
  if (folder_.empty()) return;
  unlink(path_.c_str());
  rmdir(folder_.c_str());
}

// False: it is time to end.
bool DebugPort::Readable(int fd) const {
  std::array<pollfd, 2> waits{{{fd, POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
  while (poll(waits.data(), waits.size(), -1) < 0 && errno == EINTR) {
  }
  return waits[1].revents == 0;
}

UniqueFd DebugPort::ConnectEmulator() const {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path_.c_str(), path_.size());
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  for (int i = 0; i < kConnectTries && fd; ++i) {
    if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) {
      return fd;
    }
    pollfd stop{stop_.get(), POLLIN, 0};
    if (poll(&stop, 1, 10) > 0) break;
  }
  return {};
}

void DebugPort::Relay(int debugger, int emulator) const {
  for (;;) {
    std::array<pollfd, 3> waits{
        {{debugger, POLLIN, 0}, {emulator, POLLIN, 0}, {stop_.get(), POLLIN, 0}}};
    if (poll(waits.data(), waits.size(), -1) < 0) continue;
    if (waits[2].revents != 0) return;
    if (waits[0].revents != 0 && !Pass(debugger, emulator)) return;
    if (waits[1].revents != 0 && !Pass(emulator, debugger)) return;
  }
}

void DebugPort::Serve() {
  if (!Readable(listener_.get())) return;
  const UniqueFd debugger(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC));
  listener_.Reset();
  const UniqueFd emulator = ConnectEmulator();
  if (debugger && emulator) Relay(debugger.get(), emulator.get());
}

}  // namespace vtee::ta
