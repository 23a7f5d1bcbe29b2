// SPDX-License-Identifier: BSD-3-Clause
#include "teec/connect.h"

#include <fcntl.h>
#include <netdb.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <string>

namespace vtee::teec {
namespace {

using Addresses = std::unique_ptr<addrinfo, decltype(&freeaddrinfo)>;

Addresses Resolve(const char* host, std::uint64_t port, int family, int type) {
  addrinfo hints{};
  hints.ai_family = family;
  hints.ai_socktype = type;
  addrinfo* found = nullptr;
  if (getaddrinfo(host, std::to_string(port).c_str(), &hints, &found) != 0) found = nullptr;
  return {found, freeaddrinfo};
}

int FamilyOf(std::uint64_t ip_version) {
  switch (ip_version) {
    case 0:
      return AF_UNSPEC;
    case 1:
      return AF_INET;
    case 2:
      return AF_INET6;
    default:
      return -1;
  }
}

TEEC_Result ConnectError() {
  return errno == ETIMEDOUT ? kSocketTimeout : TEEC_ERROR_COMMUNICATION;
}

TEEC_Result ConnectTo(const addrinfo& address, UniqueFd& socket) {
  UniqueFd fd(::socket(address.ai_family, address.ai_socktype | SOCK_CLOEXEC, address.ai_protocol));
  if (!fd) {
    return errno == ENOMEM || errno == ENOBUFS ? kSocketNoResources : TEEC_ERROR_GENERIC;
  }
  if (connect(fd.get(), address.ai_addr, address.ai_addrlen) != 0) return ConnectError();
  if (fcntl(fd.get(), F_SETFL, O_NONBLOCK) != 0) return TEEC_ERROR_GENERIC;
  socket = std::move(fd);
  return TEEC_SUCCESS;
}

// The port of an address of either family; null: it has none.
in_port_t* PortOf(sockaddr_storage& address) {
  if (address.ss_family == AF_INET) return &reinterpret_cast<sockaddr_in&>(address).sin_port;
  if (address.ss_family == AF_INET6) return &reinterpret_cast<sockaddr_in6&>(address).sin6_port;
  return nullptr;
}

in_port_t* PeerOf(int socket, sockaddr_storage& address, socklen_t& size) {
  size = sizeof address;
  if (getpeername(socket, reinterpret_cast<sockaddr*>(&address), &size) != 0) return nullptr;
  return PortOf(address);
}

}  // namespace

TEEC_Result Connect(const Peer& peer, UniqueFd& socket) {
  const int family = FamilyOf(peer.ip_version);
  const bool known = peer.protocol == kTcp || peer.protocol == kUdp;
  if (family < 0 || !known || peer.port > UINT16_MAX) return TEEC_ERROR_BAD_PARAMETERS;
  const int type = peer.protocol == kTcp ? SOCK_STREAM : SOCK_DGRAM;
  const Addresses addresses = Resolve(peer.host, peer.port, family, type);
  if (!addresses) return kSocketHostname;
  TEEC_Result result = TEEC_ERROR_GENERIC;
  for (const addrinfo* each = addresses.get(); each != nullptr; each = each->ai_next) {
    result = ConnectTo(*each, socket);
    if (result == TEEC_SUCCESS) break;
  }
  return result;
}

TEEC_Result ChangePort(int socket, std::uint16_t port) {
  sockaddr_storage address{};
  socklen_t size = 0;
  in_port_t* place = PeerOf(socket, address, size);
  if (place == nullptr) return TEEC_ERROR_BAD_PARAMETERS;
  *place = htons(port);
  return connect(socket, reinterpret_cast<sockaddr*>(&address), size) == 0 ? TEEC_SUCCESS
                                                                           : TEEC_ERROR_GENERIC;
}

TEEC_Result ChangeHost(int socket, const char* host) {
  sockaddr_storage address{};
  socklen_t size = 0;
  const in_port_t* port = PeerOf(socket, address, size);
  if (port == nullptr) return TEEC_ERROR_BAD_PARAMETERS;
  const Addresses addresses = Resolve(host, ntohs(*port), address.ss_family, SOCK_DGRAM);
  TEEC_Result result = kSocketHostname;
  for (const addrinfo* each = addresses.get(); each != nullptr; each = each->ai_next) {
    if (connect(socket, each->ai_addr, each->ai_addrlen) == 0) return TEEC_SUCCESS;
    result = ConnectError();
  }
  return result;
}

}  // namespace vtee::teec
