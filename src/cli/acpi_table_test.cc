// SPDX-License-Identifier: BSD-3-Clause
#include "cli/acpi_table.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "cli/temp_dir.h"

namespace vtee::cli {
namespace {

constexpr std::size_t kHeaderSize = 36;
constexpr std::size_t kCreator = 28;  // the compiler's name and version: the header's last fields

TEST(AcpiTableTest, HasAWholeHeader) {
  const std::string table = TeeTable(Conduit::kSmc, 15);
  EXPECT_EQ(table.substr(0, 4), "SSDT");
  EXPECT_EQ(table.substr(4, 5), std::string("\xac\0\0\0\x02", 5));  // length, revision
  unsigned sum = 0;
  for (const char byte : table) sum += static_cast<unsigned char>(byte);
  EXPECT_EQ(sum % 256, 0U);
  EXPECT_EQ(table.size(), 0xacU);
  EXPECT_EQ(TeeTable(Conduit::kSmc, std::nullopt).size(), 0xacU - 20) << "no _CRS";
}

// What iasl makes of the source below, for both conduits with and without an interrupt.
std::string Source(Conduit conduit, std::optional<std::uint32_t> spi) {
  const std::string resources =
      spi ? fmt::format(
                "Name (_CRS, ResourceTemplate () {{"
                "Interrupt (ResourceConsumer, Edge, ActiveHigh, Exclusive) {{ {} }} }})\n",
                *spi + 32)
          : "";
  return "DefinitionBlock (\"\", \"SSDT\", 2, \"VTEE  \", \"OPTEE   \", 1) {\n"
         "Scope (\\_SB) { Device (VTEE) {\n"
         "Name (_HID, \"PRP0001\")\nName (_CCA, One)\n" +
         resources +
         "Name (_DSD, Package () { ToUUID (\"daffd814-6eba-4d8c-8a91-bc9bbf4aa301\"),\n"
         "Package () { Package () { \"compatible\", \"linaro,optee-tz\" },\n"
         "Package () { \"method\", \"" +
         std::string(Name(conduit)) + "\" } } })\n} } }\n";
}

TEST(AcpiTableTest, IsWhatTheCompilerMakesOfItsSource) {
  if (std::system("iasl -v >/dev/null 2>&1") != 0) GTEST_SKIP() << "no iasl (acpica-tools)";
  auto folder = TempDir::Create();
  ASSERT_TRUE(folder.ok());
  const std::string base = folder->File("tee");
  for (const Conduit conduit : {Conduit::kSmc, Conduit::kHvc}) {
    for (const std::optional<std::uint32_t> spi :
         {std::optional<std::uint32_t>(), std::optional(15U), std::optional(255U)}) {
      std::ofstream(base + ".asl") << Source(conduit, spi);
      ASSERT_EQ(std::system(("iasl -p " + base + " " + base + ".asl >/dev/null 2>&1").c_str()), 0);
      std::stringstream compiled;
      compiled << std::ifstream(base + ".aml", std::ios::binary).rdbuf();
      std::string expected = compiled.str();
      std::string table = TeeTable(conduit, spi);
      ASSERT_GT(expected.size(), kHeaderSize);
      for (std::string* one : {&expected, &table}) {
        one->replace(kCreator, kHeaderSize - kCreator, kHeaderSize - kCreator, '\0');
        (*one)[9] = '\0';  // the checksum counts those
      }
      EXPECT_EQ(table, expected);
    }
  }
}

TEST(AcpiTableTest, IsDescribed) {
  EXPECT_EQ(DescribeTeeTable(Conduit::kSmc, 15),
            "\\_SB.VTEE { _HID \"PRP0001\"; compatible \"linaro,optee-tz\"; method \"smc\"; "
            "interrupt 47 (SPI 15, rising edge); }");
  EXPECT_THAT(DescribeTeeTable(Conduit::kHvc, std::nullopt),
              testing::Not(testing::HasSubstr("interrupt")));
}

}  // namespace
}  // namespace vtee::cli
