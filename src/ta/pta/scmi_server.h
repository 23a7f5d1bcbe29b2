// SPDX-License-Identifier: BSD-3-Clause
// The platform's side of SCMI (Arm DEN 0056): the base protocol, which says who answers and that
// there is nothing to manage. A VM's clocks, resets and voltages are its VMM's.
//
// Pure; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace vtee::ta {

inline constexpr std::size_t kScmiMostPayload = 92;  // OP-TEE's limit: 120 bytes with an SMT header
inline constexpr std::size_t kScmiLeastRoom = 4;     // for the status

// Status codes of SCMI, section 4.1.4.
namespace scmi {
inline constexpr std::int32_t kSuccess = 0;
inline constexpr std::int32_t kNotSupported = -1;
inline constexpr std::int32_t kNotFound = -4;
inline constexpr std::int32_t kProtocolError = -10;
}  // namespace scmi

// What the platform answers to the message with this header (bits 0 to 7 the message, 10 to 17 the
// protocol; type and token are the transport's) and this payload: a status, and with success what
// it returns; all little-endian. Never more than `room` bytes, which is at least kScmiLeastRoom: a
// longer answer becomes PROTOCOL_ERROR.
std::vector<std::byte> AnswerScmi(std::uint32_t header, std::span<const std::byte> payload,
                                  std::size_t room);

}  // namespace vtee::ta
