// SPDX-License-Identifier: BSD-3-Clause
// Sockets that TAs ask for, with peers on the loopback interface.
#include "teec/sockets.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <cstring>
#include <span>
#include <string>

#include "teec/connect.h"

namespace vtee::teec {
namespace {

enum Request : std::uint64_t { kOpen, kClose, kCloseAll, kSend, kReceive, kIoctl };

// A peer that listens (TCP) or is bound (UDP) on 127.0.0.1.
class Peer4 {
 public:
  explicit Peer4(int type) : fd_(socket(AF_INET, type | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    socklen_t size = sizeof address;
    getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size);
    port_ = ntohs(address.sin_port);
    if (type == SOCK_STREAM) {
      EXPECT_EQ(listen(fd_.get(), 1), 0);
    }
  }
  int fd() const { return fd_.get(); }
  std::uint16_t port() const { return port_; }

 private:
  UniqueFd fd_;
  std::uint16_t port_ = 0;
};

// One request, as the TEE sends it.
struct Asked {
  program::Message message;
  std::string bytes[4];
  TEEC_Result Serve() {
    Upcall upcall;
    // Buffers are given directly: Take() would fetch them from a memfd.
    for (std::size_t i = 0; i < 4; ++i) message.params[i].b += bytes[i].size();
    program::Message without = message;
    for (std::size_t i = 0; i < 4; ++i) {
      if (message.params[i].kind >= 4) without.params[i].b = 0;
    }
    EXPECT_TRUE(upcall.Take(without, -1));
    for (std::size_t i = 0; i < 4; ++i) {
      if (message.params[i].kind < 4) continue;
      const auto given = std::as_bytes(std::span(bytes[i]));
      upcall.bytes(i).assign(given.begin(), given.end());
      upcall.set_size(i, bytes[i].size());
    }
    const TEEC_Result result = Sockets::OfProcess().Serve(upcall);
    message = upcall.message();
    for (std::size_t i = 0; i < 4; ++i) {
      if (message.params[i].kind >= 4 && !upcall.bytes(i).empty()) {
        std::memcpy(bytes[i].data(), upcall.bytes(i).data(), bytes[i].size());
      }
    }
    return result;
  }
};

constexpr std::uint64_t kSession = 9;

Asked OpenRequest(std::uint64_t protocol, std::uint64_t port, std::string host = "127.0.0.1") {
  Asked asked;
  asked.message.params[0] = {1, 0, kOpen, kSession, 0};
  asked.message.params[1] = {1, 0, port, protocol, 1};
  asked.message.params[2] = {4, 0, 0, 0, 0};
  asked.bytes[2] = host + std::string(1, '\0');
  asked.message.params[3] = {2, 0, 0, 0, 0};
  return asked;
}

std::uint64_t Open(std::uint64_t protocol, std::uint64_t port) {
  Asked open = OpenRequest(protocol, port);
  EXPECT_EQ(open.Serve(), TEEC_SUCCESS);
  return open.message.params[3].a;
}

Asked With(Request request, std::uint64_t handle, std::uint32_t kind, std::string bytes,
           std::uint32_t value_kind, std::uint64_t value) {
  Asked asked;
  asked.message.params[0] = {1, 0, request, kSession, handle};
  asked.message.params[1] = {kind, 0, 0, 0, 0};
  asked.bytes[1] = std::move(bytes);
  asked.message.params[2] = {value_kind, 0, value, 0, 0};
  return asked;
}

TEST(SocketsTest, TcpSendsAndReceives) {
  const Peer4 peer(SOCK_STREAM);
  const std::uint64_t handle = Open(kTcp, peer.port());
  const UniqueFd accepted(accept(peer.fd(), nullptr, nullptr));
  Asked send = With(kSend, handle, 4, "hello", 3, 1000);
  EXPECT_EQ(send.Serve(), TEEC_SUCCESS);
  EXPECT_EQ(send.message.params[2].b, 5u);
  char got[8] = {};
  EXPECT_EQ(read(accepted.get(), got, sizeof got), 5);
  Asked nothing = With(kReceive, handle, 5, std::string(8, ' '), 1, 20);
  EXPECT_EQ(nothing.Serve(), kSocketTimeout);
  EXPECT_EQ(write(accepted.get(), "back", 4), 4);
  Asked receive = With(kReceive, handle, 5, std::string(8, ' '), 1, 1000);
  EXPECT_EQ(receive.Serve(), TEEC_SUCCESS);
  EXPECT_EQ(receive.message.params[1].b, 4u);
  EXPECT_EQ(receive.bytes[1].substr(0, 4), "back");
  Asked close = With(kClose, handle, 0, "", 0, 0);
  EXPECT_EQ(close.Serve(), TEEC_SUCCESS);
  EXPECT_EQ(read(accepted.get(), got, sizeof got), 0);
  close = With(kClose, handle, 0, "", 0, 0);
  EXPECT_EQ(close.Serve(), TEEC_ERROR_BAD_PARAMETERS);
}

TEST(SocketsTest, DatagramsReportTheirWholeLength) {
  const Peer4 peer(SOCK_DGRAM);
  const std::uint64_t handle = Open(kUdp, peer.port());
  Asked send = With(kSend, handle, 4, "abc", 3, 1000);
  EXPECT_EQ(send.Serve(), TEEC_SUCCESS);
  sockaddr_in from{};
  socklen_t size = sizeof from;
  char got[8] = {};
  ASSERT_EQ(recvfrom(peer.fd(), got, sizeof got, 0, reinterpret_cast<sockaddr*>(&from), &size), 3);
  sendto(peer.fd(), "0123456789", 10, 0, reinterpret_cast<sockaddr*>(&from), size);
  Asked length = With(kReceive, handle, 5, "", 1, 0);
  for (int i = 0; i < 100 && length.message.params[1].b == 0; ++i) {
    length = With(kReceive, handle, 5, "", 1, 0);
    EXPECT_EQ(length.Serve(), TEEC_SUCCESS);
    usleep(1000);
  }
  EXPECT_EQ(length.message.params[1].b, 10u);
  Asked receive = With(kReceive, handle, 5, std::string(4, ' '), 1, 1000);
  EXPECT_EQ(receive.Serve(), TEEC_SUCCESS);
  EXPECT_EQ(receive.bytes[1], "0123");
  EXPECT_EQ(receive.message.params[1].b, 10u);
  // The next datagrams go elsewhere.
  const Peer4 other(SOCK_DGRAM);
  const std::uint16_t port = other.port();
  Asked change =
      With(kIoctl, handle, 6, std::string(reinterpret_cast<const char*>(&port), sizeof port), 1,
           0x66000002);
  EXPECT_EQ(change.Serve(), TEEC_SUCCESS);
  send = With(kSend, handle, 4, "x", 3, 1000);
  EXPECT_EQ(send.Serve(), TEEC_SUCCESS);
  EXPECT_EQ(recv(other.fd(), got, sizeof got, 0), 1);
  Asked all = With(kCloseAll, 0, 0, "", 0, 0);
  EXPECT_EQ(all.Serve(), TEEC_SUCCESS);
  send = With(kSend, handle, 4, "x", 3, 1000);
  EXPECT_EQ(send.Serve(), TEEC_ERROR_BAD_PARAMETERS);
}

TEST(SocketsTest, RefusalsHaveTheSupplicantsCodes) {
  const Peer4 gone(SOCK_DGRAM);  // a port where nobody listens for TCP
  EXPECT_EQ(OpenRequest(kTcp, gone.port()).Serve(), TEEC_ERROR_COMMUNICATION);
  EXPECT_EQ(OpenRequest(99, 1).Serve(), TEEC_ERROR_BAD_PARAMETERS);
  EXPECT_EQ(OpenRequest(kTcp, 70'000).Serve(), TEEC_ERROR_BAD_PARAMETERS);
  EXPECT_EQ(OpenRequest(kTcp, 1, "not an address").Serve(), kSocketHostname);
  Asked unended = OpenRequest(kTcp, 1);
  unended.bytes[2].pop_back();
  EXPECT_EQ(unended.Serve(), kSocketHostname);
  Asked unknown = With(static_cast<Request>(6), 1, 0, "", 0, 0);
  EXPECT_EQ(unknown.Serve(), TEEC_ERROR_BAD_PARAMETERS);
}

}  // namespace
}  // namespace vtee::teec
