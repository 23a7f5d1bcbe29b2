// SPDX-License-Identifier: BSD-3-Clause
// What programs and vteed say to each other: the messages of the program socket.
//
// A program (through libteec) connects, says hello, and hands over one socket for each call it
// wants to have running at a time: a lane. A lane carries one request and its result at a time;
// between the two vteed may ask the program for something (an upcall). Buffers lie in a memfd that
// a request brings along and that stays the lane's until another comes. One Message per packet of a
// SOCK_SEQPACKET socket, host byte order. docs/program-protocol.md is the specification.
#pragma once

#include <cstdint>
#include <type_traits>

namespace vtee::program {

inline constexpr std::uint32_t kMagic = 0x50544556;  // "VETP"
inline constexpr std::uint16_t kMajor = 1;
inline constexpr std::uint16_t kMinor = 0;

// Where programs look for the socket.
inline constexpr const char* kSocketVariable = "VTEE_PROGRAM_SOCKET";
inline constexpr const char* kDefaultSocket = "/run/vtee/programs.sock";

enum class MessageType : std::uint32_t {
  // On the first socket. Hello first.
  kHello = 1,       // program
  kHelloReply = 2,  // vteed
  kLane = 3,        // program, with a socket
  kCancel = 4,      // program; no reply
  // On lanes.
  kOpenSession = 16,
  kInvoke = 17,
  kCloseSession = 18,
  kResult = 19,
  kUpcall = 20,       // vteed, with a memfd where there are buffers
  kUpcallReply = 21,  // program
};

// Of a request: as tee::Param. Of an upcall: as tee::UpcallParam.
struct ParamBody {
  std::uint32_t kind = 0;
  std::uint32_t direction = 0;  // requests only
  std::uint64_t a = 0;          // values; memory: offset into the lane's or the upcall's memfd
  std::uint64_t b = 0;          // values; memory: size in bytes
  std::uint64_t c = 0;          // values; memory: kIsNull or 0
};
inline constexpr std::uint64_t kIsNull = 1;

struct Message {
  std::uint32_t magic = kMagic;
  std::uint16_t major = kMajor;
  std::uint16_t minor = kMinor;
  MessageType type = MessageType::kHello;
  std::uint32_t code = 0;     // results: TEEC_*; kHelloReply: 0 or refused, see text
  std::uint32_t origin = 0;   // results: TEEC_ORIGIN_*
  std::uint32_t session = 0;  // the program's number of it
  std::uint32_t command = 0;  // kInvoke: for the TA; kUpcall: the kind
  std::uint32_t login = 0;    // kOpenSession: TEEC_LOGIN_*
  std::uint32_t group = 0;    // kOpenSession: gid for the logins of groups
  std::uint32_t lanes = 0;    // kHelloReply: how many vteed takes
  std::uint64_t memory = 0;   // requests with a memfd: its size in bytes
  std::uint8_t application[16] = {};
  ParamBody params[4];
  char text[256] = {};  // kHelloReply: why not, ends with a NUL
};
static_assert(sizeof(Message) == 448 && std::is_trivially_copyable_v<Message>);

}  // namespace vtee::program
