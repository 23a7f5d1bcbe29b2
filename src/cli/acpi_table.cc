// SPDX-License-Identifier: BSD-3-Clause
#include "cli/acpi_table.h"

#include <fmt/format.h>

#include <initializer_list>
#include <numeric>
#include <string_view>

namespace vtee::cli {
namespace {

// AML as chapter 20 of the ACPI specification encodes it; each function returns one term's bytes.
using std::string_view_literals::operator""sv;

constexpr std::string_view kOne = "\x01"sv;
constexpr std::uint32_t kFirstSpi = 32;  // ACPI counts interrupts as the GIC does, SPIs from 32
// ToUUID("daffd814-6eba-4d8c-8a91-bc9bbf4aa301"): a _DSD with device properties.
constexpr std::string_view kDeviceProperties =
    "\x14\xd8\xff\xda\xba\x6e\x8c\x4d\x8a\x91\xbc\x9b\xbf\x4a\xa3\x01"sv;

std::string Little(std::uint32_t value) {
  std::string bytes;
  for (int shift = 0; shift < 32; shift += 8) bytes += static_cast<char>(value >> shift);
  return bytes;
}

// An opcode whose extent is written down. The length counts its own one or two bytes.
std::string Block(std::string_view opcode, std::string_view body) {
  std::string term(opcode);
  if (body.size() + 1 < 0x40) {
    term += static_cast<char>(body.size() + 1);
  } else {
    const std::size_t length = body.size() + 2;  // below 4096 for all that this table has
    term += static_cast<char>(0x40 | (length & 0xf));
    term += static_cast<char>(length >> 4);
  }
  return term.append(body);
}

std::string Text(std::string_view text) { return fmt::format("\x0d{}{}", text, '\0'); }

std::string Name(std::string_view segment, std::string_view value) {
  return fmt::format("\x08{}{}", segment, value);
}

std::string Package(std::initializer_list<std::string> elements) {
  std::string body(1, static_cast<char>(elements.size()));
  for (const std::string& element : elements) body += element;
  return Block("\x12"sv, body);
}

std::string Buffer(std::string_view bytes) {
  return Block("\x11"sv, fmt::format("\x0a{}{}", static_cast<char>(bytes.size()), bytes));
}

std::string Property(std::string_view key, std::string_view value) {
  return Package({Text(key), Text(value)});
}

// Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) { interrupt }
std::string Resources(std::uint32_t interrupt) {
  constexpr std::string_view kExtendedInterrupt = "\x89\x06\x00\x03\x01"sv;
  constexpr std::string_view kEnd = "\x79\x00"sv;
  return Buffer(fmt::format("{}{}{}", kExtendedInterrupt, Little(interrupt), kEnd));
}

}  // namespace

std::string TeeTable(Conduit conduit, std::optional<std::uint32_t> spi) {
  std::string device = "VTEE" + Name("_HID"sv, Text("PRP0001"sv)) + Name("_CCA"sv, kOne);
  if (spi) device += Name("_CRS"sv, Resources(kFirstSpi + *spi));
  device += Name("_DSD"sv, Package({Buffer(kDeviceProperties),
                                    Package({Property("compatible"sv, "linaro,optee-tz"sv),
                                             Property("method"sv, cli::Name(conduit))})}));
  const std::string code = Block("\x10"sv, "\\_SB_" + Block("\x5b\x82"sv, device));

  constexpr std::uint32_t kHeaderSize = 36;
  std::string table = "SSDT" + Little(static_cast<std::uint32_t>(kHeaderSize + code.size()));
  table += "\x02"sv;  // revision: integers have 64 bits
  const std::size_t checksum = table.size();
  table += fmt::format("{}VTEE  OPTEE   {}VTEE{}", '\0', Little(1), Little(1)) + code;
  const auto sum = std::accumulate(table.begin(), table.end(), 0U, [](unsigned so_far, char byte) {
    return so_far + static_cast<unsigned char>(byte);
  });
  table[checksum] = static_cast<char>(-sum);
  return table;
}

std::string DescribeTeeTable(Conduit conduit, std::optional<std::uint32_t> spi) {
  const std::string interrupt =
      spi ? fmt::format(" interrupt {} (SPI {}, rising edge);", kFirstSpi + *spi, *spi) : "";
  return fmt::format(
      "\\_SB.VTEE {{ _HID \"PRP0001\"; compatible \"linaro,optee-tz\"; method \"{}\";{} }}",
      cli::Name(conduit), interrupt);
}

}  // namespace vtee::cli
