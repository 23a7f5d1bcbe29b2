// SPDX-License-Identifier: BSD-3-Clause
#include "ta/pta/scmi_pta.h"

#include <array>
#include <cstddef>
#include <cstring>

#include "ta/core/tee_core.h"
#include "ta/pta/pta_params.h"
#include "ta/pta/scmi_server.h"

namespace vtee::ta {
namespace {

namespace code = tee::code;

enum Command : std::uint32_t {
  kCapabilities = 0,
  kProcessSmtChannel = 1,
  kProcessSmtMessage = 2,
  kGetChannel = 3,
  kProcessMsg = 4,
};

enum Capability : std::uint32_t { kSmtHeader = 1u << 0, kMsgHeader = 1u << 1 };
constexpr std::uint32_t kAllCapabilities = kSmtHeader | kMsgHeader;

constexpr std::uint64_t kChannel = 0;

// The header of a message in an SMT buffer. `length` counts from `header` on.
struct SmtHeader {
  std::uint32_t reserved;
  std::uint32_t status;
  std::uint64_t more_reserved;
  std::uint32_t flags;
  std::uint32_t length;
  std::uint32_t header;
};
static_assert(offsetof(SmtHeader, status) == 4 && offsetof(SmtHeader, length) == 20 &&
              offsetof(SmtHeader, header) == 24);
constexpr std::size_t kSmtPayload = 28;  // sizeof(SmtHeader) is 32
constexpr std::size_t kSmtBuffer = 128;
constexpr std::uint32_t kSmtFree = 1u << 0;  // the status: it is the agent's
constexpr std::uint32_t kSmtError = 1u << 1;
static_assert(kSmtPayload + kScmiMostPayload <= kSmtBuffer);

constexpr std::size_t kMsgPayload = sizeof(std::uint32_t);

std::uint32_t Capabilities(EntryParams& params) {
  if (ParamTypes(params) != 0x0002) return code::kBadParameters;
  params[0].a = kAllCapabilities;
  params[0].b = 0;
  return code::kSuccess;
}

// value inout: {channel, wanted capabilities} in, {handle, the same} out.
std::uint32_t GetChannel(EntryParams& params) {
  if (ParamTypes(params) != 0x0003 || (params[0].b & ~kAllCapabilities) != 0) {
    return code::kBadParameters;
  }
  if (params[0].b == 0) return code::kNotSupported;
  if (params[0].a != kChannel) return code::kBadParameters;
  return code::kSuccess;  // the handle is the channel's number
}

// value in: channel, memref in: message, memref out: answer; both may be the same memory.
std::uint32_t ProcessMsg(EntryParams& params) {
  if (ParamTypes(params) != 0x0651 || params[0].a != kChannel || params[2].memory == nullptr ||
      params[2].size < kMsgPayload + kScmiLeastRoom) {
    return code::kBadParameters;
  }
  const auto message = ReadBuffer(params[1], kMsgPayload + kScmiMostPayload);
  if (!message || message->size() < kMsgPayload) return code::kBadParameters;
  std::uint32_t header = 0;
  std::memcpy(&header, message->data(), sizeof(header));
  std::vector<std::byte> answer(message->begin(), message->begin() + kMsgPayload);
  const auto payload =
      AnswerScmi(header, std::span(*message).subspan(kMsgPayload), params[2].size - kMsgPayload);
  answer.insert(answer.end(), payload.begin(), payload.end());
  return WriteBuffer(params[2], answer);
}

bool WriteWord(const EntryParam& buffer, std::uint64_t at, std::uint32_t word) {
  return buffer.memory->Write(buffer.offset + at, std::as_bytes(std::span(&word, 1)));
}

// value in: channel, memref inout: an SMT buffer. What is wrong with the message itself is said
// in the buffer's status, with success here. The status is written last: it gives the buffer back.
std::uint32_t ProcessSmt(const EntryParams& params) {
  const EntryParam& buffer = params[1];
  if (ParamTypes(params) != 0x0071 || buffer.size < kSmtBuffer || params[0].a != kChannel ||
      buffer.memory == nullptr) {
    return code::kBadParameters;
  }
  std::array<std::byte, kSmtPayload + kScmiMostPayload> bytes{};
  if (!buffer.memory->Read(buffer.offset, bytes)) return code::kBadParameters;
  SmtHeader smt{};
  std::memcpy(&smt, bytes.data(), kSmtPayload);
  if (smt.length < sizeof(smt.header) || smt.length - sizeof(smt.header) > kScmiMostPayload ||
      (smt.status & (kSmtError | kSmtFree)) != 0) {
    return WriteWord(buffer, offsetof(SmtHeader, status), smt.status | kSmtError | kSmtFree)
               ? code::kSuccess
               : code::kAccessDenied;
  }
  const auto answer =
      AnswerScmi(smt.header, std::span(bytes).subspan(kSmtPayload, smt.length - sizeof(smt.header)),
                 kSmtBuffer - kSmtPayload);
  const auto length = static_cast<std::uint32_t>(sizeof(smt.header) + answer.size());
  return buffer.memory->Write(buffer.offset + kSmtPayload, answer) &&
                 WriteWord(buffer, offsetof(SmtHeader, length), length) &&
                 WriteWord(buffer, offsetof(SmtHeader, status), smt.status | kSmtFree)
             ? code::kSuccess
             : code::kAccessDenied;
}

}  // namespace

std::uint32_t ScmiPta::Open(Call&, TaInstance*, const ClientIdentity& client, EntryParams&) {
  return client.login == static_cast<std::uint32_t>(tee::Login::kReeKernel) ? code::kSuccess
                                                                            : code::kAccessDenied;
}

std::uint32_t ScmiPta::Invoke(Call&, TaInstance*, std::uint32_t, std::uint32_t command,
                              EntryParams& params) {
  switch (command) {
    case kCapabilities:
      return Capabilities(params);
    case kProcessSmtChannel:
      return ParamTypes(params) == 0x0001 && params[0].a == kChannel ? code::kNotSupported
                                                                     : code::kBadParameters;
    case kProcessSmtMessage:
      return ProcessSmt(params);
    case kGetChannel:
      return GetChannel(params);
    case kProcessMsg:
      return ProcessMsg(params);
    default:
      return code::kNotSupported;
  }
}

}  // namespace vtee::ta
