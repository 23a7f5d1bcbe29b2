// SPDX-License-Identifier: BSD-3-Clause
// Connecting a socket for a TA. Codes: TEEC_* and those of the GlobalPlatform TEE Sockets API.
#pragma once

#include <cstdint>

#include "base/unique_fd.h"
#include "teec/tee_client_api.h"

namespace vtee::teec {

// TEE_ISOCKET_ERROR_*
inline constexpr TEEC_Result kSocketTimeout = 0xF1007003;
inline constexpr TEEC_Result kSocketNoResources = 0xF1007004;
inline constexpr TEEC_Result kSocketHostname = 0xF1007007;

inline constexpr std::uint64_t kTcp = 0x65;  // TEE_ISOCKET_PROTOCOLID_TCP
inline constexpr std::uint64_t kUdp = 0x66;

struct Peer {
  std::uint64_t ip_version = 0;  // 0: any, 1: IPv4, 2: IPv6
  std::uint64_t protocol = kTcp;
  std::uint64_t port = 0;
  const char* host = nullptr;
};

// Non-blocking once connected.
TEEC_Result Connect(const Peer& peer, UniqueFd& socket);
// What the ioctl of a UDP socket asks for: another port, or another host, of the same socket.
TEEC_Result ChangePort(int socket, std::uint16_t port);
TEEC_Result ChangeHost(int socket, const char* host);

}  // namespace vtee::teec
