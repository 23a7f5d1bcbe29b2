// SPDX-License-Identifier: BSD-3-Clause
#include "ta/pta/scmi_server.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string_view>

namespace vtee::ta {
namespace {

constexpr std::uint32_t kBaseProtocol = 0x10;
constexpr std::uint32_t kBaseVersion = 0x20000;
constexpr std::uint32_t kImplementation = 1;  // of this server
constexpr std::string_view kVendor = "vtee";

enum Message : std::uint32_t {
  kVersion = 0,
  kAttributes = 1,
  kMessageAttributes = 2,
  kDiscoverVendor = 3,
  kDiscoverSubVendor = 4,
  kDiscoverImplementation = 5,
  kListProtocols = 6,
};

using Bytes = std::span<const std::byte>;

std::vector<std::byte> Answer(std::int32_t status, Bytes values = {}) {
  std::vector<std::byte> bytes(sizeof(status) + values.size());
  std::memcpy(bytes.data(), &status, sizeof(status));
  std::ranges::copy(values, bytes.begin() + sizeof(status));
  return bytes;
}

std::vector<std::byte> Value(std::uint32_t value) {
  return Answer(scmi::kSuccess, std::as_bytes(std::span(&value, 1)));
}

std::vector<std::byte> Name(std::string_view text) {
  std::array<char, 16> name{};  // ends with a zero
  text.copy(name.data(), name.size() - 1);
  return Answer(scmi::kSuccess, std::as_bytes(std::span(name)));
}

// Bytes that a message has behind its header; nothing: there is no such message.
std::optional<std::size_t> PayloadOf(std::uint32_t message) {
  if (message > kListProtocols) return std::nullopt;
  return message == kMessageAttributes || message == kListProtocols ? sizeof(std::uint32_t) : 0;
}

std::vector<std::byte> AnswerBase(std::uint32_t message, Bytes payload) {
  const auto expected = PayloadOf(message);
  if (!expected) return Answer(scmi::kNotSupported);
  if (payload.size() != *expected) return Answer(scmi::kProtocolError);
  switch (message) {
    case kVersion:
      return Value(kBaseVersion);
    case kDiscoverVendor:
      return Name(kVendor);
    case kDiscoverSubVendor:
      return Name("");
    case kDiscoverImplementation:
      return Value(kImplementation);
    case kMessageAttributes: {
      std::uint32_t which = 0;
      std::memcpy(&which, payload.data(), sizeof(which));
      return PayloadOf(which) ? Value(0) : Answer(scmi::kNotFound);
    }
    default:
      // The attributes count protocols beside this one, and agents where those can be discovered;
      // the list is as empty, however many of it are to be skipped.
      return Value(0);
  }
}

}  // namespace

std::vector<std::byte> AnswerScmi(std::uint32_t header, Bytes payload, std::size_t room) {
  const std::uint32_t message = header & 0xFF;
  const std::uint32_t protocol = (header >> 10) & 0xFF;
  auto answer =
      protocol == kBaseProtocol ? AnswerBase(message, payload) : Answer(scmi::kNotSupported);
  return answer.size() <= room ? answer : Answer(scmi::kProtocolError);
}

}  // namespace vtee::ta
