// SPDX-License-Identifier: BSD-3-Clause
// The socket pseudo-TA: sockets of the guest, through its supplicant (GlobalPlatform TEE Sockets
// API; optee_os core/tee/socket.c, lib/libutee/include/pta_socket.h). For TAs only.
//
// Threading: PseudoTa's. A TA reaches the guest's network, never the host's.
#pragma once

#include "ta/core/pseudo_ta.h"

namespace vtee::ta {

inline constexpr tee::Uuid kSocketPta{{0x3b, 0x99, 0x6a, 0x7d, 0x2c, 0x2b, 0x4a, 0x49, 0xa8, 0x96,
                                       0xe1, 0xfb, 0x57, 0x66, 0xd2, 0xf4}};

class SocketPta : public PseudoTa {
 public:
  std::uint32_t Open(Call& call, TaInstance* caller, const ClientIdentity& client,
                     EntryParams& params) override;
  std::uint32_t Invoke(Call& call, TaInstance* caller, std::uint32_t session, std::uint32_t command,
                       EntryParams& params) override;
  // Closes what the session has left open.
  void Close(Call& call, std::uint32_t session) override;
};

}  // namespace vtee::ta
