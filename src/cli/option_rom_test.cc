// SPDX-License-Identifier: BSD-3-Clause
// Reads the ROM as firmware does. That its driver works is shown by testbed/tests/17-uefi.
#include "cli/option_rom.h"

#include <gtest/gtest.h>

namespace vtee::cli {
namespace {

std::uint64_t Read(const std::string& bytes, std::size_t at, int width) {
  std::uint64_t value = 0;
  for (int i = width - 1; i >= 0; --i) {
    value = value << 8 | static_cast<unsigned char>(bytes.at(at + static_cast<std::size_t>(i)));
  }
  return value;
}

class OptionRomTest : public testing::TestWithParam<std::size_t> {
 protected:
  OptionRomTest() : table_(GetParam(), 'x'), rom_(OptionRom(table_)) {
    image_ = rom_.substr(Read(rom_, 0x16, 2));
    optional_ = Read(image_, 0x3c, 4) + 24;
    section_ = optional_ + Read(image_, optional_ - 4, 2);
  }

  const std::string table_;
  const std::string rom_;
  std::string image_;
  std::size_t optional_ = 0;
  std::size_t section_ = 0;
};

TEST_P(OptionRomTest, HeaderNamesAnEfiDriverForTheDevice) {
  EXPECT_EQ(Read(rom_, 0, 2), 0xaa55U);
  EXPECT_EQ(Read(rom_, 2, 2) * 512, rom_.size());
  EXPECT_EQ(Read(rom_, 4, 4), 0x0ef1U);
  EXPECT_EQ(Read(rom_, 8, 2), Read(image_, optional_ + 68, 2)) << "subsystem";
  EXPECT_EQ(Read(rom_, 10, 2), 0xaa64U);
  EXPECT_EQ(Read(rom_, 12, 2), 0U) << "not compressed";
  EXPECT_GE(rom_.size(), 4096U) << "EDK2 ignores smaller ones";
  const std::size_t data = Read(rom_, 0x18, 2);
  EXPECT_EQ(data % 4, 0U);
  EXPECT_EQ(rom_.substr(data, 4), "PCIR");
  EXPECT_EQ(Read(rom_, data + 4, 4), 0x00051b36U);
  EXPECT_EQ(Read(rom_, data + 16, 2) * 512, rom_.size());
  EXPECT_EQ(Read(rom_, data + 20, 1), 3U) << "code type";
  EXPECT_EQ(Read(rom_, data + 21, 1), 0x80U) << "last image";
  EXPECT_LE(data + Read(rom_, data + 10, 2), Read(rom_, 0x16, 2)) << "before the image";
}

TEST_P(OptionRomTest, ImageFitsItsOwnDescription) {
  EXPECT_EQ(image_.substr(0, 2), "MZ");
  EXPECT_EQ(image_.substr(optional_ - 24, 4), std::string("PE\0\0", 4));
  EXPECT_EQ(Read(image_, optional_, 2), 0x20bU);
  EXPECT_EQ(Read(image_, optional_ - 18, 2), 1U) << "sections";
  EXPECT_EQ(Read(image_, optional_ - 2, 2) & 1, 0U) << "it may be loaded anywhere";
  const std::uint64_t in_memory = Read(image_, section_ + 8, 4);
  const std::uint64_t address = Read(image_, section_ + 12, 4);
  const std::uint64_t in_file = Read(image_, section_ + 16, 4);
  const std::uint64_t offset = Read(image_, section_ + 20, 4);
  EXPECT_LE(section_ + 40, offset);
  EXPECT_LE(in_memory, in_file);
  EXPECT_LE(offset + in_file, image_.size());
  EXPECT_EQ(Read(image_, optional_ + 16, 4), address) << "entry point";
  EXPECT_GE(Read(image_, optional_ + 56, 4), address + in_memory);
  EXPECT_EQ(Read(image_, optional_ + 56, 4) % Read(image_, optional_ + 32, 4), 0U);
  EXPECT_EQ(Read(image_, section_ + 36, 4) & 0x80000000, 0U) << "nothing is written to";
}

TEST_P(OptionRomTest, DriverPointsAtTheProtocolAndTheTable) {
  const std::string code =
      image_.substr(Read(image_, section_ + 20, 4), Read(image_, section_ + 8, 4));
  // ADR: the target's distance is in bits 23:5 (times 4) and 30:29.
  const auto target = [&](std::size_t at) {
    const std::uint64_t word = Read(code, at, 4);
    EXPECT_EQ(word & 0x9f000000, 0x10000000U) << "an adr";
    return at + ((word >> 5 & 0x7ffff) << 2 | (word >> 29 & 3));
  };
  const std::string guid("\xdd\x6b\xe0\xff\x07\x61\xa6\x46\x7b\xb2\x5a\x9c\x7e\xc5\x27\x5c", 16);
  EXPECT_EQ(code.substr(target(0x10), 16), guid);
  EXPECT_EQ(code.substr(target(0x2c)), table_);
}

INSTANTIATE_TEST_SUITE_P(Sizes, OptionRomTest, testing::Values(36, 172, 4096, 9999));

}  // namespace
}  // namespace vtee::cli
